// AVX-512 kernels over nibble tiles (VBMI and VNNI: Intel since Ice Lake, AMD since Zen 4).
//
// One token. Expanding a bit to a byte costs as much as multiplying it, so nothing is expanded: the 16 possible signed
// sums of each 4 activations are tabulated (low bytes and high bytes apart), a weight nibble is an index, and one
// vpermb looks up 64 of them; vpdpbusd with ones adds the four look-ups of a row. 5.5 instructions a 256 weights.
//
// Many tokens. A tile is expanded once to bytes {0, 2} in L1 and multiplied with up to 6 tokens at a time; starting an
// accumulator at -Σx turns Σ{0,2}·x into Σ±x.
#include "kernels/cpu/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/tiles.h"

#define BONSAI_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni"
#include "kernels/cpu/isa_begin.h"

namespace bonsai::kernels {
namespace {

constexpr int64_t kGroup = 128;
constexpr int64_t kTableBytes = 1024;  // a group: 8 × 16 columns × (64 low bytes, 64 high bytes)

/// acc + Σ4 u8·s8 in each lane. One line of assembly: with the intrinsic, g++ 12 spills a 6 × 4 accumulator block on
/// every step, at half the speed.
inline __m512i Dot(__m512i acc, __m512i u8, __m512i s8) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u8), "v"(s8));
  return acc;
}

inline __m512 Scales(const NibbleTile& tile, int v) {
  return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(tile.scale + 16 * v)));
}

/// 32 columns of codes → the signed sums of 8 groups of 4, 16 each, as 16-bit lanes: in[i] has groups 2i and 2i + 1.
/// Entry w of a group is Σ (bit b of w ? x[b] : -x[b]).
inline void SignedSums(const int8_t* q, __m512i* sums) {
  const __m512i x = _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(q)));
  for (int i = 0; i < 4; ++i) {
    // Lanes 0-15 take group 2i, lanes 16-31 group 2i + 1.
    const __m512i lane0 = _mm512_inserti64x4(_mm512_set1_epi16(static_cast<int16_t>(8 * i)),
                                             _mm256_set1_epi16(static_cast<int16_t>(8 * i + 4)), 1);
    const __m512i zero = _mm512_setzero_si512();
    __m512i sum = zero;
    const __mmask32 bits[4] = {0xaaaaaaaa, 0xcccccccc, 0xf0f0f0f0, 0xff00ff00};  // lanes whose w has bit b
    for (int b = 0; b < 4; ++b) {
      const __m512i v =
          _mm512_permutexvar_epi16(_mm512_add_epi16(lane0, _mm512_set1_epi16(static_cast<int16_t>(b))), x);
      sum = _mm512_add_epi16(sum, _mm512_mask_sub_epi16(v, static_cast<__mmask32>(~bits[b]), zero, v));
    }
    sums[i] = sum;
  }
}

void MakeTables(const int8_t* q, int64_t groups, std::byte* tables) {
  for (int64_t step = 0; step < groups * 4; ++step, q += 32, tables += 256) {
    __m512i sums[4];
    SignedSums(q, sums);
    for (int half = 0; half < 2; ++half) {  // 16 columns: four groups of four
      const __m512i a = sums[2 * half], b = sums[2 * half + 1];
      const __m512i low =
          _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi16_epi8(a)), _mm512_cvtepi16_epi8(b), 1);
      const __m512i high = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi16_epi8(_mm512_srai_epi16(a, 8))),
                                              _mm512_cvtepi16_epi8(_mm512_srai_epi16(b, 8)), 1);
      _mm512_store_si512(tables + half * 128, low);
      _mm512_store_si512(tables + half * 128 + 64, high);
    }
  }
}

/// Into L2 well ahead and into L1 shortly before: with one distance 165 G weights/s were read from memory, with two 195
/// (two cores of an Emerald Rapids).
inline void Prefetch(const NibbleTile* tile) {
  for (int line = 0; line < 18; ++line) {
    _mm_prefetch(reinterpret_cast<const char*>(tile + 16) + line * 64, _MM_HINT_T1);
    _mm_prefetch(reinterpret_cast<const char*>(tile + 2) + line * 64, _MM_HINT_T0);
  }
}

