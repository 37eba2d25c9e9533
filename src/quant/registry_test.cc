// What must hold for every row of the table, whatever formats it has.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "quant/types.h"

namespace bonsai::quant {
namespace {

constexpr int64_t kCols = 1024;

class RegistryTest : public testing::TestWithParam<Type> {};
INSTANTIATE_TEST_SUITE_P(AllTypes, RegistryTest, testing::ValuesIn(Types().begin(), Types().end()),
                         [](const auto& tested) { return std::string(tested.param.name); });

/// Values of very different sizes: exponents -20..3, either sign.
std::vector<float> Values(uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(kCols);
  for (float& v : values)
    v = static_cast<float>(std::ldexp(rng.Uniform() - 0.5, static_cast<int>(rng.Next() % 24) - 20));
  return values;
}

std::vector<std::byte> Encode(const Type& type, const std::vector<float>& values) {
  std::vector<std::byte> bytes(*type.RowBytes(kCols));
  type.encode(values.data(), bytes.data(), kCols);
  return bytes;
}

std::vector<float> Decode(const Type& type, const std::vector<std::byte>& bytes) {
  std::vector<float> values(kCols);
  type.decode(bytes.data(), values.data(), kCols);
  return values;
}

TEST_P(RegistryTest, RowIsComplete) {
  const Type& type = GetParam();
  EXPECT_FALSE(type.name.empty());
  EXPECT_TRUE(type.decode != nullptr && type.encode != nullptr && type.dot != nullptr);
  EXPECT_EQ(type.unpack == nullptr, type.dot_i8 == nullptr);
  EXPECT_EQ(type.unpack == nullptr, type.pack == nullptr);
  EXPECT_TRUE(!type.is_float || type.unpack == nullptr);
  EXPECT_TRUE(type.unpack == nullptr || type.block_weights % kScaleRun == 0);
  EXPECT_EQ(type.block_weights % type.dot_weights(), 0);
  EXPECT_EQ(kActGroup % type.dot_weights(), 0) << "an integer sum would mix activations of two scales";
  EXPECT_EQ(FindByGgmlId(type.ggml_id)->name, type.name);  // no id twice
  EXPECT_EQ(FindByName(type.name)->ggml_id, type.ggml_id);
  EXPECT_TRUE(type.file_id == type.ggml_id || type.ggml_id >= kPrivateIds);
  EXPECT_LT(type.file_id, kPrivateIds);
  const std::vector<const Type*> meant = CandidatesFor(type.file_id);
  EXPECT_EQ(std::count(meant.begin(), meant.end(), FindByName(type.name)), 1);
  EXPECT_EQ(kCols % type.block_weights, 0) << "the tests below need a wider row";
  EXPECT_TRUE(KnownGgmlName(type.ggml_id).empty()) << "listed as a format that is not run";
}

TEST_P(RegistryTest, DecodedValuesEncodeToThemselves) {
  const Type& type = GetParam();
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const std::vector<float> once = Decode(type, Encode(type, Values(seed)));
    EXPECT_EQ(Decode(type, Encode(type, once)), once) << seed;
  }
}

TEST_P(RegistryTest, DotIsTheDotOfTheDecodedRow) {
  const Type& type = GetParam();
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const std::vector<std::byte> bytes = Encode(type, Values(seed));
    const std::vector<float> w = Decode(type, bytes), x = Values(seed + 1000);
    double expected = 0, magnitude = 0;
    for (size_t i = 0; i < kCols; ++i) {
      expected += static_cast<double>(w[i]) * x[i];
      magnitude += std::fabs(static_cast<double>(w[i]) * x[i]);
    }
    // Products are exact in double; two sums of n terms differ by at most 2·n·2^-53 of the magnitudes.
    EXPECT_NEAR(type.dot(bytes.data(), x.data(), kCols), expected, 2 * kCols * 0x1p-53 * magnitude);
  }
}

TEST_P(RegistryTest, IntegerDotTimesScaleIsExact) {
  const Type& type = GetParam();
  if (type.dot_i8 == nullptr) return;  // no codes (RowIsComplete checks that)
  const auto part = static_cast<size_t>(type.dot_weights()), parts = kCols / part;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const std::vector<std::byte> bytes = Encode(type, Values(seed));
    const std::vector<float> w = Decode(type, bytes);
    Rng rng(seed);
    std::vector<int8_t> x(kCols);
    for (int8_t& q : x) q = static_cast<int8_t>(static_cast<int64_t>(rng.Next() % 255) - 127);
    if (seed == 0) x.assign(kCols, -127);
    std::vector<int32_t> sums(parts);
    std::vector<float> scales(parts);
    type.dot_i8(bytes.data(), x.data(), kCols, sums.data(), scales.data());
    for (size_t p = 0; p < parts; ++p) {
      // Every term is scale · (14 bits) with a scale of at most 24 bits: a multiple of the scale's last bit, and the
      // sum of 128 stays below 2^53 of them. Exact in double.
      double expected = 0;
      for (size_t at = p * part; at < (p + 1) * part; ++at) expected += static_cast<double>(w[at]) * x[at];
      EXPECT_EQ(static_cast<double>(scales[p]) * sums[p], expected) << seed << " part " << p;
    }
  }
}

