// AVX-512 kernels over tiles of Q1_0 that need no more than its byte and word instructions (Intel since Skylake-X, AMD
// since Zen 4).
//
// Nothing is multiplied. The 32 possible signed sums of 5 activations, as 16-bit words, fill one register; 5 sign bits
// are an index, vpermw looks one of them up for each of 32 rows and ignores the index's upper bits, and vpaddw adds it
// to the rows' sums. 128 columns are 26 look-ups (|Σ| ≤ 128 · 127 fits a word), so 160 weights cost two instructions
// where vpdpbusd multiplies 64 with one. In a loop of its own that passes 510 G weights a second on one core of a
// Zen 4, where vpdpbusd passes 237. Beside it: tables cost 210 instructions a token and group, so they serve kMostBands
// tiles; taking the indices of 32 rows apart costs 31, so many tokens share them.
#include "kernels/cpu/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/tiles.h"

#define BONSAI_TARGET "avx512f,avx512bw,avx512dq,avx512vl"
#include "kernels/cpu/isa_begin.h"

namespace bonsai::kernels {
namespace {

constexpr int64_t kGroup = 128;
constexpr int kFields = 26;  // 3 of 5 bits in each of 8 words, and the words' top bits: 5 and 3

/// The sums of one field: entry e = Σ (bit b of e ? x[b] : -x[b]).
struct alignas(64) FieldSums {
  int16_t sum[32];
};
constexpr int kTokensATime = 8;  // 16 registers of sums; their tables, 13 KiB, stay in L1
constexpr int64_t kMostBands = 32, kMostTokens = 32;

/// fp16 scales of 16 rows.
inline __m512 Scales(const uint16_t* rows) {
  return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(rows)));
}

/// Signs of the five columns in the 32 entries, as vpmaddubsw takes them. For even entries `first` multiplies columns 0
/// and 1 and `second` columns 2 and 3, for odd entries the other way around; `last` multiplies column 4.
struct Signs {
  alignas(64) int8_t first[64] = {}, second[64] = {}, last[64] = {};
  alignas(64) int16_t start[32] = {};  ///< Takes the bias of 128 a column away again.
  constexpr Signs() {
    for (int e = 0; e < 32; ++e) {
      int8_t sign[5] = {};
      int sum = 0;
      for (int b = 0; b < 5; ++b) sign[b] = (e >> b & 1) != 0 ? 1 : -1, sum += sign[b];
      const int swap = e % 2 * 2;
      first[2 * e] = sign[swap], first[2 * e + 1] = sign[swap + 1];
      second[2 * e] = sign[2 - swap], second[2 * e + 1] = sign[3 - swap];
      last[2 * e + 1] = sign[4];
      start[e] = static_cast<int16_t>(-128 * sum);
    }
  }
};
constexpr Signs kSigns;

/// The sums of columns c to c + 4 of 16, whose codes + 128 (the unsigned side of vpmaddubsw) fill each lane of x.
inline void MakeField(__m512i x, int c, FieldSums* out) {
  const auto* signs = reinterpret_cast<const __m512i*>(&kSigns);
  const __m512i four = _mm512_shuffle_epi8(x, _mm512_set1_epi32(0x03020100 + 0x01010101 * c));
  const __m512i last = _mm512_shuffle_epi8(x, _mm512_set1_epi8(static_cast<char>(c + 4)));
  const __m512i a = _mm512_add_epi16(signs[3], _mm512_maddubs_epi16(four, signs[0]));
  const __m512i b = _mm512_maddubs_epi16(_mm512_rol_epi32(four, 16), signs[1]);
  _mm512_store_si512(out, _mm512_add_epi16(a, _mm512_add_epi16(b, _mm512_maddubs_epi16(last, signs[2]))));
}

/// The tables of 128 codes, `stride` apart.
void MakeTables(const int8_t* q, int64_t stride, FieldSums* out) {
  const __m512i bias = _mm512_set1_epi8(static_cast<char>(128));
  for (int w = 0; w < 8; ++w) {
    const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(q + 16 * w));
    const __m512i x = _mm512_xor_si512(_mm512_broadcast_i32x4(codes), bias);
#pragma GCC unroll 3
    for (int f = 0; f < 3; ++f, out += stride) MakeField(x, 5 * f, out);
  }
  alignas(16) int8_t top[16] = {};  // columns 15, 31, …; and two that do not exist
  for (int w = 0; w < 8; ++w) top[w] = q[16 * w + 15];
  const __m128i codes = _mm_load_si128(reinterpret_cast<const __m128i*>(top));
  const __m512i x = _mm512_xor_si512(_mm512_broadcast_i32x4(codes), bias);
  MakeField(x, 0, out);
  MakeField(x, 5, out + stride);
}

