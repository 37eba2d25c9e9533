#include "base/half.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace bonsai {
namespace {

/// IEEE 754-2008 §3.4 read aloud: (-1)^s · 2^(e - bias) · (1 + m / 2^w), or 2^(1 - bias) · m / 2^w for e = 0.
double Definition(uint16_t bits, int exponent_bits) {
  const int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int e = bits >> fraction_bits & ((1 << exponent_bits) - 1), m = bits & ((1 << fraction_bits) - 1);
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  if (e == (1 << exponent_bits) - 1) return m != 0 ? NAN : sign * INFINITY;
  if (e == 0) return sign * std::ldexp(m, 1 - bias - fraction_bits);
  return sign * std::ldexp(m + (1 << fraction_bits), e - bias - fraction_bits);
}

void ExpectSameFloat(float got, double want, uint32_t bits) {
  if (std::isnan(want)) {
    EXPECT_TRUE(std::isnan(got)) << bits;
  } else {
    EXPECT_EQ(double{got}, want) << bits;
    EXPECT_EQ(std::signbit(got), std::signbit(want)) << bits;
  }
}

TEST(Half, EveryFp16ToFloat) {
  for (uint32_t b = 0; b < 65536; b++)
    ExpectSameFloat(HalfToFloat(static_cast<uint16_t>(b)), Definition(static_cast<uint16_t>(b), 5), b);
}

TEST(Half, EveryBf16ToFloat) {
  for (uint32_t b = 0; b < 65536; b++)
    ExpectSameFloat(Bf16ToFloat(static_cast<uint16_t>(b)), Definition(static_cast<uint16_t>(b), 8), b);
}

/// Checks the rounding of `to` around every boundary between a value and its neighbour: adjacent patterns are adjacent
/// values, so the boundary is their mean, which a float holds exactly (the gap above the largest finite value is taken
/// as if infinity were the next power of two, as §4.3.1 says).
template <class F>
void CheckRounding(F to, int exponent_bits) {
  const auto infinity = static_cast<uint16_t>(((1 << exponent_bits) - 1) << (15 - exponent_bits));
  const double above = std::ldexp(1.0, 1 << (exponent_bits - 1));
  for (uint32_t magnitude = 0; magnitude < infinity; magnitude++) {
    for (const uint32_t sign : {0u, 0x8000u}) {
      const auto low = static_cast<uint16_t>(magnitude | sign), high = static_cast<uint16_t>(low + 1);
      const double s = sign != 0 ? -1 : 1;
      const double a = Definition(low, exponent_bits);
      const double b = magnitude + 1 == infinity ? s * above : Definition(high, exponent_bits);
      const auto middle = static_cast<float>((a + b) / 2);
      ASSERT_EQ(double{middle}, (a + b) / 2) << low;
      const float toward_low = std::nextafter(middle, 0.0f),
                  toward_high = std::nextafter(middle, s > 0 ? INFINITY : -INFINITY);
      ASSERT_EQ(to(static_cast<float>(a)), low);
      ASSERT_EQ(to(toward_low), low) << toward_low;
      ASSERT_EQ(to(middle), (magnitude & 1) == 0 ? low : high) << middle;
      ASSERT_EQ(to(toward_high), high) << toward_high;
    }
  }
  EXPECT_EQ(to(INFINITY), infinity);
  EXPECT_EQ(to(-INFINITY), infinity | 0x8000);
  EXPECT_EQ(to(std::numeric_limits<float>::max()), infinity);
}

TEST(Half, FloatToFp16RoundsToNearestEven) { CheckRounding(FloatToHalf, 5); }
TEST(Half, FloatToBf16RoundsToNearestEven) { CheckRounding(FloatToBf16, 8); }

TEST(Half, NanStaysNanAndBecomesQuiet) {
  for (uint32_t payload : {1u, 0x1fffu, 0x2000u, 0xffffu, 0x10000u, 0x3fffffu, 0x400000u, 0x7fffffu}) {
    for (const uint32_t sign : {0u, 0x80000000u}) {
      const auto f = std::bit_cast<float>(sign | 0x7f800000u | payload);
      const uint16_t h = FloatToHalf(f), b = FloatToBf16(f);
      EXPECT_EQ(h & 0x7e00, 0x7e00) << payload;
      EXPECT_EQ(b & 0x7fc0, 0x7fc0) << payload;
      EXPECT_EQ(h >> 15, sign >> 31);
      EXPECT_EQ(b >> 15, sign >> 31);
    }
  }
}

TEST(Half, EveryValueSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 65536; bits++) {
    const auto b = static_cast<uint16_t>(bits);
    EXPECT_TRUE(std::isnan(HalfToFloat(b)) || FloatToHalf(HalfToFloat(b)) == b) << b;
    EXPECT_TRUE(std::isnan(Bf16ToFloat(b)) || FloatToBf16(Bf16ToFloat(b)) == b) << b;
  }
}

TEST(Half, FloatSubnormals) {
  const float least = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(FloatToHalf(least), 0);
  EXPECT_EQ(FloatToHalf(-least), 0x8000);
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::min()), 0);
  EXPECT_EQ(FloatToBf16(least), 0);
  EXPECT_EQ(FloatToBf16(-least), 0x8000);
}

}  // namespace
}  // namespace bonsai