TEST_P(RegistryTest, RowBytes) {
  const Type& type = GetParam();
  EXPECT_EQ(*type.RowBytes(type.block_weights), static_cast<uint64_t>(type.block_bytes));
  EXPECT_EQ(*type.RowBytes(kCols), static_cast<uint64_t>(kCols / type.block_weights * type.block_bytes));
  std::vector<int64_t> bad = {0, -type.block_weights};
  if (type.block_weights > 1) bad.push_back(type.block_weights + 1);
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  if (type.block_bytes > type.block_weights) bad.push_back(kMax / type.block_weights * type.block_weights);
  for (const int64_t cols : bad) {
    const Result<uint64_t> bytes = type.RowBytes(cols);
    ASSERT_FALSE(bytes) << cols;
    EXPECT_EQ(bytes.error().code(), ErrorCode::kCorrupt);
    EXPECT_NE(bytes.error().message().find(type.name), std::string::npos) << bytes.error().message();
  }
}

TEST(RegistryLookupTest, NamesIgnoreCaseAndUnknownIsNull) {
  EXPECT_EQ(FindByName("q1_0"), FindByGgmlId(41));
  EXPECT_EQ(FindByName("bf16"), FindByGgmlId(30));
  EXPECT_EQ(FindByName("Q1_"), nullptr);
  EXPECT_EQ(FindByName(""), nullptr);
  EXPECT_EQ(FindByGgmlId(12), nullptr);
  EXPECT_EQ(FindByGgmlId(0xffffffffu), nullptr);
}

TEST(RegistryLookupTest, OtherNames) {
  EXPECT_EQ(FindByName("Q1_0_g128"), FindByName("Q1_0"));
  EXPECT_EQ(FindByName("Q2_0_G64"), FindByName("Q2_0"));
  EXPECT_EQ(FindByName("q2_0_g128"), FindByName("PQ2_0"));
}

TEST(RegistryLookupTest, IdsThatSeveralFormatsUse) {
  const auto names = [](uint32_t id) {
    std::vector<std::string_view> all;
    for (const Type* type : CandidatesFor(id)) all.push_back(type->name);
    return all;
  };
  EXPECT_EQ(names(42), (std::vector<std::string_view>{"Q2_0", "PQ2_0", "TQ2_0_G128"}));
  EXPECT_EQ(names(142), (std::vector<std::string_view>{"PQ2_0"}));
  EXPECT_EQ(names(40), (std::vector<std::string_view>{"Q1_0_G32"}));
  EXPECT_EQ(names(36), (std::vector<std::string_view>{"I2_S"}));
  EXPECT_EQ(names(41), (std::vector<std::string_view>{"Q1_0"}));
  EXPECT_TRUE(names(12).empty());
  EXPECT_TRUE(names(kPrivateIds + 42).empty());
  EXPECT_EQ(FindByGgmlId(40), nullptr) << "NVFP4 would be read as ours";
  EXPECT_EQ(FindByGgmlId(36), nullptr) << "files do not hold blocks";
}

TEST(RegistryLookupTest, BitsPerWeight) {
  EXPECT_EQ(FindByName("Q1_0")->bits_per_weight(), 1.125);
  EXPECT_EQ(FindByName("Q2_0")->bits_per_weight(), 2.25);
  EXPECT_EQ(FindByName("TQ2_0")->bits_per_weight(), 2.0625);
  EXPECT_EQ(FindByName("TQ1_0")->bits_per_weight(), 1.6875);
  EXPECT_EQ(FindByName("PTQ1_0")->bits_per_weight(), 1.75);
  EXPECT_EQ(FindByName("Q1_0_G32")->bits_per_weight(), 1.5);
  EXPECT_EQ(FindByName("Q8_0")->bits_per_weight(), 8.5);
  EXPECT_EQ(FindByName("BF16")->bits_per_weight(), 16.0);
}

TEST(RegistryLookupTest, KnownNames) {
  EXPECT_EQ(KnownGgmlName(12), "Q4_K");
  EXPECT_EQ(KnownGgmlName(40), "NVFP4");
  EXPECT_EQ(KnownGgmlName(36), "I2_S");
  EXPECT_EQ(KnownGgmlName(99), "");
  std::set<std::string_view> names;
  size_t known = 0;
  for (uint32_t id = 0; id < 256; ++id) {
    if (!KnownGgmlName(id).empty()) ++known, names.insert(KnownGgmlName(id));
  }
  EXPECT_EQ(names.size(), known) << "a name twice";
}

}  // namespace
}  // namespace bonsai::quant
