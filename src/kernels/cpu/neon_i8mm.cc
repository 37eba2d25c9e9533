// ARM with the matrix product of bytes (FEAT_I8MM: Neoverse V1 and N2, Cortex-A510 and A710, Apple M2, and newer).
//
// Many tokens: smmla multiplies 2 rows × 8 columns with 8 columns × 2 tokens, 32 products where sdot makes 16. For one
// token half of them would be wasted: those kernels are neon_dot.cc's.
#include "kernels/cpu/isa.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#include "kernels/cpu/tiles_2bit.h"
#include "kernels/cpu/tiles_avx2.h"

#if defined(__clang__)
#define BONSAI_TARGET "dotprod,i8mm"
#else
#define BONSAI_TARGET "arch=armv8.2-a+dotprod+i8mm"
#endif
#include "kernels/cpu/isa_begin.h"

namespace bonsai::kernels {
namespace {

#include "kernels/cpu/neon.inc"

#include "kernels/cpu/neon_dot_one.inc"

/// acc + {t0·r0, t0·r1, t1·r0, t1·r1} over 8 columns of two tokens and two rows. Assembly: as DotOf.
inline int32x4_t Dot2x2(int32x4_t acc, int8x16_t tokens, int8x16_t rows) {
  asm("smmla %0.4s, %1.16b, %2.16b" : "+w"(acc) : "w"(tokens), "w"(rows));
  return acc;
}

/// A tile as bytes: [b][p][16·j..] has rows 8b + 2j and 8b + 2j + 1, 8 columns 8p..8p+7 of each.
using Expanded = int8_t[8][16][64];

struct OneBit {
  using Tile = ByteTile;
  static constexpr int kScales = 1;
  static const uint16_t* ScalesOf(const Tile& tile, int) { return tile.scale; }

  /// A byte of a row goes to 8 bytes, each tests its bit: 0 or -1 for a clear one, then +1 or -1.
  static void Expand(const Tile& tile, Expanded& w) {
    const uint8x16_t spread = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
    const uint8x16_t bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t one = vdupq_n_u8(1), two = vdupq_n_u8(2);
    for (int s = 0; s < 16; ++s) {
      for (int b = 0; b < 8; b += 2) {
        const uint8x16_t clear = vmvnq_u8(Load(tile.q[s] + 8 * b));
        uint8x16_t rows = spread;
        for (int i = 0; i < 8; ++i, rows = vaddq_u8(rows, two)) {
          const uint8x16_t bits = vqtbl1q_u8(clear, rows);
          vst1q_s8(w[b + i / 4][s] + i % 4 * 16, vreinterpretq_s8_u8(vorrq_u8(vtstq_u8(bits, bit), one)));
        }
      }
    }
  }
};

/// Columns 4p..4p+3 and 4p+4..4p+7 of 4 rows → 8 columns of two rows and two.
inline void StorePairs(uint8x16_t first, uint8x16_t second, int8_t* out) {
  const int8x16_t one = vdupq_n_s8(1);
  const uint32x4_t a = vreinterpretq_u32_u8(first), b = vreinterpretq_u32_u8(second);
  vst1q_s8(out, vsubq_s8(vreinterpretq_s8_u32(vzip1q_u32(a, b)), one));
  vst1q_s8(out + 16, vsubq_s8(vreinterpretq_s8_u32(vzip2q_u32(a, b)), one));
}

template <int kScaleCount>
struct TwoBits {
  using Tile = CrumbTile<kScaleCount>;
  static constexpr int kScales = kScaleCount;
  static const uint16_t* ScalesOf(const Tile& tile, int part) { return tile.scale[part]; }

