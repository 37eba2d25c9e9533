// TokenKernels of every instruction set against the portable ones, bit for bit; and what the KV cache's types lose.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/half.h"
#include "kernels/cpu/select.h"
#include "kernels/ref/ref.h"
#include "kernels/test_util.h"

namespace bonsai::kernels {
namespace {

using namespace test;  // NOLINT(build/namespaces)

/// Tables that this CPU runs, the portable one left out.
std::vector<const KernelTable*> FastTables() {
  std::vector<const KernelTable*> tables;
  for (const KernelTable* table : AllKernelTables()) {
    if (table != &kPortableKernels && (table->needs & ~DetectCpuBits()) == 0) tables.push_back(table);
  }
  return tables;
}

/// Every NaN is as good as another: which operand's bits it keeps is not defined.
bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float x, float y) {
    return std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y) || (std::isnan(x) && std::isnan(y));
  });
}

/// Inputs of an attention and its state after two blocks, by one table.
struct Attention {
  KvType k_type, v_type;
  int64_t k_width, v_width;
  int32_t count;    // queries
  int32_t visible;  // positions of the second block that the first query sees; later ones see `step` more each, mod 65
  float scale;      // of the numbers: 1, or what overflows
  int32_t step = 13;

  /// The outputs, then maxima and sums.
  std::vector<float> Run(const TokenKernels& kernels) const {
    constexpr int32_t kBlocks = 2;
    std::vector<float> q = Randoms(count * k_width, 1), k = Randoms(kBlocks * kKvBlock * k_width, 2),
                       v = Randoms(kBlocks * kKvBlock * v_width, 3), out(static_cast<size_t>(count * v_width));
    for (float& x : k) x *= scale;
    for (float& x : v) x *= scale;
    std::vector<AttendQuery> queries;
    std::vector<int8_t> codes(q.size());
    const size_t groups = static_cast<size_t>(k_width / kKvGroup), n = static_cast<size_t>(count);
    std::vector<float> scales(groups * n + 1);
    std::vector<int32_t> sums(groups * n + 1);
    for (size_t i = 0; i < n; ++i) {
      const size_t at = i * static_cast<size_t>(k_width);
      for (size_t b = 0; b < groups; ++b) {
        scales[i * groups + b] = quant::QuantizeGroupI8(&q[at + b * kKvGroup], kKvGroup, &codes[at + b * kKvGroup]);
        for (size_t d = 0; d < kKvGroup; ++d) sums[i * groups + b] += codes[at + b * kKvGroup + d];
      }
      queries.push_back({&q[at], &codes[at], &scales[i * groups], &sums[i * groups],
                         &out[i * static_cast<size_t>(v_width)], -INFINITY, 0, kKvBlock});
    }
    for (int32_t b = 0; b < kBlocks; ++b) {
      // No byte more than stored: the sanitizer sees a kernel that reads past a block. Positions that no query sees
      // hold whatever was there: NaN, in most types.
      std::vector<std::byte> keys(KvBytes(k_type, static_cast<size_t>(kKvBlock * k_width)), std::byte{0xff});
      std::vector<std::byte> values(KvBytes(v_type, static_cast<size_t>(kKvBlock * v_width)), std::byte{0xff});
      int32_t most = 0;
      for (int32_t i = 0; b > 0 && i < count; ++i) queries[static_cast<size_t>(i)].visible = (visible + i * step) % 65;
      for (const AttendQuery& query : queries) most = std::max(most, query.visible);
      ref::StoreKeys(k_type, &k[static_cast<size_t>(b * kKvBlock * k_width)], k_width, most, k_width, 0, keys.data());
      ref::StoreValues(v_type, &v[static_cast<size_t>(b * kKvBlock * v_width)], v_width, most, v_width, 0,
                       values.data());
      kernels.attend({k_type, v_type, keys.data(), values.data(), k_width, v_width, b == 0 ? keys.data() : nullptr},
                     0.37f, queries.data(), count);
    }
    for (const AttendQuery& query : queries) out.push_back(query.max), out.push_back(query.sum);
    return out;
  }
  void ExpectPortableBits() const {
    const std::vector<float> want = Run(kPortableTokenKernels);
    ASSERT_TRUE(scale != 1 || std::isfinite(std::accumulate(want.begin(), want.end(), 0.0f)));
    for (const KernelTable* table : FastTables()) {
      ASSERT_TRUE(SameBits(Run(TokenKernelsFor(*table)), want))
          << table->name << " " << KvTypeName(k_type) << " x " << k_width << ", " << KvTypeName(v_type) << " x "
          << v_width << ", " << count << " queries, " << visible << " visible, scale " << scale;
    }
  }
};

