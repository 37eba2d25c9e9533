#include "kernels/math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace bonsai::kernels {
namespace {

/// |Exp(x) - e^x| in units of the last place of a float near e^x (2^-149 for subnormals).
double ErrorInUlps(float x) {
  const double exact = std::exp(static_cast<double>(x));
  const double ulp = std::ldexp(1.0, std::max(std::ilogb(exact), -126) - 23);
  return std::fabs(static_cast<double>(Exp(x)) - exact) / ulp;
}

TEST(ExpTest, WithinOneUlp) {
  // Every 509th float (a prime, so that all mantissa bits vary) from 2^-40 to the ends of the range, both signs: 2.6
  // million points. Below 2^-40 the result is 1.
  double worst = 0;
  float worst_at = 0;
  for (const float sign : {1.0f, -1.0f}) {
    const float end = sign > 0 ? 88.722f : 103.9f;
    for (uint32_t bits = std::bit_cast<uint32_t>(0x1p-40f); bits < std::bit_cast<uint32_t>(end); bits += 509) {
      const float x = sign * std::bit_cast<float>(bits);
      const double error = ErrorInUlps(x);
      if (error > worst) worst = error, worst_at = x;
    }
  }
  RecordProperty("worst_ulps", std::to_string(worst));
  EXPECT_LE(worst, 1.0) << worst_at;
  EXPECT_GT(worst, 0.5);  // no float function with one rounding a step does better: the sweep measures something
}

TEST(ExpTest, Edges) {
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Exp(0.0f), 1.0f);
  EXPECT_EQ(Exp(-0.0f), 1.0f);
  EXPECT_EQ(Exp(0x1p-60f), 1.0f);
  EXPECT_EQ(Exp(inf), inf);
  EXPECT_EQ(Exp(89.0f), inf);
  EXPECT_EQ(Exp(88.73f), inf);
  EXPECT_TRUE(std::isfinite(Exp(88.72f)));
  EXPECT_EQ(Exp(-inf), 0.0f);
  EXPECT_EQ(Exp(-104.0f), 0.0f);
  EXPECT_EQ(Exp(-std::numeric_limits<float>::max()), 0.0f);
  EXPECT_GT(Exp(-103.0f), 0.0f);  // subnormal
  EXPECT_TRUE(std::isnan(Exp(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(Exp(-std::numeric_limits<float>::quiet_NaN())));
}

TEST(SiluTest, WithinFourRoundings) {
  // e^-x is within 1 ulp, at most 2^-23 of it, so 1 + e^-x is within 2^-23; the addition and the division round once
  // each (2^-24): 4·2^-24 together, and a little for the second order. Below -88 e^-x overflows; the value is under
  // 1e-36.
  for (uint32_t bits = std::bit_cast<uint32_t>(0x1p-30f); bits < std::bit_cast<uint32_t>(100.0f); bits += 509) {
    for (const float x : {std::bit_cast<float>(bits), -std::bit_cast<float>(bits)}) {
      const double exact = static_cast<double>(x) / (1.0 + std::exp(-static_cast<double>(x)));
      ASSERT_NEAR(Silu(x), exact, 4.01 * 0x1p-24 * std::fabs(exact) + (x < -88 ? 1e-36 : 0)) << x;
    }
  }
  EXPECT_EQ(Silu(0.0f), 0.0f);
  EXPECT_TRUE(std::isnan(Silu(std::numeric_limits<float>::quiet_NaN())));
}

}  // namespace
}  // namespace bonsai::kernels