  static void Expand(const Tile& tile, Expanded& w) {
    const uint8x16_t three = vdupq_n_u8(3);
    for (int b = 0; b < 8; ++b) {
      for (int s = 0; s < 8; ++s) {
        for (int half = 0; half < 2; ++half) {  // rows 8b + 4·half..
          const uint8x16_t q = Load(tile.q[s][b / 2] + 32 * (b % 2) + 16 * half);
          StorePairs(vandq_u8(q, three), vandq_u8(vshrq_n_u8(q, 2), three), w[b][2 * s] + 32 * half);
          StorePairs(vandq_u8(vshrq_n_u8(q, 4), three), vshrq_n_u8(q, 6), w[b][2 * s + 1] + 32 * half);
        }
      }
    }
  }
};

/// One group of up to 8 tokens: [p][i] has 8 columns 8p..8p+7 of tokens 2i and 2i + 1.
using Codes = int8x16_t[16][4];

/// `count` tokens' rows of codes → pairs; a token without a partner is its own.
inline void PairCodes(const int8_t* q, int64_t stride, int64_t count, Codes& codes) {
  for (int64_t i = 0; 2 * i < count; ++i) {
    const int8_t* first = q + 2 * i * stride;
    const int8_t* second = 2 * i + 1 < count ? first + stride : first;
    for (int p = 0; p < 16; ++p) codes[p][i] = vcombine_s8(vld1_s8(first + 8 * p), vld1_s8(second + 8 * p));
  }
}

/// Token t of 8 rows, of its pairs' four products with the rows' pairs: y[0..7] += terms.
inline void AddRows(const uint16_t* dw, float scale, int64_t odd, const int32x4_t* sums, float* y) {
  const float32x4_t dx = vdupq_n_f32(scale);
#pragma GCC unroll 2
  for (int j = 0; j < 4; j += 2) {
    const int64x2_t a = vreinterpretq_s64_s32(sums[j]), b = vreinterpretq_s64_s32(sums[j + 1]);
    const int64x2_t rows = odd != 0 ? vzip2q_s64(a, b) : vzip1q_s64(a, b);
    AddTerm(dw + 2 * j, dx, vreinterpretq_s32_s64(rows), y + 2 * j);
  }
}

/// 8 rows over `steps` times 8 columns times kPairs pairs of tokens (`count` in all), added to y.
template <int kPairs>
BONSAI_HOT void Multiply(const int8_t (*w)[64], const int8x16_t (*codes)[4], int64_t steps, const uint16_t* dw,
                         const float* scales, int64_t scale_stride, int64_t count, float* y) {
  int32x4_t acc[kPairs][4];
#pragma GCC unroll 4
  for (int i = 0; i < kPairs; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) acc[i][j] = vdupq_n_s32(0);
  }
  for (int64_t s = 0; s < steps; ++s, ++w, ++codes) {
    const int8x16_t w0 = vld1q_s8(*w), w1 = vld1q_s8(*w + 16), w2 = vld1q_s8(*w + 32), w3 = vld1q_s8(*w + 48);
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) {
      const int8x16_t x = (*codes)[i];
      acc[i][0] = Dot2x2(acc[i][0], x, w0);
      acc[i][1] = Dot2x2(acc[i][1], x, w1);
      acc[i][2] = Dot2x2(acc[i][2], x, w2);
      acc[i][3] = Dot2x2(acc[i][3], x, w3);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kPairs; ++i) {
#pragma GCC unroll 2
    for (int odd = 0; odd < 2; ++odd) {
      const int64_t t = 2 * i + odd;
      if (t < count) AddRows(dw, scales[t * scale_stride], odd, acc[i], y + t * kBandRows);
    }
  }
}

/// An expanded tile times `count` tokens, added to y.
template <class Layout, int kPairs>
inline void MultiplyTile(const typename Layout::Tile& tile, const Expanded& w, const Codes& codes, const float* scales,
                         int64_t scale_stride, int64_t count, float* y) {
  constexpr int kSteps = 16 / Layout::kScales;
  for (int part = 0; part < Layout::kScales; ++part) {
    for (int b = 0; b < 8; ++b) {
      Multiply<kPairs>(w[b] + part * kSteps, codes + part * kSteps, kSteps, Layout::ScalesOf(tile, part) + 8 * b,
                       scales, scale_stride, count, y + 8 * b);
    }
  }
}

template <class Layout>
void ManyTokens(const std::byte* band, int64_t, int64_t groups, const I8Rows& x, const int32_t*, int64_t n, std::byte*,
                float* y) {
  constexpr int64_t kTokens = 8;
  alignas(64) Expanded w;
  Codes codes;
  Clear(y, n * kBandRows);
  const auto* tile = reinterpret_cast<const typename Layout::Tile*>(band);
  for (int64_t k = 0; k < groups; ++k, ++tile) {
    Prefetch(tile);
    Layout::Expand(*tile, w);
    for (int64_t t = 0; t < n; t += kTokens) {
      const int64_t count = n - t < kTokens ? n - t : kTokens;
      PairCodes(x.q + t * x.stride + k * kGroup, x.stride, count, codes);
      const float* scales = x.scales + t * x.scale_stride + k;
      float* out = y + t * kBandRows;
      switch ((count + 1) / 2) {
        case 1:
          MultiplyTile<Layout, 1>(*tile, w, codes, scales, x.scale_stride, count, out);
          break;
        case 2:
          MultiplyTile<Layout, 2>(*tile, w, codes, scales, x.scale_stride, count, out);
          break;
        case 3:
          MultiplyTile<Layout, 3>(*tile, w, codes, scales, x.scale_stride, count, out);
          break;
        default:
          MultiplyTile<Layout, 4>(*tile, w, codes, scales, x.scale_stride, count, out);
          break;
      }
    }
  }
}

/// What smmla does on registers alone: the ceiling of kernels over int8.
int64_t DotRounds(int64_t rounds) {
  int32x4_t acc[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) acc[i] = vdupq_n_s32(0);
  const int8x16_t a = vdupq_n_s8(1), b = vdupq_n_s8(3);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) asm volatile("smmla %0.4s, %1.16b, %2.16b" : "+w"(acc[i]) : "w"(a), "w"(b));
  }
  return rounds * 16 * 32;
}

