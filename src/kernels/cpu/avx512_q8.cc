// AVX-512 kernels over tiles of Q8_0. Codes are stored plus 128, so that vpdpbusd multiplies them as unsigned bytes;
// accumulators start at -128·Σx and end as Σcode·x, which is exact: |128·Σx + Σ(code + 128)·x| < 2^21 over 32 columns.
#include "kernels/cpu/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/tiles_8bit.h"

#define BONSAI_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
#include "kernels/cpu/isa_begin.h"

namespace bonsai::kernels {
namespace {

constexpr int64_t kGroup = 128;
constexpr int kBlocks = 4;  // of 32 columns, a group

/// What one token's group is to a tile.
struct alignas(64) Input {
  int8_t q[kGroup];
  int32_t start[kBlocks];  ///< -128·Σx of each block.
};

/// acc + Σ4 u8·s8 in each lane, in assembly because of the registers: see avx512_vnni.cc.
inline __m512i Dot(__m512i acc, __m512i u8, __m512i s8) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u8), "v"(s8));
  return acc;
}

inline __m512i Broadcast(const int8_t* four) {
  int32_t word;
  std::memcpy(&word, four, sizeof(word));
  return _mm512_set1_epi32(word);
}

/// -128·Σx of the four blocks.
inline __m128i Starts(const int8_t* q) {
  const __m512i zero = _mm512_setzero_si512(), bias = _mm512_set1_epi8(static_cast<char>(128));
  const __m512i a = Dot(zero, bias, _mm512_loadu_si512(q)), b = Dot(zero, bias, _mm512_loadu_si512(q + 64));
  // 16 sums of 4 each; sums of 8, of 16, and of 32 in dwords 0 and 2 of each half.
  const __m512i eights = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  const __m512i more = _mm512_add_epi32(eights, _mm512_shuffle_epi32(eights, _MM_PERM_BADC));
  // Quarters 0 and 1 are block 0 of a (even dwords) and of b (odd ones), 2 and 3 block 1.
  const __m512i all = _mm512_add_epi32(more, _mm512_shuffle_i32x4(more, more, _MM_SHUFFLE(2, 3, 0, 1)));
  const __m512i order = _mm512_setr_epi32(0, 8, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  return _mm_sub_epi32(_mm_setzero_si128(), _mm512_castsi512_si128(_mm512_permutexvar_epi32(order, all)));
}

void MakeInputs(const int8_t* q, int64_t groups, std::byte* inputs) {
  auto* input = reinterpret_cast<Input*>(inputs);
  for (int64_t k = 0; k < groups; ++k, ++input, q += kGroup) {
    std::memcpy(input->q, q, kGroup);
    _mm_store_si128(reinterpret_cast<__m128i*>(input->start), Starts(q));
  }
}

/// (dw · dx) · sum of 16 rows.
inline __m512 Term(const uint16_t* scale, __m512 dx, __m512i sum) {
  const __m512 dw = _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(scale)));
  return _mm512_mul_ps(_mm512_mul_ps(dw, dx), _mm512_cvtepi32_ps(sum));
}

/// A block's share of a tile, into L2 18 KiB ahead and into L1 4 KiB ahead. All at once: one core reads 24.7 GB/s so,
/// and 17 to 18 with a prefetch beside each load.
inline void Prefetch(const uint8_t* block) {
  for (int line = 0; line < 34 * 64; line += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(block + 18432 + line), _MM_HINT_T1);
    _mm_prefetch(reinterpret_cast<const char*>(block + 4096 + line), _MM_HINT_T0);
  }
}

__attribute__((noinline)) void OneToken(const std::byte* band, int64_t bands, int64_t groups, const std::byte* inputs,
                                        const float* scales, float* y) {
  const auto* tile = reinterpret_cast<const Q8Tile*>(band);
  for (int64_t band_index = 0; band_index < bands; ++band_index, y += kBandRows) {
    __m512 acc[4] = {};
    const auto* input = reinterpret_cast<const Input*>(inputs);
    for (int64_t k = 0; k < groups; ++k, ++tile, ++input) {
      const __m512 dx = _mm512_set1_ps(scales[k]);
#pragma GCC unroll 1
      for (int b = 0; b < kBlocks; ++b) {
        Prefetch(tile->q[8 * b][0]);
        const __m512i start = _mm512_set1_epi32(input->start[b]);
        __m512i sum[4] = {start, start, start, start};
#pragma GCC unroll 8
        for (int s = 0; s < 8; ++s) {
          const __m512i x = Broadcast(input->q + 32 * b + 4 * s);
          const uint8_t(*q)[64] = tile->q[8 * b + s];
#pragma GCC unroll 4
          for (int v = 0; v < 4; ++v) {
            sum[v] = Dot(sum[v], _mm512_load_si512(q[v]), x);
          }
        }
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) acc[v] = _mm512_add_ps(acc[v], Term(tile->scale[b] + 16 * v, dx, sum[v]));
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) _mm512_storeu_ps(y + 16 * v, acc[v]);
  }
}

