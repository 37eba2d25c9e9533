// ARM with the dot product of bytes (ARMv8.2 and FEAT_DotProd: Cortex-A55, A75, A76, Neoverse N1, Apple M1).
//
// One token of one-bit weights stays with look-ups, which take 23 vector instructions a 256 weights where expanding
// bits and sdot take 32 (neon.inc). Of two-bit weights expanding takes 1 for 16, as does sdot (neon_dot_one.inc). Many
// tokens share the expanding, in L1; what is left is 16 sdot a 256 weights and token.
#include "kernels/cpu/isa.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#include "kernels/cpu/tiles_2bit.h"
#include "kernels/cpu/tiles_avx2.h"

#if defined(__clang__)
#define BONSAI_TARGET "dotprod"
#else
#define BONSAI_TARGET "arch=armv8.2-a+dotprod"
#endif
#include "kernels/cpu/isa_begin.h"

namespace bonsai::kernels {
namespace {

#include "kernels/cpu/neon.inc"

#include "kernels/cpu/neon_dot_one.inc"

using Acc = int32x4_t;
constexpr int kTokens = 4;  // 16 accumulators, 4 vectors of weights and 4 of codes

template <int>
inline int8x16_t Pick(int8x16_t x) {
  return x;
}
template <int kLane>
inline void Dot(Acc* acc, int8x16_t w, int8x16_t x) {
  *acc = DotOf<kLane>(*acc, w, x);
}
inline int32x4_t Total(Acc acc) { return acc; }

#include "kernels/cpu/neon_2bit.inc"

struct OneBit {
  using Tile = ByteTile;
  static constexpr int kScales = 1;
  static const uint16_t* ScalesOf(const Tile& tile, int) { return tile.scale; }

  /// A byte of a row goes to 4 bytes, each tests its bit: 0 or -1 for a clear one, then +1 or -1.
  static void Expand(const Tile& tile, Expanded& w) {
    const uint8x16_t spread = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3}, four = vdupq_n_u8(4);
    const uint8x16_t low = {1, 2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8}, high = vshlq_n_u8(low, 4);
    const uint8x16_t one = vdupq_n_u8(1);
    for (int v = 0; v < 4; ++v) {
      for (int s = 0; s < 16; ++s) {
        const uint8x16_t clear = vmvnq_u8(Load(tile.q[s] + 16 * v));
        uint8x16_t rows = spread;
        for (int r = 0; r < 64; r += 16, rows = vaddq_u8(rows, four)) {
          const uint8x16_t bits = vqtbl1q_u8(clear, rows);
          vst1q_s8(w[v][2 * s] + r, vreinterpretq_s8_u8(vorrq_u8(vtstq_u8(bits, low), one)));
          vst1q_s8(w[v][2 * s + 1] + r, vreinterpretq_s8_u8(vorrq_u8(vtstq_u8(bits, high), one)));
        }
      }
    }
  }
};

/// What sdot does on registers alone: the ceiling of kernels over int8.
int64_t DotRounds(int64_t rounds) {
  int32x4_t acc[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) acc[i] = vdupq_n_s32(0);
  const int8x16_t a = vdupq_n_s8(1), b = vdupq_n_s8(3);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) asm volatile("sdot %0.4s, %1.16b, %2.16b" : "+w"(acc[i]) : "w"(a), "w"(b));
  }
  return rounds * 16 * 16;
}

/// By counting: one token costs 23 vector instructions a 256 weights; of many, each 16 and all together 40.
constexpr int64_t kMostSingly = 6, kMostTokens = 128;

constexpr TileKernels kTiles[] = {{41, sizeof(ByteTile), PackBytes, UnpackBytes, kMostSingly, sizeof(Tables),
                                   MakeTables, LookUpOneToken, nullptr, 1, kMostTokens, 0, ManyTokens<OneBit>},
                                  {42, sizeof(Q2Tile), PackQ2, UnpackQ2, 1, sizeof(CrumbInput), MakeCrumbInputs,
                                   CrumbsOneToken<2>, nullptr, 1, kMostTokens, 0, ManyTokens<TwoBits<2>>},
                                  {142, sizeof(Tq2Tile), PackPq2, UnpackPq2, 1, sizeof(CrumbInput), MakeCrumbInputs,
                                   CrumbsOneToken<1>, nullptr, 1, kMostTokens, 0, ManyTokens<TwoBits<1>>},
                                  {35, sizeof(Tq2Tile), PackTq2, UnpackTq2, 1, sizeof(CrumbInput), MakeCrumbInputs,
                                   CrumbsOneToken<1>, nullptr, 1, kMostTokens, 0, ManyTokens<TwoBits<1>>}};

}  // namespace

const KernelTable kDotprodKernels = {
    "dotprod",     kCpuNeon | kCpuDotprod, nullptr, 0, kTiles, sizeof(kTiles) / sizeof(kTiles[0]),
    &kNeonKernels, {"sdot", DotRounds}};

}  // namespace bonsai::kernels

#include "kernels/cpu/isa_end.h"
#endif
