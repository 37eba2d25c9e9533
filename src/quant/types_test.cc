// Each format against bytes worked out by hand from its layout.
#include "quant/types.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace bonsai::quant {
namespace {

std::vector<uint8_t> Encode(uint32_t id, const std::vector<float>& values) {
  const Type* type = FindByGgmlId(id);
  const auto n = static_cast<int64_t>(values.size());
  std::vector<uint8_t> bytes(*type->RowBytes(n));
  type->encode(values.data(), reinterpret_cast<std::byte*>(bytes.data()), n);
  return bytes;
}

std::vector<float> Decode(uint32_t id, const std::vector<uint8_t>& bytes, int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  FindByGgmlId(id)->decode(reinterpret_cast<const std::byte*>(bytes.data()), values.data(), n);
  return values;
}

uint32_t Id(const char* name) { return FindByName(name)->ggml_id; }

TEST(TypesTest, F32Bytes) {
  // 1.0 = 0x3f800000, -2.5 = 0xc0200000.
  const std::vector<uint8_t> bytes = {0x00, 0x00, 0x80, 0x3f, 0x00, 0x00, 0x20, 0xc0};
  EXPECT_EQ(Encode(0, {1.0f, -2.5f}), bytes);
  EXPECT_EQ(Decode(0, bytes, 2), (std::vector<float>{1.0f, -2.5f}));
}

TEST(TypesTest, F16Bytes) {
  // Sign, 5 exponent bits with bias 15, 10 bits: 1.0 = 0x3c00, -2.5 = 1 10000 01(0...) = 0xc100, the largest 0x7bff,
  // the smallest subnormal 0x0001.
  const std::vector<uint8_t> bytes = {0x00, 0x3c, 0x00, 0xc1, 0xff, 0x7b, 0x01, 0x00};
  EXPECT_EQ(Encode(1, {1.0f, -2.5f, 65504.0f, 0x1p-24f}), bytes);
  EXPECT_EQ(Decode(1, bytes, 4), (std::vector<float>{1.0f, -2.5f, 65504.0f, 0x1p-24f}));
}

TEST(TypesTest, Bf16BytesRoundTiesToEven) {
  // 7 mantissa bits follow the 1: 1 + 2^-8 lies halfway between 0x3f80 and 0x3f81, 1 + 3·2^-8 between 0x3f81 and
  // 0x3f82.
  const std::vector<uint8_t> bytes = {0x80, 0x3f, 0x20, 0xc0, 0x80, 0x3f, 0x81, 0x3f, 0x82, 0x3f};
  EXPECT_EQ(Encode(30, {1.0f, -2.5f, 1 + 0x1p-8f, 1 + 0x1p-8f + 0x1p-20f, 1 + 0x3p-8f}), bytes);
  EXPECT_EQ(Decode(30, bytes, 5), (std::vector<float>{1.0f, -2.5f, 1.0f, 1 + 0x1p-7f, 1 + 0x1p-6f}));
}

TEST(TypesTest, Q8Bytes) {
  // amax 127 gives d = 1 = fp16 0x3c00; codes are then the values, ties away from zero.
  std::vector<float> values(32, 0.0f);
  values[0] = 127, values[1] = -127, values[2] = 2.5f, values[3] = -2.5f, values[4] = 0.4f, values[31] = -1;
  std::vector<uint8_t> bytes(34, 0);
  bytes[1] = 0x3c;
  bytes[2] = 127, bytes[3] = 0x81, bytes[4] = 3, bytes[5] = 0xfd, bytes[33] = 0xff;
  EXPECT_EQ(Encode(8, values), bytes);
  values[2] = 3, values[3] = -3, values[4] = 0;
  EXPECT_EQ(Decode(8, bytes, 32), values);
}

TEST(TypesTest, Q1Bytes) {
  // Elements 0, 9 and 127 are positive: bit 0 of byte 0, bit 1 of byte 1, bit 7 of byte 15. 64 magnitudes of 1 and 64
  // of 2 have the mean 1.5 = fp16 0x3e00.
  std::vector<float> values(128);
  for (size_t j = 0; j < 128; ++j) values[j] = j % 2 == 0 ? -1.0f : -2.0f;
  values[0] = 1, values[9] = 2, values[127] = 2;
  std::vector<uint8_t> bytes(18, 0);
  bytes[1] = 0x3e, bytes[2] = 0x01, bytes[3] = 0x02, bytes[17] = 0x80;
  EXPECT_EQ(Encode(41, values), bytes);
  for (float& v : values) v = v > 0 ? 1.5f : -1.5f;
  EXPECT_EQ(Decode(41, bytes, 128), values);
}

TEST(TypesTest, Q1SignOfZeroAndNan) {
  std::vector<float> values(128, 0.0f);
  values[1] = -0.0f;
  EXPECT_EQ(Encode(41, values)[2], 0xff);  // ±0 are not negative
  values[2] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<uint8_t> bytes = Encode(41, values);
  EXPECT_EQ(bytes[2], 0xfb);
  EXPECT_TRUE(std::isnan(Decode(41, bytes, 128)[0]));  // the scale carries the fault
}

TEST(TypesTest, Q2Bytes) {
  // d = 2 = fp16 0x4000. Halves of d go away from zero, 0.45 d to zero. Four zeros are 0b01010101 = 0x55; the first
  // byte has the codes 2, 0, 2, 0 from its lowest bits up, the last one 1, 1, 1, 0.
  std::vector<float> values(64, 0.0f);
  values[0] = 2, values[1] = -2, values[2] = 1, values[3] = -1, values[4] = 0.9f, values[63] = -1.5f;
  std::vector<uint8_t> bytes(18, 0x55);
  bytes[0] = 0x00, bytes[1] = 0x40, bytes[2] = 0x22, bytes[17] = 0x15;
  EXPECT_EQ(Encode(42, values), bytes);
  values[2] = 2, values[3] = -2, values[4] = 0, values[63] = -2;
  EXPECT_EQ(Decode(42, bytes, 64), values);
  bytes[9] = 0xe4;  // 0, 1, 2, 3
  values[28] = -2, values[29] = 0, values[30] = 2, values[31] = 4;
  EXPECT_EQ(Decode(42, bytes, 64), values);
}

TEST(TypesTest, Tq2Bytes) {
  // d = 2 = fp16 0x4000, at the end. Elements 0 and 32 share byte 0: 2 | 0 << 2 | 1 << 4 | 1 << 6 = 0x52. Element 127
  // (and 255) is the top of byte 31 (63): 0b10010101 = 0x95. Element 128 is the bottom of byte 32: 0x54.
  std::vector<float> values(256, 0.0f);
  values[0] = 2, values[32] = -2, values[127] = 1, values[128] = -1, values[255] = 2, values[200] = 0.9f;
  std::vector<uint8_t> bytes(66, 0x55);
  bytes[0] = 0x52, bytes[31] = 0x95, bytes[32] = 0x54, bytes[63] = 0x95, bytes[64] = 0x00, bytes[65] = 0x40;
  EXPECT_EQ(Encode(35, values), bytes);
  values[127] = 2, values[128] = -2, values[200] = 0;
  EXPECT_EQ(Decode(35, bytes, 256), values);
  bytes[40] = 0xe4;  // 0, 1, 2, 3: elements 128 + 32·l + 8
  values[136] = -2, values[168] = 0, values[200] = 2, values[232] = 4;
  EXPECT_EQ(Decode(35, bytes, 256), values);
}

TEST(TypesTest, PQ2Bytes) {
  // d = 1.5 = 0x3e00. Element 0 is +d (2), 1 is -d (0), the rest 0 (1: 0x55), 127 is -d.
  std::vector<float> values(128, 0.0f);
  values[0] = 1.5f, values[1] = -1.5f, values[127] = -1.5f;
  std::vector<uint8_t> bytes(34, 0x55);
  bytes[0] = 0x00, bytes[1] = 0x3e, bytes[2] = 0x52, bytes[33] = 0x15;
  EXPECT_EQ(Encode(142, values), bytes);
  EXPECT_EQ(Decode(142, bytes, 128), values);
  bytes[18] = 0xc6;  // 2, 1, 0, 3: elements 64 to 67
  values[64] = 1.5f, values[66] = -1.5f, values[67] = 3.0f;
  EXPECT_EQ(Decode(142, bytes, 128), values);
}

TEST(TypesTest, Q1InGroupsOf32Bytes) {
  // As Q1_0: elements 0, 9 and 31 are positive, the mean is 1.5.
  std::vector<float> values(32);
  for (size_t j = 0; j < 32; ++j) values[j] = j % 2 == 0 ? -1.0f : -2.0f;
  values[0] = 1, values[9] = 2, values[31] = 2;
  const std::vector<uint8_t> bytes = {0x00, 0x3e, 0x01, 0x02, 0x00, 0x80};
  EXPECT_EQ(Encode(Id("Q1_0_G32"), values), bytes);
  for (float& v : values) v = v > 0 ? 1.5f : -1.5f;
  EXPECT_EQ(Decode(Id("Q1_0_G32"), bytes, 32), values);
}

TEST(TypesTest, Tq2InGroupsOf128Bytes) {
  // The codes of PQ2Bytes, with the scale behind them; 3 is zero.
  std::vector<float> values(128, 0.0f);
  values[0] = 1.5f, values[1] = -1.5f, values[127] = -1.5f;
  std::vector<uint8_t> bytes(34, 0x55);
  bytes[0] = 0x52, bytes[31] = 0x15, bytes[32] = 0x00, bytes[33] = 0x3e;
  EXPECT_EQ(Encode(Id("TQ2_0_G128"), values), bytes);
  EXPECT_EQ(Decode(Id("TQ2_0_G128"), bytes, 128), values);
  bytes[16] = 0xc6;  // 2, 1, 0, 3: elements 64 to 67
  values[64] = 1.5f, values[66] = -1.5f;
  EXPECT_EQ(Decode(Id("TQ2_0_G128"), bytes, 128), values);
}

TEST(TypesTest, I2SBytes) {
  // The scale is the float 1.5 = 0x3fc00000. Elements 0, 32, 64 and 96 are byte 0 from its top: 2, 0, 1, 1 = 0x85.
  // Element 127 is the bottom of byte 31: 0b01010100 = 0x54.
  std::vector<float> values(128, 0.0f);
  values[0] = 1.5f, values[32] = -1.5f, values[127] = -0.75f;
  std::vector<uint8_t> bytes(36, 0x55);
  bytes[0] = 0x00, bytes[1] = 0x00, bytes[2] = 0xc0, bytes[3] = 0x3f, bytes[4] = 0x85, bytes[35] = 0x54;
  EXPECT_EQ(Encode(Id("I2_S"), values), bytes);
  values[127] = -1.5f;
  EXPECT_EQ(Decode(Id("I2_S"), bytes, 128), values);
  bytes[9] = 0x1b;  // 0, 1, 2, 3: elements 5, 37, 69 and 101
  values[5] = -1.5f, values[69] = 1.5f, values[101] = 3.0f;
  EXPECT_EQ(Decode(Id("I2_S"), bytes, 128), values);
}

// Five digits 1 are 121 of 243, which is 128 of 256, rounded up; four and a 0 are 120, 127 of 256. The others:
// 20120 is 177, 0xbb; 11112 is 122, 0x81; 01111 is 40, 0x2b; 11110 is 120, 0x7f; 2111(0) is 201, 0xd4; 1110(0) is 117,
// 0x7c. d = 2 = fp16 0x4000.
TEST(TypesTest, Tq1Bytes) {
  std::vector<float> values(256, 0.0f);
  values[0] = 2, values[32] = -2, values[96] = 1, values[128] = -2;  // byte 0
  values[159] = 2, values[160] = -1, values[239] = -2;               // the last of 32 bytes; first and last of 16
  values[240] = 2, values[255] = -2, values[100] = 0.9f;             // first and last of qh
  std::vector<uint8_t> bytes(54, 0x80);
  bytes[0] = 0xbb, bytes[31] = 0x81, bytes[32] = 0x2b, bytes[47] = 0x7f;
  bytes[48] = 0xd4, bytes[49] = 0x7f, bytes[50] = 0x7f, bytes[51] = 0x7c, bytes[52] = 0x00, bytes[53] = 0x40;
  EXPECT_EQ(Encode(34, values), bytes);
  values[96] = 2, values[160] = -2, values[100] = 0;
  EXPECT_EQ(Decode(34, bytes, 256), values);
}

TEST(TypesTest, Ptq1Bytes) {
  std::vector<float> values(128, 0.0f);
  values[0] = 2, values[16] = -2, values[48] = 1, values[64] = -2;
  values[79] = 2, values[80] = -1, values[119] = -2;
  values[120] = 2, values[127] = -2, values[50] = 0.9f;
  std::vector<uint8_t> bytes(28, 0x80);
  bytes[0] = 0xbb, bytes[15] = 0x81, bytes[16] = 0x2b, bytes[23] = 0x7f;
  bytes[24] = 0xd4, bytes[25] = 0x7c, bytes[26] = 0x00, bytes[27] = 0x40;
  EXPECT_EQ(Encode(143, values), bytes);
  values[48] = 2, values[80] = -2, values[50] = 0;
  EXPECT_EQ(Decode(143, bytes, 128), values);
}

TEST(TypesTest, AllDigits) {
  // Byte m of PTQ1_0's first stage has elements m, 16 + m, … 64 + m.
  for (int value = 0; value < 243; ++value) {
    std::vector<float> values(128, 0.0f);
    int rest = value;
    for (size_t n = 5; n-- > 0; rest /= 3) values[16 * n + 3] = static_cast<float>(rest % 3 - 1);
    if (value == 121) continue;  // all zeros have no scale
    const std::vector<uint8_t> bytes = Encode(143, values);
    ASSERT_EQ(bytes[3], static_cast<int>(std::ceil(value * 256 / 243.0)));
    ASSERT_EQ(Decode(143, bytes, 128), values) << value;
  }
  // Bytes that nobody writes stand for something, too: the five digits of byte / 256.
  for (int byte = 0; byte < 256; ++byte) {
    std::vector<uint8_t> bytes(28, static_cast<uint8_t>(byte));
    bytes[26] = 0x00, bytes[27] = 0x3c;
    const std::vector<float> values = Decode(143, bytes, 128);
    int value = 0;
    for (size_t n = 0; n < 5; ++n) value = value * 3 + static_cast<int>(values[16 * n]) + 1;
    ASSERT_EQ(value, byte * 243 / 256) << byte;
  }
}

TEST(TypesTest, Q4Bytes) {
  // The largest magnitude, -16, gets -8: d = 2 = fp16 0x4000. 15.9 would be 8 and gets 7; -3, halfway between -2 and
  // -1, goes up. Codes are stored plus 8.
  std::vector<float> values(32, 0.0f);
  values[0] = -16, values[1] = 14, values[2] = 15.9f, values[16] = 2, values[31] = -3;
  std::vector<uint8_t> bytes(18, 0x88);
  bytes[0] = 0x00, bytes[1] = 0x40, bytes[2] = 0x90, bytes[3] = 0x8f, bytes[4] = 0x8f, bytes[17] = 0x78;
  EXPECT_EQ(Encode(2, values), bytes);
  values[2] = 14, values[31] = -2;
  EXPECT_EQ(Decode(2, bytes, 32), values);
  // A positive one makes d negative: -1 = 0xbc00.
  values.assign(32, 0.0f), values[0] = 8;
  bytes.assign(18, 0x88), bytes[0] = 0x00, bytes[1] = 0xbc, bytes[2] = 0x80;
  EXPECT_EQ(Encode(2, values), bytes);
  EXPECT_EQ(Decode(2, bytes, 32), values);
}

TEST(TypesTest, Q4WithAMinimumBytes) {
  // From -1 (0xbc00) to 14 in steps of 1 (0x3c00): a zero is code 1, 2.4 is code 3.
  std::vector<float> values(32, 0.0f);
  values[0] = -1, values[1] = 14, values[16] = 2.4f;
  std::vector<uint8_t> bytes(20, 0x11);
  bytes[0] = 0x00, bytes[1] = 0x3c, bytes[2] = 0x00, bytes[3] = 0xbc, bytes[4] = 0x30, bytes[5] = 0x1f;
  EXPECT_EQ(Encode(3, values), bytes);
  values[16] = 2;
  EXPECT_EQ(Decode(3, bytes, 32), values);
}

TEST(TypesTest, FourBitNonFiniteAndTinyBlocksAreDefined) {
  for (const uint32_t id : {2u, 3u}) {
    for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN()}) {
      std::vector<float> values(32, 1.0f);
      values[5] = bad;
      EXPECT_FALSE(std::isfinite(Decode(id, Encode(id, values), 32)[5])) << id << ", " << bad;
    }
    std::vector<float> tiny(32, 0x1p-140f);
    tiny[3] = -0x1p-140f;
    for (const float v : Decode(id, Encode(id, tiny), 32)) EXPECT_EQ(v, 0.0f) << id;
  }
}