/// The top bits of words, one after another: acc with bit `bit` from the top of `word`.
inline __m512i PutTopBit(__m512i acc, __m512i word, int bit) {
  const __m512i shifted = _mm512_srli_epi16(word, static_cast<unsigned>(15 - bit));
  if (bit == 0) return shifted;
  return _mm512_ternarylogic_epi32(acc, shifted, _mm512_set1_epi16(static_cast<int16_t>(1 << bit)), 0xf8);  // a | b & c
}

/// sum + table[index], word by word. Assembly: of the intrinsics' additions g++ 12 makes a tree and spills its leaves.
inline __m512i AddEntry(__m512i sum, __m512i index, __m512i table) {
  __m512i entry;
  asm("vpermw %3, %2, %1\n\tvpaddw %1, %0, %0" : "+v"(sum), "=&v"(entry) : "v"(index), "v"(table));
  return sum;
}

template <int T>
inline void AddEntries(const __m512i* index, const FieldSums* tables, __m512i (*sum)[2]) {
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    const __m512i table = _mm512_load_si512(tables + t);
    sum[t][0] = AddEntry(sum[t][0], index[0], table);
    sum[t][1] = AddEntry(sum[t][1], index[1], table);
  }
}

/// Sums of 32 rows as floats: the first and the last 16.
inline __m512 First(__m512i sum) { return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(sum, 16), 16)); }
inline __m512 Last(__m512i sum) { return _mm512_cvtepi32_ps(_mm512_srai_epi32(sum, 16)); }

/// y + (dw · dx) · sum.
inline __m512 AddTerm(__m512 y, __m512 dw, __m512 dx, __m512 sum) {
  return _mm512_add_ps(y, _mm512_mul_ps(_mm512_mul_ps(dw, dx), sum));
}

/// Into L2 well ahead and into L1 shortly before: with one distance 165 G weights/s were read from memory, with two 195
/// (two cores of an Emerald Rapids).
inline void Prefetch(const WordTile* far, const WordTile* near) {
#pragma GCC unroll 18
  for (int line = 0; line < 18; ++line) {
    _mm_prefetch(reinterpret_cast<const char*>(far) + line * 64, _MM_HINT_T1);
    _mm_prefetch(reinterpret_cast<const char*>(near) + line * 64, _MM_HINT_T0);
  }
}

void MakeTablesOfRow(const int8_t* q, int64_t groups, std::byte* tables) {
  auto* out = reinterpret_cast<FieldSums*>(tables);
  for (int64_t k = 0; k < groups; ++k) MakeTables(q + k * kGroup, 1, out + k * kFields);
}

/// One tile and T tokens, whose tables lie side by side, field by field: sum[t][h] of the rows of half h.
template <int T>
inline void LookUp(const WordTile& tile, const FieldSums* tables, __m512i (*sum)[2]) {
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) sum[t][0] = sum[t][1] = _mm512_setzero_si512();
  __m512i five[2], three[2];  // the fields of top bits
#pragma GCC unroll 8
  for (int w = 0; w < 8; ++w) {
    __m512i index[2] = {_mm512_load_si512(tile.q[w][0]), _mm512_load_si512(tile.q[w][1])};
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      if (w < 5) five[h] = PutTopBit(five[h], index[h], w);
      if (w >= 5) three[h] = PutTopBit(three[h], index[h], w - 5);
    }
#pragma GCC unroll 3
    for (int f = 0; f < 3; ++f, tables += T) {
      AddEntries<T>(index, tables, sum);
      index[0] = _mm512_srli_epi16(index[0], 5), index[1] = _mm512_srli_epi16(index[1], 5);
    }
  }
  AddEntries<T>(five, tables, sum);
  AddEntries<T>(three, tables + T, sum);
}

/// A band of one token. Apart from LookUp, whose order of instructions reads 19 GB/s here where this reads 25 (one core
/// of a Zen 4).
__attribute__((noinline)) void OneBand(const WordTile* tile, int64_t groups, const FieldSums* table,
                                       const float* scales, float* y) {
  __m512 acc[4] = {};
  for (int64_t k = 0; k < groups; ++k, ++tile, table += kFields) {
    Prefetch(tile + 16, tile + 2);
    __m512i sum[2] = {}, five[2], three[2];
#pragma GCC unroll 8
    for (int w = 0; w < 8; ++w) {
      const __m512i a = _mm512_load_si512(table + 3 * w), b = _mm512_load_si512(table + 3 * w + 1);
      const __m512i c = _mm512_load_si512(table + 3 * w + 2);
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        const __m512i word = _mm512_load_si512(tile->q[w][h]);
        if (w < 5) five[h] = PutTopBit(five[h], word, w);
        if (w >= 5) three[h] = PutTopBit(three[h], word, w - 5);
        sum[h] = AddEntry(sum[h], word, a);
        sum[h] = AddEntry(sum[h], _mm512_srli_epi16(word, 5), b);
        sum[h] = AddEntry(sum[h], _mm512_srli_epi16(word, 10), c);
      }
    }
    const __m512i a = _mm512_load_si512(table + 24), b = _mm512_load_si512(table + 25);
    const __m512 dx = _mm512_set1_ps(scales[k]);
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      const uint16_t* dw = tile->scale + 32 * h;
      const __m512i all = AddEntry(AddEntry(sum[h], five[h], a), three[h], b);
      acc[2 * h] = AddTerm(acc[2 * h], Scales(dw), dx, First(all));
      acc[2 * h + 1] = AddTerm(acc[2 * h + 1], Scales(dw + 16), dx, Last(all));
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) _mm512_storeu_ps(y + 16 * v, acc[v]);
}

