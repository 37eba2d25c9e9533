// AVX-512 kernels over tiles of Q2_0, PQ2_0 and TQ2_0, with VNNI (Intel since Cascade Lake, AMD since Zen 4). Q1_0
// needs no multiplications: cpu/avx512.cc.
//
// One token. A look-up of two weights a nibble would cost 11 instructions a 256 weights. Masking four codes out of each
// byte where they stand costs 8: vpdpbusd adds 4^i·code·x exactly, into one accumulator for each of the four places i,
// and they are shifted back once a group. No tables either, which would be 2 KiB a group: 192 KiB for 12,288 columns.
//
// Many tokens. A tile is expanded once to bytes {0, 1, 2, 3}, in L1, and multiplied with up to 6 tokens at a time;
// starting an accumulator at -Σx turns Σcode·x into Σ(code-1)·x.
#include "kernels/cpu/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/tiles_2bit.h"

#define BONSAI_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
#include "kernels/cpu/isa_begin.h"

namespace bonsai::kernels {
namespace {

constexpr int64_t kGroup = 128;
constexpr int64_t kMostSingly = 6;

/// acc + Σ4 u8·s8 in each lane. One line of assembly: with the intrinsic, g++ 12 spills a 6 × 4 accumulator block on
/// every step, at half the speed.
inline __m512i Dot(__m512i acc, __m512i u8, __m512i s8) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u8), "v"(s8));
  return acc;
}

/// fp16 scales of 16 rows.
inline __m512 Scales(const uint16_t* rows) {
  return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(rows)));
}

inline int32_t SumLanes(__m512i v) {
  int32_t lanes[16], sum = 0;
  _mm512_storeu_si512(lanes, v);
  for (const int32_t lane : lanes) sum += lane;
  return sum;
}

/// Into L2 well ahead and into L1 shortly before: with one distance 165 G weights/s of Q1_0 were read from memory, with
/// two 195 (two cores of an Emerald Rapids). 18 KiB and 2 KiB ahead.
template <class Tile>
inline void Prefetch(const Tile* tile) {
  constexpr int kFar = 16 * 1152 / static_cast<int>(sizeof(Tile));
  constexpr int kNear = 2 * 1152 / static_cast<int>(sizeof(Tile));
  for (int line = 0; line < static_cast<int>(sizeof(Tile) / 64); ++line) {
    _mm_prefetch(reinterpret_cast<const char*>(tile + kFar) + line * 64, _MM_HINT_T1);
    _mm_prefetch(reinterpret_cast<const char*>(tile + kNear) + line * 64, _MM_HINT_T0);
  }
}

/// Sums of two times 64 codes.
inline void HalfSums(const int8_t* q, int32_t* sums) {
  const __m512i one = _mm512_set1_epi8(1), zero = _mm512_setzero_si512();
  for (int half = 0; half < 2; ++half) sums[half] = SumLanes(Dot(zero, one, _mm512_loadu_si512(q + 64 * half)));
}

#include "kernels/cpu/crumb_inputs.inc"

/// What `many` needs to know of a layout.
template <int kScaleCount>
struct TwoBits {
  using Tile = CrumbTile<kScaleCount>;
  static constexpr int kScales = kScaleCount;
  static const uint16_t* ScalesOf(const Tile& tile, int part) { return tile.scale[part]; }
  static int32_t Sum(int32_t word, int part) {
    const int32_t low = static_cast<int16_t>(word), high = word >> 16;
    return kScales == 1 ? low + high : part == 0 ? low : high;
  }

  /// Bytes {0, 1, 2, 3}: w[v][4·s + i] holds columns 16·s + 4·i + 0..3.
  static void Expand(const Tile& tile, uint8_t (*w)[32][64]) {
    const __m512i three = _mm512_set1_epi8(3);
    for (int v = 0; v < 4; ++v) {
      for (int s = 0; s < 8; ++s) {
        const __m512i q = _mm512_load_si512(tile.q[s][v]);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          const __m512i codes = _mm512_and_si512(_mm512_srli_epi16(q, static_cast<unsigned>(2 * i)), three);
          _mm512_store_si512(w[v][4 * s + i], codes);
        }
      }
    }
  }
};

inline __m512i Broadcast(const int8_t* four) {
  int32_t word;
  std::memcpy(&word, four, sizeof(word));
  return _mm512_set1_epi32(word);
}

