#include "quant/ternary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"

namespace bonsai::quant {
namespace {

constexpr TernaryRule kRules[] = {TernaryRule::kMax, TernaryRule::kAbsMean, TernaryRule::kLeastSquares};

struct Chosen {
  std::vector<int8_t> codes;
  float scale;
};
Chosen Choose(TernaryRule rule, const std::vector<float>& x) {
  Chosen c = {std::vector<int8_t>(x.size(), 55), 0};
  c.scale = ChooseTernary(rule, x.data(), static_cast<int64_t>(x.size()), c.codes.data());
  return c;
}

TEST(TernaryRuleTest, KnownValues) {
  const std::vector<float> x = {4, -2, 1, -1, 0.5f, -0.0f, 0, 3.5f};
  // Half of the maximum is 2.
  Chosen c = Choose(TernaryRule::kMax, x);
  EXPECT_EQ(c.scale, 4.0f);
  EXPECT_EQ(c.codes, (std::vector<int8_t>{1, -1, 0, 0, 0, 0, 0, 1}));
  // The magnitudes' sum is 12, their mean 1.5.
  c = Choose(TernaryRule::kAbsMean, x);
  EXPECT_EQ(c.scale, 1.5f);
  EXPECT_EQ(c.codes, (std::vector<int8_t>{1, -1, 1, -1, 0, 0, 0, 1}));
  // Sum²/count of the kept: 4²/1 = 16, 7.5²/2 = 28.1, 9.5²/3 = 30.08, 11.5²/5 = 26.5 (both ones), 12²/6 = 24.
  c = Choose(TernaryRule::kLeastSquares, x);
  EXPECT_EQ(c.scale, 3.166015625f);  // 9.5 / 3 in 11 bits
  EXPECT_EQ(c.codes, (std::vector<int8_t>{1, -1, 0, 0, 0, 0, 0, 1}));
}

TEST(TernaryRuleTest, AbsMeanTiesGoToZero) {
  EXPECT_EQ(Choose(TernaryRule::kAbsMean, {1, -3, 2, 2}).codes, (std::vector<int8_t>{0, -1, 1, 1}));  // mean 2
}

TEST(TernaryRuleTest, LeastSquaresIsTheBestOfAllCodes) {
  Rng rng(1);
  for (int trial = 0; trial < 300; ++trial) {
    std::vector<float> x(7);
    for (float& v : x) v = static_cast<float>(rng.Uniform() - 0.5);
    if (trial % 2 == 0) {
      for (float& v : x) v = std::round(v * 8);  // ties, and zeros
    }
    // With the best scale for given codes the error is Σx² - (Σ code·x)² / Σ code².
    const auto gain = [&](auto code_of) {
      double product = 0, count = 0;
      for (size_t j = 0; j < x.size(); ++j) product += code_of(j) * double{x[j]}, count += code_of(j) * code_of(j);
      return count == 0 ? 0 : product * product / count;
    };
    double best = 0;
    for (int all = 0; all < 2187; ++all) {
      int codes[7];
      for (int j = 0, rest = all; j < 7; ++j, rest /= 3) codes[j] = rest % 3 - 1;
      best = std::max(best, gain([&](size_t j) { return codes[j]; }));
    }
    const Chosen c = Choose(TernaryRule::kLeastSquares, x);
    EXPECT_NEAR(gain([&](size_t j) { return int{c.codes[j]}; }), best, 1e-12) << trial;
    double sum = 0, count = 0;
    for (size_t j = 0; j < x.size(); ++j) sum += c.codes[j] * double{x[j]}, count += c.codes[j] != 0;
    EXPECT_NEAR(c.scale, count == 0 ? 0 : sum / count, 4 * 0x1p-11) << trial;  // below 4: half a unit of fp16
  }
}

TEST(TernaryRuleTest, ZerosAndFaults) {
  for (const TernaryRule rule : kRules) {
    const Chosen zeros = Choose(rule, {0, -0.0f, 0, 0});
    EXPECT_EQ(zeros.scale, 0.0f);
    EXPECT_EQ(zeros.codes, std::vector<int8_t>(4, 0));
    for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
      const Chosen fault = Choose(rule, {1, bad, 1, 1});
      EXPECT_TRUE(std::isnan(fault.scale));
      EXPECT_EQ(fault.codes, std::vector<int8_t>(4, 0));
    }
  }
}

TEST(TernaryRuleTest, TheFirstRuleIsThatOfTheFormats) {
  Rng rng(2);
  std::vector<float> x(1024);
  for (float& v : x) v = static_cast<float>(rng.Uniform() - 0.5);
  for (const char* name : {"Q2_0", "PQ2_0", "TQ2_0_G128", "TQ2_0", "TQ1_0", "PTQ1_0"}) {
    const Type& type = *FindByName(name);
    std::vector<std::byte> own(*type.RowBytes(1024)), chosen(own.size());
    type.encode(x.data(), own.data(), 1024);
    ASSERT_TRUE(EncodeTernary(type, TernaryRule::kMax, x.data(), chosen.data(), 1024)) << name;
    EXPECT_EQ(chosen, own) << name;
  }
}

TEST(TernaryRuleTest, EncodeTernaryHasAScaleABlock) {
  Rng rng(3);
  std::vector<float> x(512), decoded(512);
  for (float& v : x) v = static_cast<float>(rng.Uniform() - 0.5);
  for (const TernaryRule rule : kRules) {
    for (const Type& type : Types()) {
      std::vector<std::byte> bytes(*type.RowBytes(512));
      const bool holds = type.pack != nullptr && type.name.substr(0, 2) != "Q1";
      ASSERT_EQ(EncodeTernary(type, rule, x.data(), bytes.data(), 512), holds) << type.name;
      if (!holds) continue;
      type.decode(bytes.data(), decoded.data(), 512);
      for (size_t i = 0; i < 512; i += static_cast<size_t>(type.block_weights)) {
        const Chosen c = Choose(
            rule, {x.begin() + static_cast<ptrdiff_t>(i), x.begin() + static_cast<ptrdiff_t>(i) + type.block_weights});
        for (size_t j = 0; j < c.codes.size(); ++j) ASSERT_EQ(decoded[i + j], c.scale * c.codes[j]) << type.name;
      }
    }
  }
  std::vector<std::byte> bytes(*FindByName("TQ2_0")->RowBytes(512));
  for (const float bad : {1e6f, std::nanf("")}) {  // a scale that fp16 does not reach; a fault
    std::vector<float> wrong(512, bad);
    EXPECT_FALSE(EncodeTernary(*FindByName("TQ2_0"), TernaryRule::kMax, wrong.data(), bytes.data(), 512));
  }
}

}  // namespace
}  // namespace bonsai::quant
