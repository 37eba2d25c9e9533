#include "quant/act_i8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"

namespace bonsai::quant {
namespace {

TEST(ActI8Test, KnownGroup) {
  // amax 127: scale 1, inverse 1, codes are the values with ties to even.
  const std::vector<float> x = {127, -127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 126.5f, 0.0f, -0.0f};
  std::vector<int8_t> q(x.size());
  EXPECT_EQ(QuantizeGroupI8(x.data(), static_cast<int64_t>(x.size()), q.data()), 1.0f);
  EXPECT_EQ(q, (std::vector<int8_t>{127, -127, 0, 2, 2, 0, -2, 126, 0, 0}));
}

TEST(ActI8Test, CodesAreNearestAndNeverMinus128) {
  Rng rng(7);
  for (int trial = 0; trial < 2000; ++trial) {
    const int exponent = static_cast<int>(rng.Next() % 230) - 115;
    std::vector<float> x(kActGroup);
    for (float& v : x) v = static_cast<float>(std::ldexp(rng.Uniform() * 2 - 1, exponent));
    std::vector<int8_t> q(kActGroup);
    const float scale = QuantizeGroupI8(x.data(), kActGroup, q.data());
    float amax = 0;
    for (const float v : x) amax = std::max(amax, std::fabs(v));
    ASSERT_EQ(scale, amax / 127.0f);
    int largest = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      // Two roundings of 2^-24 on a product of at most 127 move it by 127·2^-23; the scale's own rounding adds half
      // of that again.
      ASSERT_NEAR(static_cast<double>(x[i]) / scale, q[i], 0.5 + 127 * 0x1p-22) << trial;
      ASSERT_GE(q[i], -127);
      largest = std::max(largest, std::abs(int{q[i]}));
    }
    ASSERT_EQ(largest, 127);
  }
}

TEST(ActI8Test, ZeroAndTinyGroups) {
  std::vector<int8_t> q(4, 55);
  const std::vector<float> zero = {0.0f, -0.0f, 0.0f, 0.0f};
  EXPECT_EQ(QuantizeGroupI8(zero.data(), 4, q.data()), 0.0f);
  EXPECT_EQ(q, std::vector<int8_t>(4, 0));
  const std::vector<float> tiny = {0x0.ffffffp-118f, -0x1p-149f, 0.0f, 0x1p-126f};
  q.assign(4, 55);
  EXPECT_EQ(QuantizeGroupI8(tiny.data(), 4, q.data()), 0.0f);
  EXPECT_EQ(q, std::vector<int8_t>(4, 0));
  const std::vector<float> least = {0x1p-118f, -0x1p-118f, 0.0f, 0x1p-119f};
  EXPECT_EQ(QuantizeGroupI8(least.data(), 4, q.data()), 0x1p-118f / 127.0f);
  EXPECT_EQ(q, (std::vector<int8_t>{127, -127, 0, 64}));  // 63.5 goes to the even 64
  const float big = std::numeric_limits<float>::max();
  const std::vector<float> most = {big, -big, 0.0f, big / 2};
  EXPECT_EQ(QuantizeGroupI8(most.data(), 4, q.data()), big / 127.0f);
  EXPECT_EQ(q[0], 127);
  EXPECT_EQ(q[1], -127);
}

TEST(ActI8Test, NonFiniteGroupsPoisonTheScale) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const float bad : {inf, -inf, std::numeric_limits<float>::quiet_NaN()}) {
    for (size_t at = 0; at < 3; ++at) {
      std::vector<float> x = {1, 2, 3};
      x[at] = bad;
      std::vector<int8_t> q(3, 55);
      EXPECT_TRUE(std::isnan(QuantizeGroupI8(x.data(), 3, q.data())));
      EXPECT_EQ(q, std::vector<int8_t>(3, 0));
    }
  }
}

TEST(ActI8Test, RowsAreGroupsOf128WithAShortLastOne) {
  std::vector<float> x(300);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) - 150;
  std::vector<int8_t> q(300), expected(300);
  std::vector<float> scales(3);
  QuantizeRowI8(x.data(), 300, q.data(), scales.data());
  EXPECT_EQ(scales[0], QuantizeGroupI8(&x[0], 128, &expected[0]));
  EXPECT_EQ(scales[1], QuantizeGroupI8(&x[128], 128, &expected[128]));
  EXPECT_EQ(scales[2], QuantizeGroupI8(&x[256], 44, &expected[256]));
  EXPECT_EQ(q, expected);
}

}  // namespace
}  // namespace bonsai::quant
