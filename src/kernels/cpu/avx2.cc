// AVX2 kernels for Q1_0 (Intel and AMD since 2013-2015): tiles for int8 activations, rows for float ones.
//
// Weight by weight, expanding bits to bytes and multiplying (vpmaddubsw, vpaddw) costs 2 instructions for 32 products.
// Look-ups cost 13 for 256, for one token and for many: a weight nibble indexes a table of what its 4 columns add up
// to, and one vpshufb looks up 32 rows.
//
//   v(w) = Σ over 4 columns of (bit of w agrees with the sign of x ? |x| : 0), so Σ±x = Σ 2·v - Σ|x|.
//
// With |x| ≤ 127, v is at most 508, too much for a byte by one bit. Split as v = 16·h + l by halves: the sum of a pair
// of columns is at most 254 = 15·16 + 14, so each pair gives h and l at most 15, and two pairs at most 30. Eight groups
// then add up to at most 240 in unsigned bytes without any widening. After those 32 columns vpmaddubsw joins the halves
// as 2·l + 32·h, in 16 bits: started at -Σ|x| they stay within ±128·127 = ±16,256 and end as Σ±x itself.
#include "kernels/cpu/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/tiles_avx2.h"

#define BONSAI_TARGET "avx2,f16c"
#include "kernels/cpu/isa_begin.h"

namespace bonsai::kernels {
namespace {

constexpr int64_t kGroup = 128;
constexpr int64_t kMostSingly = 6;
constexpr int64_t kBlockBytes = 18;  // quant/types/q1_0.h, not included: this object may define none of its functions

__m256i Load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
void Store(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
__m256i Twice(const void* p) { return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(p))); }

float BlockScale(const std::byte* w) {
  uint16_t d;
  std::memcpy(&d, w, sizeof(d));
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(d)));
}

/// Word i (0..3) of a block's sign bits: columns 32·i to 32·i + 31.
int32_t SignWord(const std::byte* w, int i) {
  int32_t word;
  std::memcpy(&word, w + 2 + 4 * i, sizeof(word));
  return word;
}

/// Eight floats, negated where bit 8·(i % 4) + lane of the (inverted) sign word is 1.
__m256 Signed(__m256i inverted, __m256i shift, const float* x) {
  const __m256i sign = _mm256_and_si256(_mm256_sllv_epi32(inverted, shift), _mm256_set1_epi32(INT32_MIN));
  return _mm256_xor_ps(_mm256_loadu_ps(x), _mm256_castsi256_ps(sign));
}

/// Σ ±x over a block in the lanes and the tree of lanes.h: `low` holds lanes 0-7, `high` 8-15.
float SignedSum(const std::byte* w, const float* x) {
  const __m256i shift0 = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);  // brings bit `lane` to the sign
  const __m256i shift1 = _mm256_sub_epi32(shift0, _mm256_set1_epi32(8));
  const __m256i shift2 = _mm256_sub_epi32(shift0, _mm256_set1_epi32(16));
  const __m256i shift3 = _mm256_sub_epi32(shift0, _mm256_set1_epi32(24));
  __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
  for (int i = 0; i < 4; ++i, x += 32) {
    const __m256i inverted = _mm256_set1_epi32(~SignWord(w, i));
    low = _mm256_add_ps(low, Signed(inverted, shift0, x));
    high = _mm256_add_ps(high, Signed(inverted, shift1, x + 8));
    low = _mm256_add_ps(low, Signed(inverted, shift2, x + 16));
    high = _mm256_add_ps(high, Signed(inverted, shift3, x + 24));
  }
  const __m256 eight = _mm256_add_ps(low, high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

void Q1F32(const quant::Type&, const WeightRows& w, const F32Rows& x, int64_t n, float* y) {
  for (int64_t r = 0; r < w.count; ++r, ++y) {
    for (int64_t t = 0; t < n; ++t) y[t * kBandRows] = 0;
    const std::byte* at = w.w + r * w.row_bytes;
    for (int64_t c = 0; c < w.cols; c += kGroup, at += kBlockBytes) {
      const float d = BlockScale(at);
      for (int64_t t = 0; t < n; ++t) y[t * kBandRows] += d * SignedSum(at, x.x + t * x.stride + c);
    }
  }
}

#include "kernels/cpu/avx2_ceiling.inc"

// Floats only: int8 products of Q1_0 always have tiles.
constexpr RowKernels kRows[] = {{41, nullptr, Q1F32}};

/// What is looked up for one token and one group. sums[s]: 16 entries each of l and l', h and h', of columns 8s..8s+3
/// and (primed) 8s+4..8s+7.
struct alignas(64) Tables {
  uint8_t sums[16][64];
  int16_t magnitude;  ///< Σ|x| of the group.
};
static_assert(sizeof(Tables) == 17 * 64);

/// Bytes {m0, p0, m1, p1, …} (parts of -x and x above zero) → for each pair of columns its four sums in nibble order:
/// m0 + m1, p0 + m1, m0 + p1, p0 + p1.
__m256i PairSums(__m256i parts) {
  const __m256i first = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 0, 1, 4, 5, 4, 5, 8, 9, 8, 9, 12, 13, 12, 13));
  const __m256i second =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(2, 2, 3, 3, 6, 6, 7, 7, 10, 10, 11, 11, 14, 14, 15, 15));
  return _mm256_add_epi8(_mm256_shuffle_epi8(parts, first), _mm256_shuffle_epi8(parts, second));
}

