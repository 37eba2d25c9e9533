// TokenKernels of every instruction set against the portable ones, bit for bit; and what the KV cache's types lose.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
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

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// Attention of `count` queries over 2 whole blocks and a diagonal one in which query i sees visible(i) keys. Returns
/// the outputs, then maxima and sums.
std::vector<float> Attend(const TokenKernels& kernels, KvType k_type, KvType v_type, int64_t k_width, int64_t v_width,
                          int32_t count) {
  constexpr int32_t kBlocks = 3;
  const std::vector<float> q = Randoms(count * k_width, 1), k = Randoms(kBlocks * kKvBlock * k_width, 2),
                           v = Randoms(kBlocks * kKvBlock * v_width, 3);
  std::vector<float> out(static_cast<size_t>(count * v_width)), scratch(size_t{kKvBlock} * 2 * 256);
  std::vector<AttendQuery> queries;
  for (int32_t i = 0; i < count; ++i) {
    queries.push_back({&q[static_cast<size_t>(i * k_width)], &out[static_cast<size_t>(i * v_width)], -INFINITY, 0, 0});
  }
  for (int32_t b = 0; b < kBlocks; ++b) {
    const auto k_count = kKvBlock * k_width, v_count = kKvBlock * v_width;
    // No byte more than stored: the sanitizer sees a kernel that reads past a row.
    std::vector<std::byte> keys(KvBytes(k_type, static_cast<size_t>(k_count)));
    std::vector<std::byte> values(KvBytes(v_type, static_cast<size_t>(v_count)));
    ref::KvFromFloat(k_type, &k[static_cast<size_t>(b * k_count)], k_count, keys.data());
    ref::KvFromFloat(v_type, &v[static_cast<size_t>(b * v_count)], v_count, values.data());
    for (int32_t i = 0; i < count; ++i) {
      queries[static_cast<size_t>(i)].visible = b + 1 < kBlocks ? kKvBlock : i * 13 % 66;  // 0, 13, 26, … 64 and 65 - 1
      if (queries[static_cast<size_t>(i)].visible > kKvBlock) queries[static_cast<size_t>(i)].visible = kKvBlock;
    }
    kernels.attend({k_type, v_type, keys.data(), values.data(), k_width, v_width, scratch.data()}, 0.37f,
                   queries.data(), count);
  }
  for (const AttendQuery& query : queries) out.push_back(query.max), out.push_back(query.sum);
  return out;
}

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
      for (const int64_t k_width : {64, 80, 128}) {
        const int64_t v_width = k_width == 80 ? 48 : k_width == 64 ? 96 : 128;
        if (k_width % KvBlockWidth(k_type) != 0 || v_width % KvBlockWidth(v_type) != 0) continue;
        for (const int32_t count : {1, 2, 3, 4, 5, 8, 15}) {
          const auto want = Attend(kPortableTokenKernels, k_type, v_type, k_width, v_width, count);
          ASSERT_TRUE(std::isfinite(want.back()));
          for (const KernelTable* table : FastTables()) {
            ASSERT_TRUE(SameBits(Attend(TokenKernelsFor(*table), k_type, v_type, k_width, v_width, count), want))
                << table->name << " " << KvTypeName(k_type) << " " << KvTypeName(v_type) << " " << k_width << " x "
                << count;
          }
        }
      }
    }
  }
}

TEST(TokenKernelsTest, NormAndSwiGluGiveThePortableBits) {
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

/// Stored and read again.
std::vector<float> Cached(KvType type, const std::vector<float>& x) {
  std::vector<std::byte> bytes(KvBytes(type, x.size()));
  std::vector<float> out(x.size());
  ref::KvFromFloat(type, x.data(), static_cast<int64_t>(x.size()), bytes.data());
  ref::KvToFloat(type, bytes.data(), static_cast<int64_t>(x.size()), out.data());
  return out;
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
  std::vector<float> x(32);
  for (size_t i = 0; i < 32; ++i) x[i] = static_cast<float>(static_cast<int>(i % 16) - 8);  // -8: code 0, d = 1
  std::vector<std::byte> bytes(18);
  ref::KvFromFloat(KvType::kQ4_0, x.data(), 32, bytes.data());
  EXPECT_EQ(bytes[1], std::byte{0x3c});  // fp16 1.0, little-endian
  for (size_t j = 0; j < 16; ++j) EXPECT_EQ(static_cast<size_t>(bytes[2 + j]), j * 0x11);
  EXPECT_EQ(Cached(KvType::kQ4_0, x), x);
  x[5] = 12;  // now d = -1.5, and only multiples of it are exact
  EXPECT_EQ(Cached(KvType::kQ4_0, x)[5], 12);
  x[5] = 127;  // q8_0: d = 1
  EXPECT_EQ(Cached(KvType::kQ8_0, x), x);
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
