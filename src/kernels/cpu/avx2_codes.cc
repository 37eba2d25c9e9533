// AVX2 kernels over tiles of Q2_0, TQ2_0 and Q8_0: weights of two bits and of a byte times int8 activations, by
// vpmaddubsw, which adds the products of two unsigned and two signed bytes in 16 bits.
//
// Two bits. A pair of products of codes 0..3 is at most 2·3·127 = 762, so 16-bit lanes take the 32 pairs of 128 columns
// without widening (24,384). Codes stand for -1..2, so Σx is subtracted in the end.
//
// A byte. |code| ≤ 128 is the unsigned factor and x with the code's sign the other one: the products are the same, and
// a pair of them is at most 2·128·127 = 32,512, which just fits; it is widened at once. (-x is never -128: activations
// are at least -127.)
#include "kernels/cpu/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/tiles_2bit.h"
#include "kernels/cpu/tiles_8bit.h"

#define BONSAI_TARGET "avx2,f16c"
#include "kernels/cpu/isa_begin.h"

namespace bonsai::kernels {
namespace {

constexpr int64_t kGroup = 128;

inline __m256i Load(const void* p) { return _mm256_load_si256(static_cast<const __m256i*>(p)); }

/// Four codes, eight times.
inline __m256i Broadcast(const int8_t* four) {
  int32_t word;
  std::memcpy(&word, four, sizeof(word));
  return _mm256_set1_epi32(word);
}

/// acc + the pairs' sums of u8·s8. Assembly: with the intrinsics g++ 12 keeps the products of a whole block for later
/// and spills them.
inline __m256i AddPairs(__m256i acc, __m256i u8, __m256i s8) {
  __m256i pairs;
  asm("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0" : "+x"(acc), "=&x"(pairs) : "x"(u8), "x"(s8));
  return acc;
}

/// y[0..7] += (dw · dx) · sum.
inline void AddTerm(const uint16_t* scale, __m256 dx, __m256i sum, float* y) {
  const __m256 dw = _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(scale)));
  const __m256 term = _mm256_mul_ps(_mm256_mul_ps(dw, dx), _mm256_cvtepi32_ps(sum));
  _mm256_storeu_ps(y, _mm256_add_ps(_mm256_loadu_ps(y), term));
}

inline void Clear(float* y, int64_t count) {
  for (int64_t i = 0; i < count; i += 8) _mm256_storeu_ps(y + i, _mm256_setzero_ps());
}

/// For one token: the two lines that are `ahead` bytes further than the 128 bytes at p, into L1. Two beside each such
/// load: one core reads 23 to 24 GB/s so, and 13 to 15 when the lines of a whole tile or block are asked for at once.
/// How far has been tried: Q2_0 gains up to 4 KiB, Q8_0 falls to 11 GB/s from 3 KiB on.
inline void PrefetchTwo(const uint8_t* p, int ahead) {
  _mm_prefetch(reinterpret_cast<const char*>(p) + ahead, _MM_HINT_T0);
  _mm_prefetch(reinterpret_cast<const char*>(p) + ahead + 64, _MM_HINT_T0);
}

/// For many tokens: the next tile, into L2.
template <class Tile>
inline void PrefetchNext(const Tile* tile) {
  const auto* p = reinterpret_cast<const char*>(tile + 1);
  for (size_t line = 0; line < sizeof(Tile); line += 64) _mm_prefetch(p + line, _MM_HINT_T1);
}

// Activations: plain codes with the sums of each 64 columns, which only the two-bit formats need, so that all formats
// share one form.

/// Σx of columns 0-63 and 64-127.
inline void HalfSums(const int8_t* q, int32_t* sums) {
  const __m256i ones = _mm256_set1_epi8(1), wide = _mm256_set1_epi16(1);
  for (int half = 0; half < 2; ++half, q += 64) {
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q + 32));
    const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(ones, a), _mm256_maddubs_epi16(ones, b));
    const __m256i eight = _mm256_madd_epi16(pairs, wide);
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(1, 0, 3, 2)));
    sums[half] = _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, _MM_SHUFFLE(2, 3, 0, 1))));
  }
}

#include "kernels/cpu/crumb_inputs.inc"

// Two bits.

/// Σx of the columns that share the part-th scale.
template <int kScales>
inline int32_t PartSum(int32_t low, int32_t high, int part) {
  return kScales == 1 ? low + high : part == 0 ? low : high;
}