TEST(TypesTest, TwoBitNonFiniteAndTinyBlocksAreDefined) {
  for (const uint32_t id : {42u, 142u, 35u, 34u, 143u, Id("TQ2_0_G128")}) {
    std::vector<float> values(256, 1.0f);
    values[5] = std::numeric_limits<float>::infinity();
    EXPECT_FALSE(std::isfinite(Decode(id, Encode(id, values), 256)[5])) << id;
    values[5] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(Decode(id, Encode(id, values), 256)[5])) << id;
    const std::vector<float> tiny(256, 0x1p-140f);
    for (const float v : Decode(id, Encode(id, tiny), 256)) EXPECT_EQ(v, 0.0f) << id;
  }
}

TEST(TypesTest, WideBlocksGiveOneSumAnActivationGroup) {
  // TQ2_0: +1 everywhere in the first 128 columns (codes 2 = 0xaa), +2 in the others (0xff), d = 2.
  std::vector<uint8_t> bytes(66, 0xaa);
  for (size_t i = 32; i < 64; ++i) bytes[i] = 0xff;
  bytes[64] = 0x00, bytes[65] = 0x40;
  std::vector<int8_t> x(256, 127);
  x[0] = -127, x[255] = 0;
  int32_t sums[2];
  float scales[2];
  FindByGgmlId(35)->dot_i8(reinterpret_cast<const std::byte*>(bytes.data()), x.data(), 256, sums, scales);
  EXPECT_EQ(sums[0], 126 * 127);
  EXPECT_EQ(sums[1], 127 * 127 * 2);
  EXPECT_EQ(scales[0], 2.0f);
  EXPECT_EQ(scales[1], 2.0f);
}