void OneToken(const std::byte* band, int64_t bands, int64_t groups, const std::byte* tables, const float* scales,
              float* y) {
  const __m512i select = _mm512_set1_epi32(0x30201000);  // byte g of a row looks into table g of four
  const __m512i nibble = _mm512_set1_epi8(15), one = _mm512_set1_epi8(1);
  const auto* tile = reinterpret_cast<const NibbleTile*>(band);
  for (int64_t b = 0; b < bands; ++b, y += kBandRows) {
    __m512 acc[4] = {};
    for (int64_t k = 0; k < groups; ++k, ++tile) {
      const std::byte* table = tables + k * kTableBytes;
      Prefetch(tile);
      __m512i low[4] = {}, high[4] = {};
#pragma GCC unroll 4
      for (int s = 0; s < 4; ++s) {
        const __m512i low0 = _mm512_load_si512(table + s * 256), high0 = _mm512_load_si512(table + s * 256 + 64);
        const __m512i low1 = _mm512_load_si512(table + s * 256 + 128), high1 = _mm512_load_si512(table + s * 256 + 192);
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) {
          const __m512i bits = _mm512_load_si512(tile->q[s][v]);
          const __m512i i0 = _mm512_ternarylogic_epi32(bits, nibble, select, 0xea);  // (bits & 15) | select
          const __m512i i1 = _mm512_ternarylogic_epi32(_mm512_srli_epi16(bits, 4), nibble, select, 0xea);
          low[v] = Dot(low[v], _mm512_permutexvar_epi8(i0, low0), one);
          high[v] = Dot(high[v], one, _mm512_permutexvar_epi8(i0, high0));
          low[v] = Dot(low[v], _mm512_permutexvar_epi8(i1, low1), one);
          high[v] = Dot(high[v], one, _mm512_permutexvar_epi8(i1, high1));
        }
      }
      const __m512 dx = _mm512_set1_ps(scales[k]);
      for (int v = 0; v < 4; ++v) {
        const __m512i sum = _mm512_add_epi32(low[v], _mm512_slli_epi32(high[v], 8));
        const __m512 term = _mm512_mul_ps(_mm512_mul_ps(Scales(*tile, v), dx), _mm512_cvtepi32_ps(sum));
        acc[v] = _mm512_add_ps(acc[v], term);
      }
    }
    for (int v = 0; v < 4; ++v) _mm512_storeu_ps(y + 16 * v, acc[v]);
  }
}

/// Within each 16 columns, column 4g + b goes to 4b + g: dword b then holds what bit b of a tile's bytes multiplies.
void Regroup(const int8_t* q, int64_t groups, int8_t* out, int32_t* sums) {
  const __m512i order = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  const __m512i one = _mm512_set1_epi8(1);
  for (int64_t k = 0; k < groups; ++k) {
    const __m512i a = _mm512_loadu_si512(q + k * kGroup), b = _mm512_loadu_si512(q + k * kGroup + 64);
    _mm512_storeu_si512(out + k * kGroup, _mm512_shuffle_epi8(a, order));
    _mm512_storeu_si512(out + k * kGroup + 64, _mm512_shuffle_epi8(b, order));
    int32_t lanes[16];
    _mm512_storeu_si512(lanes, Dot(Dot(_mm512_setzero_si512(), one, a), one, b));
    int32_t sum = 0;
    for (const int32_t lane : lanes) sum += lane;
    sums[k] = sum;
  }
}

/// Bytes {0, 2}: w[v][8·s + j] holds bit j of q[s][v].
inline void Expand(const NibbleTile& tile, uint8_t (*w)[32][64]) {
  const __m512i two = _mm512_set1_epi8(2);
  for (int v = 0; v < 4; ++v) {
    for (int s = 0; s < 4; ++s) {
      const __m512i q = _mm512_load_si512(tile.q[s][v]);
      _mm512_store_si512(w[v][8 * s], _mm512_and_si512(_mm512_add_epi8(q, q), two));
      _mm512_store_si512(w[v][8 * s + 1], _mm512_and_si512(q, two));
#pragma GCC unroll 6
      for (int j = 2; j < 8; ++j) {
        _mm512_store_si512(w[v][8 * s + j], _mm512_and_si512(_mm512_srli_epi16(q, static_cast<unsigned>(j - 1)), two));
      }
    }
  }
}