/// By counting: one token costs 23 vector instructions a 256 weights; of many, each two 16 and all together 40.
constexpr int64_t kMostSingly = 3, kMostTokens = 128;

constexpr TileKernels kTiles[] = {{41, sizeof(ByteTile), PackBytes, UnpackBytes, kMostSingly, sizeof(Tables),
                                   MakeTables, LookUpOneToken, nullptr, 1, kMostTokens, 0, ManyTokens<OneBit>},
                                  {42, sizeof(Q2Tile), PackQ2, UnpackQ2, 1, sizeof(CrumbInput), MakeCrumbInputs,
                                   CrumbsOneToken<2>, nullptr, 1, kMostTokens, 0, ManyTokens<TwoBits<2>>},
                                  {142, sizeof(Tq2Tile), PackPq2, UnpackPq2, 1, sizeof(CrumbInput), MakeCrumbInputs,
                                   CrumbsOneToken<1>, nullptr, 1, kMostTokens, 0, ManyTokens<TwoBits<1>>},
                                  {35, sizeof(Tq2Tile), PackTq2, UnpackTq2, 1, sizeof(CrumbInput), MakeCrumbInputs,
                                   CrumbsOneToken<1>, nullptr, 1, kMostTokens, 0, ManyTokens<TwoBits<1>>}};

}  // namespace

const KernelTable kI8mmKernels = {"i8mm", kCpuNeon | kCpuDotprod | kCpuI8mm,  nullptr,          0,
                                  kTiles, sizeof(kTiles) / sizeof(kTiles[0]), &kDotprodKernels, {"smmla", DotRounds}};

}  // namespace bonsai::kernels

#include "kernels/cpu/isa_end.h"
#endif