TEST(TokenKernelsTest, EveryTableHasItsOwn) {
  EXPECT_EQ(&TokenKernelsFor(kPortableKernels), &kPortableTokenKernels);
  for (const KernelTable* table : FastTables()) {
    const TokenKernels& kernels = TokenKernelsFor(*table);
    EXPECT_NE(&kernels, &kPortableTokenKernels) << table->name;
    EXPECT_EQ(kernels.needs & ~table->needs, 0u) << table->name;
  }
}

TEST(TokenKernelsTest, AttentionGivesThePortableBits) {
  for (const KvType k_type : AllKvTypes()) {
    for (const KvType v_type : AllKvTypes()) {
      for (const int32_t count : {1, 2, 3, 4, 5, 6, 7, 8, 9}) {
        Attention{k_type, v_type, 32, 96, count, 64, 1}.ExpectPortableBits();
        Attention{k_type, v_type, 128, 128, count, 40 + count, 1}.ExpectPortableBits();
      }
    }
  }
}

TEST(TokenKernelsTest, AttentionOfAnyWidth) {
  for (const KvType type : AllKvTypes()) {
    const auto step = std::max(16, KvBlockWidth(type));
    for (int64_t width = step; width <= 256; width += step) {
      for (const int32_t count : {1, 2, 4}) Attention{type, type, width, width, count, 20, 1}.ExpectPortableBits();
      if (KvBlockWidth(type) == 1) Attention{type, type, width - 3, width, 2, 20, 1}.ExpectPortableBits();
    }
  }
}

TEST(TokenKernelsTest, AttentionOfAnyNumberOfPositions) {
  for (const KvType type : AllKvTypes()) {
    for (int32_t visible = 0; visible <= kKvBlock; ++visible) {
      for (const int32_t count : {1, 2, 4}) Attention{type, type, 32, 32, count, visible, 1, 1}.ExpectPortableBits();
    }
  }
}

TEST(TokenKernelsTest, AttentionOfExtremeNumbers) {
  // Scores that overflow, leave one key alone, are all equal, or are subnormal.
  for (const float scale : {0.0f, 1e-40f, 1e-20f, 1e3f, 6e4f, 3e38f}) {
    for (const KvType type : AllKvTypes()) {
      for (const int32_t count : {1, 2, 4}) Attention{type, type, 64, 64, count, 33, scale}.ExpectPortableBits();
    }
  }
}

TEST(TokenKernelsTest, NormAndGatesGiveThePortableBits) {
  for (const int64_t n : {1, 15, 16, 17, 40, 80, 128, 200, 4096}) {
    std::vector<float> x = Randoms(n, 1), gain = Randoms(n, 2), want(x.size()), got(x.size());
    for (float& v : x) v *= 100;  // SiLU on both of its ends
    x[0] = -0.0f;
    for (const KernelTable* table : FastTables()) {
      const TokenKernels& kernels = TokenKernelsFor(*table);
      ref::RmsNorm(x.data(), gain.data(), 1e-6f, n, want.data());
      kernels.rms_norm(x.data(), gain.data(), 1e-6f, n, got.data());
      ASSERT_TRUE(SameBits(got, want)) << table->name << " " << n;
      ref::SwiGlu(x.data(), gain.data(), n, want.data());
      kernels.swiglu(x.data(), gain.data(), n, got.data());
      ASSERT_TRUE(SameBits(got, want)) << table->name << " " << n;
      for (const float special : {-0.0f, NAN, INFINITY, -INFINITY, 1e30f}) {
        x[0] = special;
        ref::Relu2Glu(x.data(), gain.data(), n, want.data());
        kernels.relu2_glu(x.data(), gain.data(), n, got.data());
        ASSERT_TRUE(SameBits(got, want)) << table->name << " " << n << " " << special;
      }
      x[0] = -0.0f;
    }
  }
}