/// One expanded tile times M tokens, added to y.
template <int M>
inline void Multiply(const NibbleTile& tile, const uint8_t (*w)[32][64], const int8_t* x, int64_t stride,
                     const float* scales, const int32_t* sums, int64_t scale_stride, float* y) {
  __m512i acc[M][4];
#pragma GCC unroll 6
  for (int t = 0; t < M; ++t) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) acc[t][v] = _mm512_set1_epi32(-sums[t * scale_stride]);
  }
  for (int p = 0; p < 32; ++p) {
    const __m512i w0 = _mm512_load_si512(w[0][p]), w1 = _mm512_load_si512(w[1][p]);
    const __m512i w2 = _mm512_load_si512(w[2][p]), w3 = _mm512_load_si512(w[3][p]);
#pragma GCC unroll 6
    for (int t = 0; t < M; ++t) {
      int32_t four;
      std::memcpy(&four, x + t * stride + 4 * p, sizeof(four));
      const __m512i codes = _mm512_set1_epi32(four);
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
      const __m512 term = _mm512_mul_ps(_mm512_mul_ps(Scales(tile, v), dx), _mm512_cvtepi32_ps(acc[t][v]));
      _mm512_storeu_ps(out + 16 * v, _mm512_add_ps(_mm512_loadu_ps(out + 16 * v), term));
    }
  }
}

void ManyTokens(const std::byte* band, int64_t groups, const I8Rows& x, const int32_t* sums, int64_t n, float* y) {
  alignas(64) uint8_t w[4][32][64];
  for (int64_t i = 0; i < n * kBandRows; i += 16) _mm512_storeu_ps(y + i, _mm512_setzero_ps());
  const auto* tiles = reinterpret_cast<const NibbleTile*>(band);
  for (int64_t k = 0; k < groups; ++k) {
    const NibbleTile& tile = tiles[k];
    for (int line = 0; line < 18; ++line) {
      _mm_prefetch(reinterpret_cast<const char*>(&tile + 1) + line * 64, _MM_HINT_T0);
    }
    Expand(tile, w);
    int64_t t = 0;
    const int8_t* q = x.q + k * kGroup;
    const float* scales = x.scales + k;
    const int32_t* sum = sums + k;
    for (; t + 6 <= n; t += 6) {
      Multiply<6>(tile, w, q + t * x.stride, x.stride, scales + t * x.scale_stride, sum + t * x.scale_stride,
                  x.scale_stride, y + t * kBandRows);
    }
    const int8_t* rest = q + t * x.stride;
    scales += t * x.scale_stride, sum += t * x.scale_stride;
    float* out = y + t * kBandRows;
    switch (n - t) {
      case 1:
        Multiply<1>(tile, w, rest, x.stride, scales, sum, x.scale_stride, out);
        break;
      case 2:
        Multiply<2>(tile, w, rest, x.stride, scales, sum, x.scale_stride, out);
        break;
      case 3:
        Multiply<3>(tile, w, rest, x.stride, scales, sum, x.scale_stride, out);
        break;
      case 4:
        Multiply<4>(tile, w, rest, x.stride, scales, sum, x.scale_stride, out);
        break;
      case 5:
        Multiply<5>(tile, w, rest, x.stride, scales, sum, x.scale_stride, out);
        break;
      default:
        break;
    }
  }
}

constexpr TileKernels kTiles[] = {
    {41, sizeof(NibbleTile), kTableBytes, PackNibbles, UnpackNibbles, MakeTables, OneToken, Regroup, ManyTokens}};

}  // namespace

const KernelTable kAvx512Kernels = {
    "avx512", kCpuAvx2 | kCpuAvx512, nullptr, 0, kTiles, sizeof(kTiles) / sizeof(kTiles[0]), &kAvx2Kernels};

}  // namespace bonsai::kernels

#include "kernels/cpu/isa_end.h"
#endif