/// One tile times M tokens, added to y. starts[t] has the blocks' starts.
template <int M>
__attribute__((noinline)) void Multiply(const Q8Tile& tile, const int8_t* x, int64_t stride,
                                        const int32_t (*starts)[kBlocks], const float* scales, int64_t scale_stride,
                                        float* y) {
#pragma GCC unroll 1
  for (int b = 0; b < kBlocks; ++b) {
    __m512i acc[M][4];
#pragma GCC unroll 6
    for (int t = 0; t < M; ++t) {
      const __m512i start = _mm512_set1_epi32(starts[t][b]);
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) acc[t][v] = start;
    }
#pragma GCC unroll 1
    for (int s = 8 * b; s < 8 * b + 8; ++s) {
      const __m512i w0 = _mm512_load_si512(tile.q[s][0]), w1 = _mm512_load_si512(tile.q[s][1]);
      const __m512i w2 = _mm512_load_si512(tile.q[s][2]), w3 = _mm512_load_si512(tile.q[s][3]);
#pragma GCC unroll 6
      for (int t = 0; t < M; ++t) {
        const __m512i codes = Broadcast(x + t * stride + 4 * s);
        acc[t][0] = Dot(acc[t][0], w0, codes);
        acc[t][1] = Dot(acc[t][1], w1, codes);
        acc[t][2] = Dot(acc[t][2], w2, codes);
        acc[t][3] = Dot(acc[t][3], w3, codes);
      }
    }
#pragma GCC unroll 6
    for (int t = 0; t < M; ++t) {
      const __m512 dx = _mm512_set1_ps(scales[t * scale_stride]);
      float* out = y + t * kBandRows;
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) {
        const __m512 term = Term(tile.scale[b] + 16 * v, dx, acc[t][v]);
        _mm512_storeu_ps(out + 16 * v, _mm512_add_ps(_mm512_loadu_ps(out + 16 * v), term));
      }
    }
  }
}

/// `many` makes the blocks' starts itself. They cost 15 instructions a token and group, its products with a tile 230:
/// they are made for four bands.
constexpr int64_t kMostBands = 4, kMostTokens = 30, kMostSingly = 6;

void Many(const std::byte* band, int64_t bands, int64_t groups, const I8Rows& x, const int32_t*, int64_t n, std::byte*,
          float* y) {
  for (int64_t i = 0; i < bands * n * kBandRows; i += 16) _mm512_storeu_ps(y + i, _mm512_setzero_ps());
  const auto* tiles = reinterpret_cast<const Q8Tile*>(band);
  constexpr int64_t kMost = 6;
  for (int64_t k = 0; k < groups; ++k) {
    const int8_t* q = x.q + k * kGroup;
    const float* scales = x.scales + k;
    for (int64_t t = 0; t < n; t += kMost) {
      const int64_t count = n - t < kMost ? n - t : kMost;
      alignas(16) int32_t starts[kMost][kBlocks];
      for (int64_t i = 0; i < count; ++i) {
        _mm_store_si128(reinterpret_cast<__m128i*>(starts[i]), Starts(q + (t + i) * x.stride));
      }
      for (int64_t b = 0; b < bands; ++b) {
        const Q8Tile& tile = tiles[b * groups + k];
        const int8_t* codes = q + t * x.stride;
        const float* dx = scales + t * x.scale_stride;
        float* out = y + (b * n + t) * kBandRows;
        if (count == 6) Multiply<6>(tile, codes, x.stride, starts, dx, x.scale_stride, out);
        if (count == 5) Multiply<5>(tile, codes, x.stride, starts, dx, x.scale_stride, out);
        if (count == 4) Multiply<4>(tile, codes, x.stride, starts, dx, x.scale_stride, out);
        if (count == 3) Multiply<3>(tile, codes, x.stride, starts, dx, x.scale_stride, out);
        if (count == 2) Multiply<2>(tile, codes, x.stride, starts, dx, x.scale_stride, out);
        if (count == 1) Multiply<1>(tile, codes, x.stride, starts, dx, x.scale_stride, out);
      }
    }
  }
}

constexpr TileKernels kTiles[] = {{8, sizeof(Q8Tile), PackQ8Biased, UnpackQ8Biased, kMostSingly, sizeof(Input),
                                   MakeInputs, OneToken, nullptr, kMostBands, kMostTokens, 0, Many}};

}  // namespace

const FormatKernels kAvx512Q8Kernels = {kCpuAvx2 | kCpuAvx512 | kCpuAvx512Vnni, nullptr, 0, kTiles, 1};

}  // namespace bonsai::kernels

#include "kernels/cpu/isa_end.h"
#endif