/// Four pair tables of 8 columns in both lanes → the sums of a nibble: lane 0 for columns 0-3, lane 1 for 4-7.
__m256i NibbleSums(__m256i pairs) {
  const __m256i first = _mm256_setr_epi8(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3,  //
                                         8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11);
  const __m256i second = _mm256_setr_epi8(4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7,  //
                                          12, 12, 12, 12, 13, 13, 13, 13, 14, 14, 14, 14, 15, 15, 15, 15);
  return _mm256_add_epi8(_mm256_shuffle_epi8(pairs, first), _mm256_shuffle_epi8(pairs, second));
}

/// Fills t.sums from 128 codes.
void FillSums(const int8_t* q, Tables* t) {
  const __m256i nibble = _mm256_set1_epi8(15);
  for (int s = 0; s < 16; s += 4) {
    const __m256i x = Load(q + 8 * s);
    const __m256i plus = _mm256_max_epi8(x, _mm256_setzero_si256()), minus = _mm256_sub_epi8(plus, x);
    // Columns 0-7 and 16-23, then 8-15 and 24-31.
    const __m256i parts[2] = {_mm256_unpacklo_epi8(minus, plus), _mm256_unpackhi_epi8(minus, plus)};
    for (int i = 0; i < 2; ++i) {
      const __m256i pairs = PairSums(parts[i]);
      const __m256i low = _mm256_and_si256(pairs, nibble);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(pairs, 4), nibble);
      Store(t->sums[s + i], NibbleSums(_mm256_permute2x128_si256(low, low, 0x00)));
      Store(t->sums[s + i] + 32, NibbleSums(_mm256_permute2x128_si256(high, high, 0x00)));
      Store(t->sums[s + i + 2], NibbleSums(_mm256_permute2x128_si256(low, low, 0x11)));
      Store(t->sums[s + i + 2] + 32, NibbleSums(_mm256_permute2x128_si256(high, high, 0x11)));
    }
  }
}

/// Σ|x| over 128 codes.
int32_t Magnitude(const int8_t* q) {
  __m256i sum = _mm256_setzero_si256();
  for (int i = 0; i < 128; i += 32) {
    sum = _mm256_add_epi64(sum, _mm256_sad_epu8(_mm256_abs_epi8(Load(q + i)), _mm256_setzero_si256()));
  }
  const __m128i two = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  return _mm_cvtsi128_si32(_mm_add_epi64(two, _mm_unpackhi_epi64(two, two)));
}

void MakeTables(const int8_t* q, int64_t groups, std::byte* tables) {
  auto* t = reinterpret_cast<Tables*>(tables);
  for (int64_t k = 0; k < groups; ++k, q += kGroup, ++t) {
    FillSums(q, t);
    t->magnitude = static_cast<int16_t>(Magnitude(q));
  }
}

/// Byte sums of 64 rows, as vectors of 32.
struct Bytes {
  __m256i low[2], high[2];
};

/// acc + table[index], byte by byte. Assembly: of the intrinsics' additions g++ 12 makes a tree and spills its leaves,
/// with which the kernels ran at 85% of the speed (164 against 194 G weights/s on one core of a Zen 4).
inline __m256i AddEntry(__m256i acc, __m256i table, __m256i index) {
  __m256i entry;
  asm("vpshufb %2, %3, %1\n\tvpaddb %1, %0, %0" : "+x"(acc), "=&x"(entry) : "x"(index), "x"(table));
  return acc;
}

