// NEON kernels over tiles of Q1_0, Q2_0 and TQ2_0 for every 64-bit ARM (ARMv8.0: Cortex-A53 and A72 have nothing more).
//
// One bit, one token and many: look-ups (neon.inc), as there is no dot product of bytes. Two bits: smlal of bytes
// to words. A lane gets one column of 4, so 32 products a group, at most 32·254; expanding costs as much as it saves
// to keep, so one token goes the way of many.
#include "kernels/cpu/isa.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#include "kernels/cpu/tiles_2bit.h"
#include "kernels/cpu/tiles_avx2.h"

namespace bonsai::kernels {
namespace {

#include "kernels/cpu/neon.inc"

// One bit, many tokens.

void SumMagnitudes(const int8_t* q, int64_t groups, int32_t* sums) {
  for (int64_t k = 0; k < groups; ++k) sums[k] = Magnitude(q + k * kGroup);
}

/// Nibbles to bytes: [h][2s] the low ones of step s of rows 32h..32h+31, [h][2s + 1] the high ones.
using Nibbles = uint8_t[kBandRows / kRowsATime][32][kRowsATime];

inline void ExpandNibbles(const ByteTile& tile, Nibbles& index) {
  for (int s = 0; s < 16; ++s) {
    for (int r = 0; r < kBandRows; r += 16) {
      const uint8x16_t bits = Load(tile.q[s] + r);
      vst1q_u8(index[r / kRowsATime][2 * s] + r % kRowsATime, vandq_u8(bits, vdupq_n_u8(15)));
      vst1q_u8(index[r / kRowsATime][2 * s + 1] + r % kRowsATime, vshrq_n_u8(bits, 4));
    }
  }
}

/// 32 rows (their scales, their bytes of an expanded tile) times one token, added to y.
BONSAI_HOT void LookUpExpanded(const uint16_t* dw, const uint8_t (*index)[kRowsATime], const Tables& t,
                               int32_t magnitude, float scale, float* y) {
  Words sum;
  Start(static_cast<int16_t>(magnitude), &sum);
  for (int s = 0; s < 16; s += 4) {
    Bytes bytes = {};
#pragma GCC unroll 8
    for (int g = 2 * s; g < 2 * s + 8; ++g) {
      const uint8_t* table = t.sums[g / 2] + 32 * (g % 2);
      const uint8x16_t low = Load(table), high = Load(table + 16);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        const uint8x16_t i = Load(index[g] + 16 * v);
        bytes.low[v] = AddEntry(bytes.low[v], low, i);
        bytes.high[v] = AddEntry(bytes.high[v], high, i);
      }
    }
    Join(bytes, &sum);
  }
  AddWords(dw, scale, sum, y);
}

/// Tables cost 340 vector instructions, a tile and token 700: tables serve kMostBands tiles.
constexpr int64_t kMostBands = 4, kMostTokens = 128;

void LookUpMany(const std::byte* band, int64_t bands, int64_t groups, const I8Rows& x, const int32_t* sums, int64_t n,
                std::byte*, float* y) {
  alignas(64) Nibbles index[kMostBands];
  Tables tables;
  Clear(y, bands * n * kBandRows);
  const auto* tiles = reinterpret_cast<const ByteTile*>(band);
  for (int64_t k = 0; k < groups; ++k) {
    for (int64_t b = 0; b < bands; ++b) {
      Prefetch(tiles + b * groups + k);
      ExpandNibbles(tiles[b * groups + k], index[b]);
    }
    for (int64_t t = 0; t < n; ++t) {
      FillSums(x.q + t * x.stride + k * kGroup, &tables);
      const int64_t at = t * x.scale_stride + k;
      for (int64_t b = 0; b < bands; ++b) {
        const uint16_t* dw = tiles[b * groups + k].scale;
        float* out = y + (b * n + t) * kBandRows;
        for (int64_t r = 0; r < kBandRows; r += kRowsATime) {
          LookUpExpanded(dw + r, index[b][r / kRowsATime], tables, sums[at], x.scales[at], out + r);
        }
      }
    }
  }
}

// Two bits.

/// One column of 4 in each lane, of 4 rows: |sum| ≤ 32·2·127 = 8,128.
struct Acc {
  int16x8_t low, high;
};
constexpr int kTokens = 2;

template <int kLane>
inline int8x16_t Pick(int8x16_t x) {
  return vreinterpretq_s8_s32(vdupq_laneq_s32(vreinterpretq_s32_s8(x), kLane));
}

template <int kLane>
inline void Dot(Acc* acc, int8x16_t w, int8x16_t x) {
  acc->low = vmlal_s8(acc->low, vget_low_s8(w), vget_low_s8(x));
  acc->high = vmlal_high_s8(acc->high, w, x);
}

inline int32x4_t Total(const Acc& acc) { return vpaddlq_s16(vpaddq_s16(acc.low, acc.high)); }

#include "kernels/cpu/neon_2bit.inc"

#include "kernels/cpu/neon_ceiling.inc"

// Two bits have no kernel of one token: it would be `many` again.
constexpr TileKernels kTiles[] = {
    {41, sizeof(ByteTile), PackBytes, UnpackBytes, 1, sizeof(Tables), MakeTables, LookUpOneToken, SumMagnitudes,
     kMostBands, kMostTokens, 0, LookUpMany},
    {42, sizeof(Q2Tile), PackQ2, UnpackQ2, 0, 0, nullptr, nullptr, nullptr, 1, kMostTokens, 0, ManyTokens<TwoBits<2>>},
    {142, sizeof(Tq2Tile), PackPq2, UnpackPq2, 0, 0, nullptr, nullptr, nullptr, 1, kMostTokens, 0,
     ManyTokens<TwoBits<1>>},
    {35, sizeof(Tq2Tile), PackTq2, UnpackTq2, 0, 0, nullptr, nullptr, nullptr, 1, kMostTokens, 0,
     ManyTokens<TwoBits<1>>}};

}  // namespace

const KernelTable kNeonKernels = {
    "neon", kCpuNeon, nullptr, 0, kTiles, sizeof(kTiles) / sizeof(kTiles[0]), &kPortableKernels, kDotLoop};

}  // namespace bonsai::kernels
#endif