TEST(TypesTest, Q8NonFiniteAndTinyBlocksAreDefined) {
  std::vector<float> values(32, 1.0f);
  values[5] = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(std::isfinite(Decode(8, Encode(8, values), 32)[5]));
  values[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(Decode(8, Encode(8, values), 32)[5]));
  // 1 / d overflows below d = 2^-128; the scale is zero in fp16 long before.
  const std::vector<float> tiny(32, 0x1p-140f);
  for (const float v : Decode(8, Encode(8, tiny), 32)) EXPECT_EQ(v, 0.0f);
}

/// fp16 from its definition in IEEE 754, in double arithmetic: unlike base/half.h it works on no bit patterns of
/// floats.
double SlowHalf(uint32_t bits) {
  const uint32_t exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double sign = bits >> 15 != 0 ? -1 : 1;
  if (exponent == 31) return mantissa != 0 ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, static_cast<int>(exponent) - 25);
}

TEST(TypesTest, AllF16Values) {
  std::vector<uint8_t> bytes(2 * 65536);
  for (uint32_t i = 0; i < 65536; ++i) {
    bytes[2 * i] = static_cast<uint8_t>(i), bytes[2 * i + 1] = static_cast<uint8_t>(i >> 8);
  }
  const std::vector<float> values = Decode(1, bytes, 65536);
  const std::vector<uint8_t> again = Encode(1, values);
  for (uint32_t i = 0; i < 65536; ++i) {
    const double expected = SlowHalf(i);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(values[i])) << i;
      ASSERT_TRUE(std::isnan(SlowHalf(again[2 * i] | uint32_t{again[2 * i + 1]} << 8))) << i;
      continue;
    }
    ASSERT_EQ(values[i], expected) << i;
    ASSERT_EQ(std::signbit(values[i]), std::signbit(expected)) << i;
    ASSERT_EQ(again[2 * i] | again[2 * i + 1] << 8, i);
  }
}

TEST(TypesTest, AllBf16Values) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const std::vector<uint8_t> bytes = {static_cast<uint8_t>(i), static_cast<uint8_t>(i >> 8)};
    const uint32_t exponent = i >> 7 & 255, mantissa = i & 127;
    const float value = Decode(30, bytes, 1)[0];
    if (exponent == 255 && mantissa != 0) {
      ASSERT_TRUE(std::isnan(value));
      continue;
    }
    double expected = exponent == 255 ? std::numeric_limits<double>::infinity()
                      : exponent == 0 ? std::ldexp(mantissa, -133)
                                      : std::ldexp(128 + mantissa, static_cast<int>(exponent) - 134);
    if (i >> 15 != 0) expected = -expected;
    ASSERT_EQ(value, expected) << i;
    ASSERT_EQ(Encode(30, {value}), bytes) << i;
  }
}

}  // namespace
}  // namespace bonsai::quant