/// Looks up 32 rows.
inline void Add(__m256i low, __m256i high, __m256i index, int v, Bytes* sum) {
  sum->low[v] = AddEntry(sum->low[v], low, index);
  sum->high[v] = AddEntry(sum->high[v], high, index);
}

/// Joins the halves: sum[v][0] has rows 32v + 0-7 and 16-23, sum[v][1] rows 32v + 8-15 and 24-31.
inline void Join(const Bytes& bytes, __m256i (*sum)[2]) {
  const __m256i weights = _mm256_set1_epi16(32 << 8 | 2);
  for (int v = 0; v < 2; ++v) {
    const __m256i a = _mm256_unpacklo_epi8(bytes.low[v], bytes.high[v]);
    const __m256i b = _mm256_unpackhi_epi8(bytes.low[v], bytes.high[v]);
    sum[v][0] = _mm256_add_epi16(sum[v][0], _mm256_maddubs_epi16(a, weights));
    sum[v][1] = _mm256_add_epi16(sum[v][1], _mm256_maddubs_epi16(b, weights));
  }
}

/// y[0..7] += (scale · dx) · sum.
inline void AddTerm(const uint16_t* scale, __m256 dx, __m128i sum, float* y) {
  const __m256 dw = _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(scale)));
  const __m256 isum = _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(sum));
  _mm256_storeu_ps(y, _mm256_add_ps(_mm256_loadu_ps(y), _mm256_mul_ps(_mm256_mul_ps(dw, dx), isum)));
}

inline void AddTerms(const ByteTile& tile, float scale, const __m256i (*sum)[2], float* y) {
  const __m256 dx = _mm256_set1_ps(scale);
  for (int v = 0; v < 2; ++v) {
    const int r = 32 * v;
    AddTerm(tile.scale + r, dx, _mm256_castsi256_si128(sum[v][0]), y + r);
    AddTerm(tile.scale + r + 8, dx, _mm256_castsi256_si128(sum[v][1]), y + r + 8);
    AddTerm(tile.scale + r + 16, dx, _mm256_extracti128_si256(sum[v][0], 1), y + r + 16);
    AddTerm(tile.scale + r + 24, dx, _mm256_extracti128_si256(sum[v][1], 1), y + r + 24);
  }
}

/// Into L2 well ahead and into L1 shortly before, as the AVX-512 kernels do.
inline void Prefetch(const ByteTile* tile) {
#pragma GCC unroll 18
  for (int line = 0; line < 18; ++line) {
    _mm_prefetch(reinterpret_cast<const char*>(tile + 16) + line * 64, _MM_HINT_T1);
    _mm_prefetch(reinterpret_cast<const char*>(tile + 2) + line * 64, _MM_HINT_T0);
  }
}

void OneToken(const std::byte* band, int64_t bands, int64_t groups, const std::byte* tables, const float* scales,
              float* y) {
  const __m256i nibble = _mm256_set1_epi8(15);
  const auto* tile = reinterpret_cast<const ByteTile*>(band);
  for (int64_t b = 0; b < bands; ++b, y += kBandRows) {
    for (int64_t i = 0; i < kBandRows; i += 8) _mm256_storeu_ps(y + i, _mm256_setzero_ps());
    for (int64_t k = 0; k < groups; ++k, ++tile) {
      const Tables& t = reinterpret_cast<const Tables*>(tables)[k];
      Prefetch(tile);
      const __m256i start = _mm256_set1_epi16(static_cast<int16_t>(-t.magnitude));
      __m256i sum[2][2] = {{start, start}, {start, start}};
      for (int s = 0; s < 16; s += 4) {
        Bytes bytes = {};
#pragma GCC unroll 4
        for (int i = s; i < s + 4; ++i) {
          __m256i bits[2];
          const __m256i low0 = Twice(t.sums[i]), high0 = Twice(t.sums[i] + 32);
#pragma GCC unroll 2
          for (int v = 0; v < 2; ++v) {
            bits[v] = Load(tile->q[i] + 32 * v);
            Add(low0, high0, _mm256_and_si256(bits[v], nibble), v, &bytes);
          }
          const __m256i low1 = Twice(t.sums[i] + 16), high1 = Twice(t.sums[i] + 48);
#pragma GCC unroll 2
          for (int v = 0; v < 2; ++v) {
            Add(low1, high1, _mm256_and_si256(_mm256_srli_epi16(bits[v], 4), nibble), v, &bytes);
          }
        }
        Join(bytes, sum);
      }
      AddTerms(*tile, scales[k], sum, y);
    }
  }
}

