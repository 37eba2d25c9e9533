#include <gtest/gtest.h>

#include <cmath>

#include "model/config.h"

namespace bonsai::model {
namespace {

TEST(RopeTest, PlainFrequencies) {
  const RopeFrequencies f = ComputeRope({.base = 10000}, 64);
  ASSERT_EQ(f.inv_freq.size(), 32u);
  EXPECT_EQ(f.inv_freq[0], 1.0f);
  EXPECT_FLOAT_EQ(f.inv_freq[16], 0.01f);  // 10000^(-1/2)
  EXPECT_EQ(f.scale, 1.0f);
}

TEST(RopeTest, LinearSlowsEveryPair) {
  const RopeFrequencies f = ComputeRope({.base = 10000, .scaling = RopeConfig::Scaling::kLinear, .factor = 4}, 64);
  EXPECT_EQ(f.inv_freq[0], 0.25f);
  EXPECT_FLOAT_EQ(f.inv_freq[16], 0.0025f);
}

// Bonsai-8B: base 1e6, width 128, ×4 over 16,384. By hand: pair(turns) = 128·ln(16384 / (2π·turns)) / (2·ln 1e6);
// pair(32) = 20.38, pair(1) = 36.44, so pairs up to 20 keep their speed and pairs from 37 on are slowed four times.
TEST(RopeTest, YarnOfTheRealModel) {
  const RopeConfig config{.base = 1e6f, .scaling = RopeConfig::Scaling::kYarn, .factor = 4, .original_context = 16384};
  const RopeFrequencies f = ComputeRope(config, 128);
  const auto plain = [](int i) { return std::pow(1e6, -2.0 * i / 128); };
  for (int i = 0; i <= 20; i++) EXPECT_FLOAT_EQ(f.inv_freq[static_cast<size_t>(i)], static_cast<float>(plain(i))) << i;
  for (int i = 37; i < 64; i++)
    EXPECT_FLOAT_EQ(f.inv_freq[static_cast<size_t>(i)], static_cast<float>(plain(i) / 4)) << i;
  // Pair 30 is 10/17 of the way: speed · (7/17 + 10/17 / 4).
  EXPECT_FLOAT_EQ(f.inv_freq[30], static_cast<float>(plain(30) * (7.0 / 17 + 10.0 / 17 / 4)));
  EXPECT_FLOAT_EQ(f.scale, 1.1386294f);  // 0.1·ln 4 + 1
}

TEST(RopeTest, BadValuesAreNamed) {
  const auto parse = [](const char* key, formats::Value value) {
    formats::Metadata m("file");
    EXPECT_TRUE(m.Add("x.rope.scaling.type", {.kind = formats::ValueKind::kString, .data = std::string("yarn")}));
    for (const auto& [k, v] : {std::pair<const char*, double>{"factor", 4}, {"original_context_length", 16384}}) {
      const std::string full = std::string("x.rope.scaling.") + k;
      if (full == key) continue;
      EXPECT_TRUE(m.Add(full, {.kind = formats::ValueKind::kU32, .data = static_cast<int64_t>(v)}));
    }
    EXPECT_TRUE(m.Add(key, std::move(value)));
    return ParseRope(m, "x");
  };
  const auto f32 = [](double v) { return formats::Value{.kind = formats::ValueKind::kF32, .data = v}; };
  const auto u32 = [](int64_t v) { return formats::Value{.kind = formats::ValueKind::kU32, .data = v}; };
  EXPECT_TRUE(parse("x.rope.freq_base", f32(1e6)));
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, formats::Value>>{{"x.rope.freq_base", f32(0)},
                                                           {"x.rope.freq_base", f32(NAN)},
                                                           {"x.rope.scaling.factor", f32(0.5)},
                                                           {"x.rope.scaling.original_context_length", u32(0)},
                                                           {"x.rope.scaling.attn_factor", f32(-1)},
                                                           {"x.rope.scaling.yarn_beta_fast", f32(0.5)}}) {
    const auto r = parse(key, value);
    ASSERT_FALSE(r) << key;
    EXPECT_EQ(r.error().code(), ErrorCode::kCorrupt);
    EXPECT_NE(r.error().message().find(key), std::string::npos) << r.error().message();
  }
}

}  // namespace
}  // namespace bonsai::model