/// Four vectors of a tile, 32 rows, over the columns of one scale.
template <int kScales>
__attribute__((noinline)) void CrumbRows(const CrumbTile<kScales>& tile, int part, int v0, const int8_t* q, int32_t sum,
                                         float scale, float* y) {
  constexpr int kSteps = 8 / kScales;
  const __m256i three = _mm256_set1_epi8(3);
  __m256i acc[4] = {};
#pragma GCC unroll 1
  for (int s = part * kSteps; s < (part + 1) * kSteps; ++s) {
    const __m256i x0 = Broadcast(q + 16 * s), x1 = Broadcast(q + 16 * s + 4);
    const __m256i x2 = Broadcast(q + 16 * s + 8), x3 = Broadcast(q + 16 * s + 12);
    const uint8_t* w = tile.q[s][0] + 32 * v0;
    PrefetchTwo(w, 4096);
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      const __m256i codes = Load(w + 32 * v);
      acc[v] = AddPairs(acc[v], _mm256_and_si256(codes, three), x0);
      acc[v] = AddPairs(acc[v], _mm256_and_si256(_mm256_srli_epi16(codes, 2), three), x1);
      acc[v] = AddPairs(acc[v], _mm256_and_si256(_mm256_srli_epi16(codes, 4), three), x2);
      acc[v] = AddPairs(acc[v], _mm256_and_si256(_mm256_srli_epi16(codes, 6), three), x3);
    }
  }
  const __m256 dx = _mm256_set1_ps(scale);
  const __m256i start = _mm256_set1_epi32(-sum), wide = _mm256_set1_epi16(1);
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) {
    AddTerm(tile.scale[part] + 8 * (v0 + v), dx, _mm256_add_epi32(_mm256_madd_epi16(acc[v], wide), start),
            y + 8 * (v0 + v));
  }
}

template <int kScales>
void CrumbsOneToken(const std::byte* band, int64_t bands, int64_t groups, const std::byte* inputs, const float* scales,
                    float* y) {
  using Tile = CrumbTile<kScales>;
  Clear(y, bands * kBandRows);
  const auto* tile = reinterpret_cast<const Tile*>(band);
  for (int64_t b = 0; b < bands; ++b, y += kBandRows) {
    const auto* input = reinterpret_cast<const CrumbInput*>(inputs);
    for (int64_t k = 0; k < groups; ++k, ++tile, ++input) {
      for (int part = 0; part < kScales; ++part) {
        const int32_t sum = PartSum<kScales>(input->sums[0], input->sums[1], part);
        CrumbRows(*tile, part, 0, input->q, sum, scales[k], y);
        CrumbRows(*tile, part, 4, input->q, sum, scales[k], y);
      }
    }
  }
}

/// Bytes 0..3: w[p][r] is four columns from 4·p of row r.
template <class Tile>
inline void Expand(const Tile& tile, uint8_t (*w)[256]) {
  const __m256i three = _mm256_set1_epi8(3);
  for (int s = 0; s < 8; ++s) {
    for (int v = 0; v < 8; ++v) {
      const __m256i codes = Load(tile.q[s][0] + 32 * v);
      auto* out = reinterpret_cast<__m256i*>(w[4 * s] + 32 * v);
      _mm256_store_si256(out, _mm256_and_si256(codes, three));
      _mm256_store_si256(out + 8, _mm256_and_si256(_mm256_srli_epi16(codes, 2), three));
      _mm256_store_si256(out + 16, _mm256_and_si256(_mm256_srli_epi16(codes, 4), three));
      _mm256_store_si256(out + 24, _mm256_and_si256(_mm256_srli_epi16(codes, 6), three));
    }
  }
}

/// 32 rows (from vector v0) × M tokens over the columns of one scale.
template <int kScales, int M>
__attribute__((noinline)) void CrumbBlock(const CrumbTile<kScales>& tile, const uint8_t (*w)[256], int part, int v0,
                                          const int8_t* x, int64_t stride, const int32_t* sums, const float* scales,
                                          int64_t scale_stride, float* y) {
  constexpr int kSteps = 32 / kScales;
  __m256i acc[M][4];
#pragma GCC unroll 2
  for (int t = 0; t < M; ++t) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) acc[t][v] = _mm256_setzero_si256();
  }