template <int kScales>
void CrumbsOneToken(const std::byte* band, int64_t bands, int64_t groups, const std::byte* inputs, const float* scales,
                    float* y) {
  const __m512i mask[4] = {_mm512_set1_epi8(3), _mm512_set1_epi8(12), _mm512_set1_epi8(48),
                           _mm512_set1_epi8(static_cast<char>(192))};
  const auto* tile = reinterpret_cast<const CrumbTile<kScales>*>(band);
  for (int64_t b = 0; b < bands; ++b, y += kBandRows) {
    __m512 acc[4] = {};
    const auto* input = reinterpret_cast<const CrumbInput*>(inputs);
    for (int64_t k = 0; k < groups; ++k, ++tile, ++input) {
      const __m512 dx = _mm512_set1_ps(scales[k]);
#pragma GCC unroll 2
      for (int part = 0; part < kScales; ++part) {
        const int32_t sum_x = kScales == 1 ? input->sums[0] + input->sums[1] : input->sums[part];
        const __m512i start = _mm512_set1_epi32(-sum_x);
        __m512i place[4][4] = {{start, start, start, start}};  // [i][v]: 4^i · Σ code · x, and -Σx in the first
#pragma GCC unroll 1                                           // unrolled, its registers do not suffice
        for (int s = part * 8 / kScales; s < (part + 1) * 8 / kScales; ++s) {
          const int8_t* q = input->q + 16 * s;
          const __m512i x[4] = {Broadcast(q), Broadcast(q + 4), Broadcast(q + 8), Broadcast(q + 12)};
#pragma GCC unroll 4
          for (int v = 0; v < 4; ++v) {
            _mm_prefetch(reinterpret_cast<const char*>(tile->q[s][v]) + 4096, _MM_HINT_T0);
            const __m512i w = _mm512_load_si512(tile->q[s][v]);
#pragma GCC unroll 4
            for (int i = 0; i < 4; ++i) place[i][v] = Dot(place[i][v], _mm512_and_si512(w, mask[i]), x[i]);
          }
        }
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) {
          const __m512i low = _mm512_add_epi32(place[0][v], _mm512_srai_epi32(place[1][v], 2));
          const __m512i high = _mm512_add_epi32(_mm512_srai_epi32(place[2][v], 4), _mm512_srai_epi32(place[3][v], 6));
          const __m512 scale = _mm512_mul_ps(Scales(tile->scale[part] + 16 * v), dx);
          acc[v] = _mm512_add_ps(acc[v], _mm512_mul_ps(scale, _mm512_cvtepi32_ps(_mm512_add_epi32(low, high))));
        }
      }
    }
    for (int v = 0; v < 4; ++v) _mm512_storeu_ps(y + 16 * v, acc[v]);
  }
}

/// One expanded tile times M tokens, added to y. Row p of w multiplies codes 4p to 4p + 3.
template <class Layout, int M>
inline void Multiply(const typename Layout::Tile& tile, const uint8_t (*w)[32][64], const int8_t* x, int64_t stride,
                     const float* scales, const int32_t* sums, int64_t scale_stride, float* y) {
#pragma GCC unroll 2
  for (int part = 0; part < Layout::kScales; ++part) {
    __m512i acc[M][4];
#pragma GCC unroll 6
    for (int t = 0; t < M; ++t) {
      const __m512i start = _mm512_set1_epi32(-Layout::Sum(sums[t * scale_stride], part));
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) acc[t][v] = start;
    }
    for (int p = part * 32 / Layout::kScales; p < (part + 1) * 32 / Layout::kScales; ++p) {
      const __m512i w0 = _mm512_load_si512(w[0][p]), w1 = _mm512_load_si512(w[1][p]);
      const __m512i w2 = _mm512_load_si512(w[2][p]), w3 = _mm512_load_si512(w[3][p]);
#pragma GCC unroll 6
      for (int t = 0; t < M; ++t) {
        const __m512i codes = Broadcast(x + t * stride + 4 * p);
        acc[t][0] = Dot(acc[t][0], w0, codes);
        acc[t][1] = Dot(acc[t][1], w1, codes);
        acc[t][2] = Dot(acc[t][2], w2, codes);
        acc[t][3] = Dot(acc[t][3], w3, codes);
      }
    }
    const uint16_t* dw = Layout::ScalesOf(tile, part);
#pragma GCC unroll 6
    for (int t = 0; t < M; ++t) {
      const __m512 dx = _mm512_set1_ps(scales[t * scale_stride]);
      float* out = y + t * kBandRows;
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) {
        const __m512 term = _mm512_mul_ps(_mm512_mul_ps(Scales(dw + 16 * v), dx), _mm512_cvtepi32_ps(acc[t][v]));
        _mm512_storeu_ps(out + 16 * v, _mm512_add_ps(_mm512_loadu_ps(out + 16 * v), term));
      }
    }
  }
}