TEST(TokenKernelsTest, QuantiserGivesThePortableBits) {
  for (const int64_t n : {1, 15, 16, 100, 127, 128, 129, 300, 4096}) {
    for (const float special : {0.5f, 0.0f, 1e-39f, 0x1p-118f, 3e38f, INFINITY, -INFINITY, NAN}) {
      for (const float scale : {1.0f, 0.0f, 1e-38f, 1e38f}) {
        std::vector<float> x = Randoms(n, 7);
        for (float& v : x) v *= scale;
        x[static_cast<size_t>(n / 2)] = special;
        for (size_t i = 1; i < x.size(); i += 9) x[i] = 0.5f * special * (static_cast<float>(i % 5) / 127);  // ties
        std::vector<int8_t> want(x.size() + 1, 99), got(x.size() + 1, 99);  // and nothing beyond
        std::vector<float> want_scales(static_cast<size_t>(quant::ActGroups(n))), scales(want_scales.size());
        quant::QuantizeRowI8(x.data(), n, want.data(), want_scales.data());
        for (const KernelTable* table : FastTables()) {
          TokenKernelsFor(*table).quantize(x.data(), n, got.data(), scales.data());
          ASSERT_EQ(got, want) << table->name << " " << n << " " << special;
          for (size_t g = 0; g < scales.size(); ++g) {
            ASSERT_TRUE(scales[g] == want_scales[g] || (std::isnan(scales[g]) && std::isnan(want_scales[g])));
          }
        }
      }
    }
  }
}

/// Stored as one key of a block and read again.
std::vector<float> Cached(KvType type, const std::vector<float>& x) {
  std::vector<std::byte> block(KvBytes(type, kKvBlock * x.size()));
  const auto width = static_cast<int64_t>(x.size());
  ref::StoreKeys(type, x.data(), 0, 1, width, 9, block.data());
  return StoredKey(type, block.data(), width, 9);
}

TEST(KvTypesTest, SlotsAreApartAndKeysAreAsValues) {
  constexpr int64_t kWidth = 96, kFirst = 7, kCount = 20;
  const std::vector<float> a = Randoms(kKvBlock * kWidth, 1), b = Randoms(kCount * kWidth, 2);
  for (const KvType type : AllKvTypes()) {
    std::vector<std::byte> keys(KvBytes(type, kKvBlock * kWidth)), values(keys.size());
    ref::StoreKeys(type, a.data(), kWidth, kKvBlock, kWidth, 0, keys.data());
    ref::StoreKeys(type, b.data(), kWidth, kCount, kWidth, kFirst, keys.data());
    ref::StoreValues(type, a.data(), kWidth, kKvBlock, kWidth, 0, values.data());
    ref::StoreValues(type, b.data(), kWidth, kCount, kWidth, kFirst, values.data());
    for (int64_t slot = 0; slot < kKvBlock; ++slot) {
      const bool second = slot >= kFirst && slot < kFirst + kCount;
      const float* x =
          second ? &b[static_cast<size_t>((slot - kFirst) * kWidth)] : &a[static_cast<size_t>(slot * kWidth)];
      const std::vector<float> want = Cached(type, {x, x + kWidth});
      EXPECT_EQ(StoredKey(type, keys.data(), kWidth, slot), want) << KvTypeName(type) << " " << slot;
      EXPECT_EQ(StoredValue(type, values.data(), kWidth, slot), want) << KvTypeName(type) << " " << slot;
    }
  }
}

TEST(KvTypesTest, QuantisersStayWithinTheirBounds) {
  for (const float scale : {1.0f, 1e-3f, 300.0f}) {
    std::vector<float> x = Randoms(32 * 500, 5);
    for (float& v : x) v *= scale;
    const std::vector<float> q8 = Cached(KvType::kQ8_0, x), q4 = Cached(KvType::kQ4_0, x);
    for (size_t b = 0; b < x.size(); b += 32) {
      float amax = 0;
      for (size_t i = b; i < b + 32; ++i) amax = std::max(amax, std::fabs(x[i]));
      // d is rounded to fp16 (2^-11; subnormal below 2^-14: half a step of 2^-24). q8_0 divides by the rounded d, so a
      // code is wrong by at most a half, and the codes reach 127·(1 + 2^-11) without being clamped. q4_0 clamps the
      // positive end of 8·d to 7. Float roundings are below 1e-5 of these.
      const double half = 0x1p-11, step = 0x1p-25;
      const double d8 = amax / 127.0 * (1 + half) + step, d4 = amax / 8.0 * (1 + half) + step;
      for (size_t i = b; i < b + 32; ++i) {
        ASSERT_NEAR(q8[i], x[i], 1.00001 * (d8 / 2 + 127 * step));
        ASSERT_NEAR(q4[i], x[i], 1.00001 * (d4 * (1 + 8 * half) + 8 * step));
      }
    }
  }
}