#pragma GCC unroll 1
  for (int p = part * kSteps; p < (part + 1) * kSteps; ++p) {
    __m256i codes[M];
#pragma GCC unroll 2
    for (int t = 0; t < M; ++t) codes[t] = Broadcast(x + t * stride + 4 * p);
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      const __m256i weights = Load(w[p] + 32 * (v0 + v));
#pragma GCC unroll 2
      for (int t = 0; t < M; ++t) acc[t][v] = AddPairs(acc[t][v], weights, codes[t]);
    }
  }
  const __m256i wide = _mm256_set1_epi16(1);
#pragma GCC unroll 2
  for (int t = 0; t < M; ++t) {
    const int32_t word = sums[t * scale_stride];
    const __m256i start = _mm256_set1_epi32(-PartSum<kScales>(static_cast<int16_t>(word), word >> 16, part));
    const __m256 dx = _mm256_set1_ps(scales[t * scale_stride]);
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      AddTerm(tile.scale[part] + 8 * (v0 + v), dx, _mm256_add_epi32(_mm256_madd_epi16(acc[t][v], wide), start),
              y + t * kBandRows + 8 * (v0 + v));
    }
  }
}

template <int kScales, int M>
inline void CrumbTokens(const CrumbTile<kScales>& tile, const uint8_t (*w)[256], const int8_t* x, int64_t stride,
                        const int32_t* sums, const float* scales, int64_t scale_stride, float* y) {
  for (int part = 0; part < kScales; ++part) {
    CrumbBlock<kScales, M>(tile, w, part, 0, x, stride, sums, scales, scale_stride, y);
    CrumbBlock<kScales, M>(tile, w, part, 4, x, stride, sums, scales, scale_stride, y);
  }
}

template <int kScales>
void CrumbsManyTokens(const std::byte* band, int64_t, int64_t groups, const I8Rows& x, const int32_t* sums, int64_t n,
                      std::byte*, float* y) {
  alignas(64) uint8_t w[32][256];
  Clear(y, n * kBandRows);
  const auto* tile = reinterpret_cast<const CrumbTile<kScales>*>(band);
  for (int64_t k = 0; k < groups; ++k, ++tile) {
    PrefetchNext(tile);
    Expand(*tile, w);
    int64_t t = 0;
    const auto multiply = x.q + k * kGroup;
    for (; t + 2 <= n; t += 2) {
      CrumbTokens<kScales, 2>(*tile, w, multiply + t * x.stride, x.stride, sums + t * x.scale_stride + k,
                              x.scales + t * x.scale_stride + k, x.scale_stride, y + t * kBandRows);
    }
    for (; t < n; ++t) {
      CrumbTokens<kScales, 1>(*tile, w, multiply + t * x.stride, x.stride, sums + t * x.scale_stride + k,
                              x.scales + t * x.scale_stride + k, x.scale_stride, y + t * kBandRows);
    }
  }
}

// A byte.

constexpr int kBlocks = 4;  // of 32 columns, a group

/// acc + Σ4 w·x in each 32 bits; `wide` is sixteen ones. Assembly as above.
inline __m256i AddFours(__m256i acc, __m256i w, __m256i magnitude, __m256i x, __m256i wide) {
  __m256i fours;
  asm("vpsignb %2, %4, %1\n\t"
      "vpmaddubsw %1, %3, %1\n\t"
      "vpmaddwd %5, %1, %1\n\t"
      "vpaddd %1, %0, %0"
      : "+x"(acc), "=&x"(fours)
      : "x"(w), "x"(magnitude), "x"(x), "x"(wide));
  return acc;
}

/// 32 rows (from vector v0) × M tokens over one block of 32 columns.
template <int M>
__attribute__((noinline)) void Q8Block(const Q8Tile& tile, int block, int v0, const int8_t* x, int64_t stride,
                                       const float* scales, int64_t scale_stride, float* y) {
  const __m256i wide = _mm256_set1_epi16(1);
  __m256i acc[M][4];
#pragma GCC unroll 2
  for (int t = 0; t < M; ++t) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) acc[t][v] = _mm256_setzero_si256();
  }