/// Of one band: each is expanded again for every chunk of tokens, 2% of its products.
constexpr int64_t kMostTokens = 126;

template <class Layout>
void ManyTokens(const std::byte* band, int64_t, int64_t groups, const I8Rows& x, const int32_t* sums, int64_t n,
                std::byte*, float* y) {
  alignas(64) uint8_t w[4][32][64];
  for (int64_t i = 0; i < n * kBandRows; i += 16) _mm512_storeu_ps(y + i, _mm512_setzero_ps());
  using Tile = typename Layout::Tile;
  const auto* tiles = reinterpret_cast<const Tile*>(band);
  for (int64_t k = 0; k < groups; ++k) {
    const Tile& tile = tiles[k];
    for (int line = 0; line < static_cast<int>(sizeof(Tile) / 64); ++line) {
      _mm_prefetch(reinterpret_cast<const char*>(&tile + 1) + line * 64, _MM_HINT_T0);
    }
    Layout::Expand(tile, w);
    int64_t t = 0;
    const int8_t* q = x.q + k * kGroup;
    const float* scales = x.scales + k;
    const int32_t* sum = sums + k;
    for (; t + 6 <= n; t += 6) {
      Multiply<Layout, 6>(tile, w, q + t * x.stride, x.stride, scales + t * x.scale_stride, sum + t * x.scale_stride,
                          x.scale_stride, y + t * kBandRows);
    }
    const int8_t* rest = q + t * x.stride;
    scales += t * x.scale_stride, sum += t * x.scale_stride;
    float* out = y + t * kBandRows;
    switch (n - t) {
      case 1:
        Multiply<Layout, 1>(tile, w, rest, x.stride, scales, sum, x.scale_stride, out);
        break;
      case 2:
        Multiply<Layout, 2>(tile, w, rest, x.stride, scales, sum, x.scale_stride, out);
        break;
      case 3:
        Multiply<Layout, 3>(tile, w, rest, x.stride, scales, sum, x.scale_stride, out);
        break;
      case 4:
        Multiply<Layout, 4>(tile, w, rest, x.stride, scales, sum, x.scale_stride, out);
        break;
      case 5:
        Multiply<Layout, 5>(tile, w, rest, x.stride, scales, sum, x.scale_stride, out);
        break;
      default:
        break;
    }
  }
}

#include "kernels/cpu/avx512_ceiling.inc"

constexpr TileKernels kTiles[] = {{42, sizeof(Q2Tile), PackQ2, UnpackQ2, kMostSingly, sizeof(CrumbInput), MakeInputs,
                                   CrumbsOneToken<2>, SumHalves, 1, kMostTokens, 0, ManyTokens<TwoBits<2>>},
                                  {142, sizeof(Tq2Tile), PackPq2, UnpackPq2, kMostSingly, sizeof(CrumbInput),
                                   MakeInputs, CrumbsOneToken<1>, SumHalves, 1, kMostTokens, 0, ManyTokens<TwoBits<1>>},
                                  {35, sizeof(Tq2Tile), PackTq2, UnpackTq2, kMostSingly, sizeof(CrumbInput), MakeInputs,
                                   CrumbsOneToken<1>, SumHalves, 1, kMostTokens, 0, ManyTokens<TwoBits<1>>}};

}  // namespace

const KernelTable kAvx512VnniKernels = {
    "avx512vnni", kCpuAvx2 | kCpuAvx512 | kCpuAvx512Vnni, nullptr,         0,
    kTiles,       sizeof(kTiles) / sizeof(kTiles[0]),     &kAvx512Kernels, kDotLoop};

}  // namespace bonsai::kernels

#include "kernels/cpu/isa_end.h"
#endif