void OneToken(const std::byte* band, int64_t bands, int64_t groups, const std::byte* tables, const float* scales,
              float* y) {
  const auto* tile = reinterpret_cast<const WordTile*>(band);
  for (int64_t b = 0; b < bands; ++b, tile += groups, y += kBandRows) {
    OneBand(tile, groups, reinterpret_cast<const FieldSums*>(tables), scales, y);
  }
}

/// One tile times T tokens, added to y (kBandRows a token).
template <int T>
__attribute__((noinline)) void Multiply(const WordTile& tile, const FieldSums* tables, const float* scales,
                                        int64_t scale_stride, float* y) {
  __m512i sum[T][2];
  LookUp<T>(tile, tables, sum);
#pragma GCC unroll 2
  for (int h = 0; h < 2; ++h) {
    const __m512 first = Scales(tile.scale + 32 * h), last = Scales(tile.scale + 32 * h + 16);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const __m512 dx = _mm512_set1_ps(scales[t * scale_stride]);
      float* out = y + t * kBandRows + 32 * h;
      _mm512_storeu_ps(out, AddTerm(_mm512_loadu_ps(out), first, dx, First(sum[t][h])));
      _mm512_storeu_ps(out + 16, AddTerm(_mm512_loadu_ps(out + 16), last, dx, Last(sum[t][h])));
    }
  }
}

using MultiplyFn = void (*)(const WordTile&, const FieldSums*, const float*, int64_t, float*);
constexpr MultiplyFn kMultiply[kTokensATime + 1] = {nullptr,     Multiply<1>, Multiply<2>, Multiply<3>, Multiply<4>,
                                                    Multiply<5>, Multiply<6>, Multiply<7>, Multiply<8>};

/// Tables of n tokens' codes of one group, kTokensATime tokens side by side.
void MakeTablesOfGroup(const int8_t* q, int64_t stride, int64_t n, FieldSums* tables) {
  for (int64_t t = 0; t < n; ++t) {
    const int64_t block = t / kTokensATime * kTokensATime, some = n - block < kTokensATime ? n - block : kTokensATime;
    MakeTables(q + t * stride, some, tables + block * kFields + (t - block));
  }
}

/// Tile b of a column of tiles; behind its end the next column follows.
inline const WordTile* InColumn(const WordTile* column, int64_t b, int64_t bands, int64_t groups) {
  return b < bands ? column + b * groups : column + (b - bands) * groups + 1;
}

void Many(const std::byte* band, int64_t bands, int64_t groups, const I8Rows& x, const int32_t*, int64_t n,
          std::byte* scratch, float* y) {
  auto* tables = reinterpret_cast<FieldSums*>(scratch);
  for (int64_t i = 0; i < bands * n * kBandRows; i += 16) _mm512_storeu_ps(y + i, _mm512_setzero_ps());
  const auto* tiles = reinterpret_cast<const WordTile*>(band);
  for (int64_t k = 0; k < groups; ++k, ++tiles) {
    MakeTablesOfGroup(x.q + k * kGroup, x.stride, n, tables);
    for (int64_t t = 0; t < n; t += kTokensATime) {
      const MultiplyFn multiply = kMultiply[n - t < kTokensATime ? n - t : kTokensATime];
      for (int64_t b = 0; b < bands; ++b) {
        if (t == 0) Prefetch(InColumn(tiles, b + 8, bands, groups), InColumn(tiles, b + 2, bands, groups));
        multiply(tiles[b * groups], tables + t * kFields, x.scales + t * x.scale_stride + k, x.scale_stride,
                 y + (b * n + t) * kBandRows);
      }
    }
  }
}

constexpr TileKernels kTiles[] = {{41, sizeof(WordTile), PackWords, UnpackWords, 1, sizeof(FieldSums) * kFields,
                                   MakeTablesOfRow, OneToken, nullptr, kMostBands, kMostTokens,
                                   kMostTokens* kFields * sizeof(FieldSums), Many}};

}  // namespace

const KernelTable kAvx512Kernels = {
    "avx512", kCpuAvx2 | kCpuAvx512, nullptr, 0, kTiles, sizeof(kTiles) / sizeof(kTiles[0]), &kAvx2Kernels};

}  // namespace bonsai::kernels

#include "kernels/cpu/isa_end.h"
#endif