#pragma GCC unroll 1
  for (int s = 8 * block; s < 8 * block + 8; ++s) {
    if (M == 1) PrefetchTwo(tile.q[s][0] + 32 * v0, 1536);
    __m256i codes[M];
#pragma GCC unroll 2
    for (int t = 0; t < M; ++t) codes[t] = Broadcast(x + t * stride + 4 * s);
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      const __m256i weights = Load(tile.q[s][0] + 32 * (v0 + v)), magnitude = _mm256_abs_epi8(weights);
#pragma GCC unroll 2
      for (int t = 0; t < M; ++t) {
        acc[t][v] = AddFours(acc[t][v], weights, magnitude, codes[t], wide);
      }
    }
  }
#pragma GCC unroll 2
  for (int t = 0; t < M; ++t) {
    const __m256 dx = _mm256_set1_ps(scales[t * scale_stride]);
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      AddTerm(tile.scale[block] + 8 * (v0 + v), dx, acc[t][v], y + t * kBandRows + 8 * (v0 + v));
    }
  }
}

void Q8OneToken(const std::byte* band, int64_t bands, int64_t groups, const std::byte* inputs, const float* scales,
                float* y) {
  Clear(y, bands * kBandRows);
  const auto* tile = reinterpret_cast<const Q8Tile*>(band);
  for (int64_t b = 0; b < bands; ++b, y += kBandRows) {
    const auto* input = reinterpret_cast<const CrumbInput*>(inputs);
    for (int64_t k = 0; k < groups; ++k, ++tile, ++input) {
      for (int block = 0; block < kBlocks; ++block) {
        Q8Block<1>(*tile, block, 0, input->q, 0, scales + k, 0, y);
        Q8Block<1>(*tile, block, 4, input->q, 0, scales + k, 0, y);
      }
    }
  }
}

template <int M>
inline void Q8Tokens(const Q8Tile& tile, const int8_t* x, int64_t stride, const float* scales, int64_t scale_stride,
                     float* y) {
  for (int block = 0; block < kBlocks; ++block) {
    Q8Block<M>(tile, block, 0, x, stride, scales, scale_stride, y);
    Q8Block<M>(tile, block, 4, x, stride, scales, scale_stride, y);
  }
}

void Q8ManyTokens(const std::byte* band, int64_t, int64_t groups, const I8Rows& x, const int32_t*, int64_t n,
                  std::byte*, float* y) {
  Clear(y, n * kBandRows);
  const auto* tile = reinterpret_cast<const Q8Tile*>(band);
  for (int64_t k = 0; k < groups; ++k, ++tile) {
    PrefetchNext(tile);
    const int8_t* q = x.q + k * kGroup;
    const float* scales = x.scales + k;
    int64_t t = 0;
    for (; t + 2 <= n; t += 2) {
      Q8Tokens<2>(*tile, q + t * x.stride, x.stride, scales + t * x.scale_stride, x.scale_stride, y + t * kBandRows);
    }
    if (t < n) Q8Tokens<1>(*tile, q + t * x.stride, 0, scales + t * x.scale_stride, 0, y + t * kBandRows);
  }
}

constexpr int64_t kInputBytes = sizeof(CrumbInput);
constexpr int64_t kMostTokens = 126, kMostSingly = 6;

constexpr TileKernels kTiles[] = {{42, sizeof(Q2Tile), PackQ2, UnpackQ2, kMostSingly, kInputBytes, MakeInputs,
                                   CrumbsOneToken<2>, SumHalves, 1, kMostTokens, 0, CrumbsManyTokens<2>},
                                  {142, sizeof(Tq2Tile), PackPq2, UnpackPq2, kMostSingly, kInputBytes, MakeInputs,
                                   CrumbsOneToken<1>, SumHalves, 1, kMostTokens, 0, CrumbsManyTokens<1>},
                                  {35, sizeof(Tq2Tile), PackTq2, UnpackTq2, kMostSingly, kInputBytes, MakeInputs,
                                   CrumbsOneToken<1>, SumHalves, 1, kMostTokens, 0, CrumbsManyTokens<1>},
                                  {8, sizeof(Q8Tile), PackQ8, UnpackQ8, kMostSingly, kInputBytes, MakeInputs,
                                   Q8OneToken, SumHalves, 1, kMostTokens, 0, Q8ManyTokens}};

}  // namespace

const FormatKernels kAvx2CodeKernels = {kCpuAvx2, nullptr, 0, kTiles, sizeof(kTiles) / sizeof(kTiles[0])};

}  // namespace bonsai::kernels

#include "kernels/cpu/isa_end.h"
#endif