void SumMagnitudes(const int8_t* q, int64_t groups, int32_t* sums) {
  for (int64_t k = 0; k < groups; ++k) sums[k] = Magnitude(q + k * kGroup);
}

/// Nibbles to bytes: index[2s] the low ones of step s, index[2s + 1] the high ones.
inline void Expand(const ByteTile& tile, uint8_t (*index)[64]) {
  const __m256i nibble = _mm256_set1_epi8(15);
  for (int s = 0; s < 16; ++s) {
    for (int v = 0; v < 64; v += 32) {
      const __m256i bits = Load(tile.q[s] + v);
      Store(index[2 * s] + v, _mm256_and_si256(bits, nibble));
      Store(index[2 * s + 1] + v, _mm256_and_si256(_mm256_srli_epi16(bits, 4), nibble));
    }
  }
}

/// One expanded tile times one token, added to y.
inline void Multiply(const ByteTile& tile, const uint8_t (*index)[64], const Tables& t, int32_t magnitude, float scale,
                     float* y) {
  const __m256i start = _mm256_set1_epi16(static_cast<int16_t>(-magnitude));
  __m256i sum[2][2] = {{start, start}, {start, start}};
  for (int s = 0; s < 16; s += 4) {
    Bytes bytes = {};
#pragma GCC unroll 8
    for (int g = 2 * s; g < 2 * s + 8; ++g) {
      const uint8_t* table = t.sums[g / 2] + 16 * (g % 2);
      const __m256i low = Twice(table), high = Twice(table + 32);
      Add(low, high, Load(index[g]), 0, &bytes);
      Add(low, high, Load(index[g] + 32), 1, &bytes);
    }
    Join(bytes, sum);
  }
  AddTerms(tile, scale, sum, y);
}

/// Tables cost 230 instructions, a tile and token 500: tables serve kMostBands tiles.
constexpr int64_t kMostBands = 4, kMostTokens = 31;

void Many(const std::byte* band, int64_t bands, int64_t groups, const I8Rows& x, const int32_t* sums, int64_t n,
          std::byte*, float* y) {
  alignas(64) uint8_t index[kMostBands][32][64];
  Tables tables;
  for (int64_t i = 0; i < bands * n * kBandRows; i += 8) _mm256_storeu_ps(y + i, _mm256_setzero_ps());
  const auto* tiles = reinterpret_cast<const ByteTile*>(band);
  for (int64_t k = 0; k < groups; ++k) {
    for (int64_t b = 0; b < bands; ++b) {
      const ByteTile* tile = tiles + b * groups + k;
      for (int line = 0; line < 18; ++line) {
        _mm_prefetch(reinterpret_cast<const char*>(tile + 1) + line * 64, _MM_HINT_T0);
      }
      Expand(*tile, index[b]);
    }
    for (int64_t t = 0; t < n; ++t) {
      FillSums(x.q + t * x.stride + k * kGroup, &tables);
      const int64_t at = t * x.scale_stride + k;
      for (int64_t b = 0; b < bands; ++b) {
        Multiply(tiles[b * groups + k], index[b], tables, sums[at], x.scales[at], y + (b * n + t) * kBandRows);
      }
    }
  }
}

constexpr TileKernels kTiles[] = {{41, sizeof(ByteTile), PackBytes, UnpackBytes, kMostSingly, sizeof(Tables),
                                   MakeTables, OneToken, SumMagnitudes, kMostBands, kMostTokens, 0, Many}};

}  // namespace

const KernelTable kAvx2Kernels = {"avx2",
                                  kCpuAvx2,
                                  kRows,
                                  sizeof(kRows) / sizeof(kRows[0]),
                                  kTiles,
                                  sizeof(kTiles) / sizeof(kTiles[0]),
                                  &kPortableKernels,
                                  kDotLoop};

}  // namespace bonsai::kernels

#include "kernels/cpu/isa_end.h"
#endif
