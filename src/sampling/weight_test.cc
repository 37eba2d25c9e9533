#include "sampling/weight.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "base/rng.h"

namespace bonsai::sampling {
namespace {

TEST(Weight, IsTheExponentialToOneUnit) {
  // Both sides err by at most 1e-14 of 2^40, that is 0.011; rounding adds 1/2. So a whole unit can never be exceeded.
  Rng rng(1);
  for (int i = 0; i < 200000; i++) {
    const double x = -41 * rng.Uniform();
    EXPECT_NEAR(static_cast<double>(Weight(x)), std::exp(x) * static_cast<double>(kWeightOne), 0.52) << x;
  }
}

TEST(Weight, EndsOfTheRange) {
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(Weight(0.0), kWeightOne);
  EXPECT_EQ(Weight(-0.0), kWeightOne);
  EXPECT_EQ(Weight(1.0), kWeightOne);
  EXPECT_EQ(Weight(inf), kWeightOne);
  EXPECT_EQ(Weight(-inf), 0u);
  EXPECT_EQ(Weight(-1e300), 0u);
  EXPECT_EQ(Weight(-40.0), 0u);
  EXPECT_EQ(Weight(std::numeric_limits<double>::quiet_NaN()), 0u);
  // The last weight of 1 is at e^x = 2^-41, x = -28.419.
  EXPECT_EQ(Weight(-28.41), 1u);
  EXPECT_EQ(Weight(-28.43), 0u);
  // ln 2 · n lands on powers of two.
  for (int n = 0; n <= 40; n++)
    EXPECT_NEAR(static_cast<double>(Weight(-n * std::log(2.0))), std::ldexp(1.0, 40 - n), 1);
}

}  // namespace
}  // namespace bonsai::sampling