TEST(KvTypesTest, LayoutOfTheBlocks) {
  constexpr size_t kSlot = 3, kScales = size_t{kKvBlock} * 2;
  std::vector<float> x(32);
  for (size_t i = 0; i < 32; ++i) x[i] = static_cast<float>(static_cast<int>(i % 16) - 8);  // -8: d = 1
  std::vector<std::byte> keys(KvBytes(KvType::kQ4_0, kKvBlock * 32)), values(keys.size());
  ref::StoreKeys(KvType::kQ4_0, x.data(), 0, 1, 32, kSlot, keys.data());
  ref::StoreValues(KvType::kQ4_0, x.data(), 0, 1, 32, kSlot, values.data());
  for (const auto& block : {keys, values}) EXPECT_EQ(block[kSlot * 2 + 1], std::byte{0x3c});  // fp16 1.0, little-endian
  for (size_t d = 0; d < 32; ++d) {
    const auto key = static_cast<size_t>(keys[kScales + (d / 8 * kKvBlock + kSlot) * 4 + d % 4]);
    EXPECT_EQ(d % 8 < 4 ? key & 15 : key >> 4, d % 16);
    const auto value = static_cast<size_t>(values[kScales + kSlot * 16 + d % 16]);
    EXPECT_EQ(d < 16 ? value & 15 : value >> 4, d % 16);
  }
  EXPECT_EQ(Cached(KvType::kQ4_0, x), x);
  x[5] = 12;  // now d = -1.5, and only multiples of it are exact
  EXPECT_EQ(Cached(KvType::kQ4_0, x)[5], 12);
  x[5] = 127;  // q8_0: d = 1
  EXPECT_EQ(Cached(KvType::kQ8_0, x), x);
  keys.resize(KvBytes(KvType::kQ8_0, kKvBlock * 32)), values.resize(keys.size());
  ref::StoreKeys(KvType::kQ8_0, x.data(), 0, 1, 32, kSlot, keys.data());
  ref::StoreValues(KvType::kQ8_0, x.data(), 0, 1, 32, kSlot, values.data());
  for (size_t d = 0; d < 32; ++d) {
    EXPECT_EQ(static_cast<int>(keys[kScales + (d / 4 * kKvBlock + kSlot) * 4 + d % 4]) - 128, static_cast<int>(x[d]));
    EXPECT_EQ(static_cast<int8_t>(values[kScales + kSlot * 32 + d]), static_cast<int>(x[d]));
  }
}

TEST(KvTypesTest, HalfSaturates) {
  EXPECT_EQ(Cached(KvType::kF16, {70000.0f, -70000.0f, 65504.0f, 1.0f}), (std::vector<float>{65504, -65504, 65504, 1}));
}

TEST(KvTypesTest, OutliersSaturateAndFaultsStay) {
  std::vector<float> x(64, 1.0f);
  x[3] = INFINITY, x[40] = NAN;
  for (const KvType type : {KvType::kQ8_0, KvType::kQ4_0}) {
    const std::vector<float> out = Cached(type, x);
    for (size_t i = 0; i < 32; ++i) EXPECT_TRUE(std::isfinite(out[i])) << i;
    EXPECT_GT(out[3], 5e5);
    for (size_t i = 32; i < 64; ++i) EXPECT_TRUE(std::isnan(out[i])) << i;
    for (const float v : Cached(type, std::vector<float>(32, 0.0f))) EXPECT_EQ(v, 0);
  }
}

TEST(KvTypesTest, NamesAndSizes) {
  for (const KvType type : AllKvTypes()) EXPECT_EQ(*KvTypeByName(KvTypeName(type)), type);
  EXPECT_EQ(KvTypeByName("q5_1").error().message(),
            "there is no KV cache type 'q5_1'; use one of: f32, f16, q8_0, q4_0");
  EXPECT_EQ(KvBytes(KvType::kQ8_0, 128), 136u);
  EXPECT_EQ(KvBytes(KvType::kQ4_0, 128), 72u);
  const KvSpec spec = {.layers = 1, .kv_heads = 1, .k_width = 128, .v_width = 80, .v_type = KvType::kQ4_0};
  const auto device = MakeDevice(1, ActType::kI8);
  const auto store = device->NewKvStore(spec);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_NE(store.error().message().find("q4_0"), std::string::npos);
  EXPECT_NE(store.error().message().find("80"), std::string::npos);
}

}  // namespace
}  // namespace bonsai::kernels
