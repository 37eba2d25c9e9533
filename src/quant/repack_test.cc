// What must hold for every format of the registry that has codes, and between any two formats.
#include "quant/repack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"

namespace bonsai::quant {
namespace {

constexpr int64_t kCols = 2304;  // more than one piece and not whole pieces, whole blocks of up to 256
constexpr float kInfinity = std::numeric_limits<float>::infinity();

using Bytes = std::vector<std::byte>;

std::vector<Type> TypesWithCodes() {
  std::vector<Type> types;
  for (const Type& type : Types()) {
    if (type.unpack != nullptr) types.push_back(type);
  }
  return types;
}

struct Numbers {
  std::vector<int8_t> codes = std::vector<int8_t>(kCols);
  std::vector<float> scales = std::vector<float>(kCols / kScaleRun);
};

Numbers Unpack(const Type& type, const Bytes& bytes) {
  Numbers n;
  type.unpack(bytes.data(), n.codes.data(), n.scales.data(), kCols);
  return n;
}

/// Bytes of any value, but scales are finite, and so are the weights.
Bytes RandomRow(const Type& type, Rng& rng) {
  Bytes bytes(*type.RowBytes(kCols));
  const auto block = static_cast<size_t>(type.block_bytes);
  for (size_t at = 0; at < bytes.size(); at += block) {
    for (bool finite = false; !finite;) {
      for (size_t i = at; i < at + block; ++i) bytes[i] = static_cast<std::byte>(rng.Next() & 255);
      std::vector<float> values(static_cast<size_t>(type.block_weights));
      type.decode(&bytes[at], values.data(), type.block_weights);
      finite = std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
    }
  }
  return bytes;
}

std::vector<float> Decode(const Type& type, const Bytes& bytes) {
  std::vector<float> values(kCols);
  type.decode(bytes.data(), values.data(), kCols);
  return values;
}

/// Codes and scales that are the same in all of a row.
bool PacksAll(const Type& type, int8_t code, float scale, Bytes* bytes = nullptr) {
  Numbers n;
  std::fill(n.codes.begin(), n.codes.end(), code);
  std::fill(n.scales.begin(), n.scales.end(), scale);
  Bytes out(*type.RowBytes(kCols));
  const bool packed = type.pack(n.codes.data(), n.scales.data(), out.data(), kCols);
  if (bytes != nullptr) *bytes = out;
  return packed;
}

class CodesTest : public testing::TestWithParam<Type> {};
INSTANTIATE_TEST_SUITE_P(AllTypes, CodesTest, testing::ValuesIn(TypesWithCodes()),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST_P(CodesTest, CodesTimesScalesAreTheDecodedWeights) {
  const Type& type = GetParam();
  Rng rng(1);
  for (int trial = 0; trial < 20; ++trial) {
    Bytes bytes = RandomRow(type, rng);
    if (trial % 2 == 1) {  // infinite scales and NaNs too
      for (std::byte& b : bytes) b = static_cast<std::byte>(rng.Next() & 255);
    }
    const Numbers n = Unpack(type, bytes);
    const std::vector<float> values = Decode(type, bytes);
    for (size_t i = 0; i < kCols; ++i) {
      const float product = static_cast<float>(n.codes[i]) * n.scales[i / kScaleRun];
      ASSERT_TRUE(product == values[i] || (std::isnan(product) && std::isnan(values[i]))) << i;
      // Exact: the double product is the same number.
      if (!std::isfinite(product)) continue;
      ASSERT_EQ(double{n.scales[i / kScaleRun]} * n.codes[i], product);
    }
  }
}

TEST_P(CodesTest, PackGivesBackWhatWasUnpacked) {
  const Type& type = GetParam();
  Rng rng(2);
  for (int trial = 0; trial < 20; ++trial) {
    const Numbers n = Unpack(type, RandomRow(type, rng));
    Bytes packed(*type.RowBytes(kCols)), again(packed.size());
    ASSERT_TRUE(type.pack(n.codes.data(), n.scales.data(), packed.data(), kCols));
    const Numbers back = Unpack(type, packed);
    ASSERT_EQ(back.codes, n.codes);
    ASSERT_EQ(std::memcmp(back.scales.data(), n.scales.data(), n.scales.size() * sizeof(float)), 0);
    ASSERT_TRUE(type.pack(back.codes.data(), back.scales.data(), again.data(), kCols));
    ASSERT_EQ(again, packed);  // canonical bytes come back
  }
  std::vector<float> values(kCols);
  for (float& v : values) v = static_cast<float>(rng.Uniform() - 0.5);
  Bytes encoded(*type.RowBytes(kCols)), packed(encoded.size());
  type.encode(values.data(), encoded.data(), kCols);
  const Numbers n = Unpack(type, encoded);
  ASSERT_TRUE(type.pack(n.codes.data(), n.scales.data(), packed.data(), kCols));
  EXPECT_EQ(packed, encoded) << "what an encoder writes is canonical";
}

TEST_P(CodesTest, PackTakesTheCodesThatBytesCanMeanAndNoOthers) {
  const Type& type = GetParam();
  Rng rng(3);
  std::set<int> codes;
  for (int trial = 0; trial < 20; ++trial) {
    for (const int8_t code : Unpack(type, RandomRow(type, rng)).codes) codes.insert(code);
  }
  ASSERT_GE(codes.size(), 2u);
  for (int code = -128; code < 128; ++code) {
    Bytes bytes;
    const bool packed = PacksAll(type, static_cast<int8_t>(code), 0.5f, &bytes);
    ASSERT_EQ(packed, codes.count(code) != 0) << code;
    if (!packed) continue;
    ASSERT_EQ(Decode(type, bytes), std::vector<float>(kCols, static_cast<float>(code) / 2)) << code;
  }
}

TEST_P(CodesTest, PackRefusesScalesThatItCannotHold) {
  const Type& type = GetParam();
  for (const float bad : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    EXPECT_FALSE(PacksAll(type, 1, bad)) << bad;
  }
  const bool fp16 = type.name != "I2_S";
  // One bit more than fp16 has; too large; below the smallest.
  for (const float odd : {1 + 0x1p-11f, 65536.0f, 0x1p-25f, 3 * 0x1p-26f}) {
    Bytes bytes;
    ASSERT_EQ(PacksAll(type, 1, odd, &bytes), !fp16) << odd;
    EXPECT_TRUE(fp16 || Decode(type, bytes) == std::vector<float>(kCols, odd));
  }
  for (const float good : {0.0f, -0.0f, -1.5f, 65504.0f, 0x1p-24f}) {
    Bytes bytes;
    ASSERT_TRUE(PacksAll(type, 1, good, &bytes)) << good;
    const float back = Unpack(type, bytes).scales[0];
    EXPECT_EQ(std::memcmp(&back, &good, sizeof(good)), 0) << good;
  }
}

TEST_P(CodesTest, RunsOfABlockShareAScale) {
  const Type& type = GetParam();
  const int64_t n = type.block_weights;
  const auto runs = static_cast<size_t>(n / kScaleRun);
  Bytes bytes(static_cast<size_t>(type.block_bytes));
  std::vector<int8_t> codes(static_cast<size_t>(n), 1), back(codes.size());
  std::vector<float> scales(runs, 0.5f), back_scales(runs);
  scales.back() = 0.25f;
  EXPECT_EQ(type.pack(codes.data(), scales.data(), bytes.data(), n), runs == 1);
  if (!PacksAll(type, 0, 1.0f)) return;  // no zeros
  std::fill_n(codes.end() - kScaleRun, kScaleRun, int8_t{0});
  ASSERT_TRUE(type.pack(codes.data(), scales.data(), bytes.data(), n));
  type.unpack(bytes.data(), back.data(), back_scales.data(), n);
  EXPECT_EQ(back, codes);
  EXPECT_EQ(back_scales, std::vector<float>(runs, runs == 1 ? 0.25f : 0.5f)) << "zeros take their neighbours' scale";
  scales.back() = kInfinity;
  EXPECT_FALSE(type.pack(codes.data(), scales.data(), bytes.data(), n)) << "∞ · 0 is not 0";
  // Nothing but zeros: the first scale if fp16 has it, or none.
  std::fill(codes.begin(), codes.end(), int8_t{0});
  for (const float first : {0.125f, 1e6f}) {
    scales.assign(runs, 0.5f), scales[0] = first;
    ASSERT_TRUE(type.pack(codes.data(), scales.data(), bytes.data(), n));
    type.unpack(bytes.data(), back.data(), back_scales.data(), n);
    EXPECT_EQ(back, codes);
    EXPECT_EQ(back_scales[0], first == 1e6f && type.name != "I2_S" ? 0.0f : first);
  }
}

TEST_P(CodesTest, EncodeExactlyFindsWhateverTheFormatCanHold) {
  const Type& type = GetParam();
  Rng rng(4);
  for (int trial = 0; trial < 20; ++trial) {
    const std::vector<float> values = Decode(type, RandomRow(type, rng));
    Bytes bytes(*type.RowBytes(kCols));
    ASSERT_TRUE(EncodeExactly(type, values.data(), bytes.data(), kCols)) << trial;
    ASSERT_EQ(Decode(type, bytes), values) << trial;
  }
}

TEST(RepackTest, CodesThatHaveACommonDivisor) {
  // 1025 takes all the bits of fp16, so that the greatest common divisor, code · 1025, is no scale.
  constexpr float d = 1025;
  struct Case {
    const char* type;
    float code;
  };
  for (const Case& c : {Case{"Q8_0", 35}, Case{"Q8_0", 127}, Case{"Q8_0", -128}, Case{"Q4_0", 6}, Case{"Q4_0", -7}}) {
    const Type& type = *FindByName(c.type);
    std::vector<float> values(kCols);
    for (size_t i = 0; i < kCols; i += 3) values[i] = c.code * d;
    Bytes bytes(*type.RowBytes(kCols));
    ASSERT_TRUE(EncodeExactly(type, values.data(), bytes.data(), kCols)) << c.type << ", " << c.code;
    EXPECT_EQ(Decode(type, bytes), values) << c.type << ", " << c.code;
  }
}

TEST_P(CodesTest, EncodeExactlyRefusesEverythingElse) {
  const Type& type = GetParam();
  std::vector<float> values(kCols);
  for (size_t i = 0; i < kCols; ++i) values[i] = i % 3 == 0 ? -0.75f : 0.75f;
  Bytes bytes(*type.RowBytes(kCols));
  ASSERT_TRUE(EncodeExactly(type, values.data(), bytes.data(), kCols));
  EXPECT_FALSE(EncodeExactly(type, values.data(), bytes.data(), kCols - 1)) << "not whole blocks";
  for (const float bad : {std::nextafter(0.75f, 1.0f), 1e-30f, kInfinity, -kInfinity, std::nanf("")}) {
    for (const size_t at : {size_t{0}, size_t{kCols - 1}}) {
      std::vector<float> wrong = values;
      wrong[at] = bad;
      EXPECT_FALSE(EncodeExactly(type, wrong.data(), bytes.data(), kCols)) << bad << " at " << at;
    }
  }
  values.assign(kCols, -0.0f);
  ASSERT_TRUE(EncodeExactly(type, values.data(), bytes.data(), kCols));
  EXPECT_EQ(Decode(type, bytes), values) << "zeros, with a scale of 0 where there is no code 0";
}

/// ±d or {-d, 0, +d}, d shared by 256 and of 8 bits, so that all of BF16, F16 and F32 hold it.
std::vector<float> Shared(bool ternary, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(kCols);
  for (size_t i = 0; i < kCols; i += 256) {
    const float d = static_cast<float>(128 + rng.Next() % 128) * 0x1p-12f;
    for (size_t j = i; j < i + 256; ++j) {
      const uint64_t any = rng.Next() % 3;
      values[j] = any == 0 ? d : any == 1 || !ternary ? -d : 0.0f;
    }
    values[i] = d;
    for (size_t run = i; ternary && run < i + 256; run += kScaleRun) values[run] = d;  // so that no run has no scale
  }
  return values;
}

TEST(RepackTest, EveryPairOfFormatsKeepsWhatBothCanHold) {
  for (const bool ternary : {false, true}) {
    const std::vector<float> values = Shared(ternary, 5);
    const auto holds = [&](const Type& type) {
      return type.is_float || (type.pack != nullptr && (!ternary || PacksAll(type, 0, 1.0f)));
    };
    for (const Type& from : Types()) {
      Bytes bytes(*from.RowBytes(kCols));
      if (from.pack == nullptr && !from.is_float) continue;  // Q4_1 has its own test
      ASSERT_EQ(EncodeExactly(from, values.data(), bytes.data(), kCols), holds(from)) << from.name;
      if (!holds(from)) continue;
      ASSERT_EQ(Decode(from, bytes), values) << from.name;
      for (const Type& to : Types()) {
        if (to.pack == nullptr && !to.is_float) continue;
        Bytes there(*to.RowBytes(kCols)), back(bytes.size());
        ASSERT_EQ(Repack(from, bytes.data(), to, there.data(), kCols), holds(to)) << from.name << " to " << to.name;
        if (!holds(to)) continue;
        ASSERT_EQ(Decode(to, there), values) << from.name << " to " << to.name;
        ASSERT_TRUE(Repack(to, there.data(), from, back.data(), kCols)) << to.name << " to " << from.name;
        ASSERT_EQ(back, bytes) << from.name << " to " << to.name << " and back";
      }
    }
  }
}

TEST(RepackTest, FormatsWithAMinimum) {
  const Type &q4 = *FindByName("Q4_1"), &f32 = *FindByName("F32");
  Rng rng(6);
  std::vector<float> values(kCols);
  for (size_t i = 0; i < kCols; ++i) {
    values[i] = 0.125f * static_cast<float>(i % 32 == 0 ? 0 : i % 32 == 1 ? 15 : rng.Next() % 16) - 0.5f;
  }
  Bytes bytes(*q4.RowBytes(kCols)), floats(kCols * 4), back(bytes.size());
  ASSERT_TRUE(EncodeExactly(q4, values.data(), bytes.data(), kCols));
  ASSERT_TRUE(Repack(q4, bytes.data(), f32, floats.data(), kCols));
  EXPECT_EQ(std::memcmp(floats.data(), values.data(), floats.size()), 0);
  ASSERT_TRUE(Repack(f32, floats.data(), q4, back.data(), kCols));
  EXPECT_EQ(back, bytes);
  values[70] += 0x1p-10f;
  EXPECT_FALSE(EncodeExactly(q4, values.data(), bytes.data(), kCols));
}

TEST(RepackTest, ScalesThatDifferFitNarrowBlocksOnly) {
  const Type &g32 = *FindByName("Q1_0_G32"), &q1 = *FindByName("Q1_0"), &q8 = *FindByName("Q8_0");
  Rng rng(7);
  const Bytes bytes = RandomRow(g32, rng);
  Bytes out(*q8.RowBytes(kCols)), back(bytes.size());
  EXPECT_FALSE(Repack(g32, bytes.data(), q1, out.data(), kCols));
  ASSERT_TRUE(Repack(g32, bytes.data(), q8, out.data(), kCols));
  ASSERT_TRUE(Repack(q8, out.data(), g32, back.data(), kCols));
  EXPECT_EQ(back, bytes);
}

TEST(RepackTest, ARowOfOtherBlocksIsRefused) {
  const Type &q2 = *FindByName("Q2_0"), &tq2 = *FindByName("TQ2_0");
  Bytes bytes(*q2.RowBytes(320)), out(*tq2.RowBytes(512));
  EXPECT_TRUE(Repack(q2, bytes.data(), tq2, out.data(), 256));
  EXPECT_FALSE(Repack(q2, bytes.data(), tq2, out.data(), 320));
}

TEST(RepackTest, TheSameFormatIsACopyOfAnyBytes) {
  for (const Type& type : Types()) {
    Rng rng(8);
    Bytes bytes(*type.RowBytes(kCols)), out(bytes.size());
    for (std::byte& b : bytes) b = static_cast<std::byte>(rng.Next() & 255);
    EXPECT_TRUE(Repack(type, bytes.data(), type, out.data(), kCols));
    EXPECT_EQ(out, bytes) << type.name;
  }
}

TEST(RepackTest, CodeThreeOfTq2InGroupsBecomesZero) {
  const Type &from = *FindByName("TQ2_0_G128"), &to = *FindByName("PQ2_0");
  Bytes bytes(34, std::byte{0xe4}), out(34), expected(34, std::byte{0x64});  // 0, 1, 2, 3 becomes 0, 1, 2, 1
  bytes[32] = expected[0] = std::byte{0}, bytes[33] = expected[1] = std::byte{0x3c};
  ASSERT_TRUE(Repack(from, bytes.data(), to, out.data(), 128));
  EXPECT_EQ(out, expected);
}

}  // namespace
}  // namespace bonsai::quant
