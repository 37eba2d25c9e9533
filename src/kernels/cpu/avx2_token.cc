// AVX2: attention, norm, gated units and quantiser (token.inc) on pairs of registers of 8 floats.
#include "kernels/cpu/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels/kv_type.h"

#define BONSAI_TARGET "avx2,f16c,fma"
#include "kernels/cpu/isa_begin.h"

namespace bonsai::kernels {
namespace {

/// Lanes 0-7 and 8-15.
struct V16 {
  __m256 lo, hi;
};
/// 16 integers, or the 64 bytes of 16 positions.
struct I16 {
  __m256i lo, hi;
};
// 8 of 16 registers are accumulators, 4 hold keys or columns. (g++ 12 spills some integer ones; 16 positions a time
// need no spills and are no faster.)
constexpr int kQueries = 2, kKeyChunks = 2, kValueColumns = 1;

inline V16 Set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline V16 Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void Store(float* p, V16 v) { _mm256_storeu_ps(p, v.lo), _mm256_storeu_ps(p + 8, v.hi); }
/// n of 1..15 floats, then zeros.
inline V16 LoadPart(const float* p, int64_t n) {
  alignas(32) float part[16] = {};
  __builtin_memcpy(part, p, static_cast<size_t>(n) * sizeof(float));
  return Load(part);
}
inline void StorePart(float* p, int64_t n, V16 v) {
  alignas(32) float part[16];
  Store(part, v);
  __builtin_memcpy(p, part, static_cast<size_t>(n) * sizeof(float));
}
inline V16 Add(V16 a, V16 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline V16 Sub(V16 a, V16 b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline V16 Mul(V16 a, V16 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
/// a · b + c, rounded once.
inline V16 Fma(V16 a, V16 b, V16 c) { return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)}; }
inline V16 Div(V16 a, V16 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
/// a > b ? a : b and a < b ? a : b: the second one for a NaN.
inline V16 Max(V16 a, V16 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline V16 Min(V16 a, V16 b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline V16 Negate(V16 v) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_xor_ps(v.lo, sign), _mm256_xor_ps(v.hi, sign)};
}
inline float FirstLane(V16 v) { return _mm256_cvtss_f32(v.lo); }
inline float SquareRoot(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

inline __m128i LoadBytes(const std::byte* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
inline V16 FromI8(__m128i bytes) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(bytes, bytes)))};
}
/// 16 stored elements as floats: a KvType of floats, or signed bytes for kQ8_0.
template <int kType>
inline V16 LoadFloats(const std::byte* p) {
  if constexpr (kType == static_cast<int>(KvType::kF32)) {
    return Load(reinterpret_cast<const float*>(p));
  } else if constexpr (kType == static_cast<int>(KvType::kF16)) {
    return {_mm256_cvtph_ps(LoadBytes(p)), _mm256_cvtph_ps(LoadBytes(p + 16))};
  } else {
    return FromI8(LoadBytes(p));
  }
}
/// The low and the high nibbles of 16 bytes, minus 8.
inline void LoadNibbles(const std::byte* p, V16& low, V16& high) {
  const __m128i bytes = LoadBytes(p), mask = _mm_set1_epi8(15), eight = _mm_set1_epi8(8);
  low = FromI8(_mm_sub_epi8(_mm_and_si128(bytes, mask), eight));
  high = FromI8(_mm_sub_epi8(_mm_and_si128(_mm_srli_epi16(bytes, 4), mask), eight));
}

inline I16 LoadI16(const std::byte* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
}
/// Sums of q8_0 are of code·x in int32; those of q4_0 of (code + 8)·x in int16 pairs: 8 times 2·15·127 is 30,480.
template <int kType>
inline I16 StartDots(int32_t) {
  return {_mm256_setzero_si256(), _mm256_setzero_si256()};
}
template <int kType>
inline __m256 FinishDots(__m256i acc, int32_t sum) {
  if constexpr (kType == static_cast<int>(KvType::kQ4_0)) {
    acc = _mm256_sub_epi32(_mm256_madd_epi16(acc, _mm256_set1_epi16(1)), _mm256_set1_epi32(sum * 8));
  }
  return _mm256_cvtepi32_ps(acc);
}
template <int kType>
inline V16 FinishDots(I16 acc, int32_t sum) {
  return {FinishDots<kType>(acc.lo, sum), FinishDots<kType>(acc.hi, sum)};
}
/// The elements that a register of positions holds: 4 of q8_0, 8 of q4_0. vpmaddubsw adds pairs of u8·s8 with
/// saturation at 2^15, so a q8_0 code enters as its magnitude and leaves its sign with x: at most 2·128·127.
template <int kType>
inline __m256i Dots(__m256i acc, __m256i key, const int8_t* x) {
  int32_t word;
  __builtin_memcpy(&word, x, sizeof(word));
  const __m256i four = _mm256_set1_epi32(word);
  if constexpr (kType == static_cast<int>(KvType::kQ8_0)) {
    const __m256i code = _mm256_xor_si256(key, _mm256_set1_epi8(-128));
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(code), _mm256_sign_epi8(four, code));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  } else {
    __builtin_memcpy(&word, x + 4, sizeof(word));
    const __m256i mask = _mm256_set1_epi8(15);
    acc = _mm256_add_epi16(acc, _mm256_maddubs_epi16(_mm256_and_si256(key, mask), four));
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(key, 4), mask);
    return _mm256_add_epi16(acc, _mm256_maddubs_epi16(high, _mm256_set1_epi32(word)));
  }
}
template <int kType>
inline I16 Dots(I16 acc, I16 key, const int8_t* x) {
  return {Dots<kType>(acc.lo, key.lo, x), Dots<kType>(acc.hi, key.hi, x)};
}

inline __m256 TimesPowerOfTwo(__m256 p, __m256 shifted) {
  const __m256i e = _mm256_sub_epi32(_mm256_castps_si256(shifted), _mm256_castps_si256(_mm256_set1_ps(0x1.8p23f)));
  const __m256i half = _mm256_srai_epi32(e, 1), bias = _mm256_set1_epi32(127);
  const __m256i a = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const __m256i b = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(e, half), bias), 23);
  return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(a)), _mm256_castsi256_ps(b));
}
/// p · 2^n in two factors, n from the low bits of `shifted`: the end of Exp.
inline V16 TimesPowerOfTwo(V16 p, V16 shifted) {
  return {TimesPowerOfTwo(p.lo, shifted.lo), TimesPowerOfTwo(p.hi, shifted.hi)};
}

/// The last two additions of the tree in each half: its sum in its first lane.
inline __m256 HalfSums(__m256 v) {
  v = _mm256_add_ps(v, _mm256_permute_ps(v, _MM_SHUFFLE(1, 0, 3, 2)));
  return _mm256_add_ps(v, _mm256_permute_ps(v, _MM_SHUFFLE(2, 3, 0, 1)));
}

/// The tree of lanes.h.
inline float Tree(V16 v) {
  const __m256 eight = _mm256_add_ps(v.lo, v.hi);
  return _mm256_cvtss_f32(HalfSums(_mm256_add_ps(eight, _mm256_permute2f128_ps(eight, eight, 1))));
}

inline float LargestLane(V16 v) {
  const __m256 eight = _mm256_max_ps(v.lo, v.hi);
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_max_ps(four, _mm_permute_ps(four, _MM_SHUFFLE(1, 0, 3, 2)));
  return _mm_cvtss_f32(_mm_max_ps(four, _mm_permute_ps(four, _MM_SHUFFLE(2, 3, 0, 1))));
}

inline __m256i Magnitude(__m256 v) { return _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(0x7fffffff)); }
/// Magnitudes order like their bits, infinity and NaN last (quant/act_i8.h).
inline V16 MaxMagnitude(V16 a, V16 v) {
  return {_mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a.lo), Magnitude(v.lo))),
          _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a.hi), Magnitude(v.hi)))};
}
inline float LargestMagnitude(V16 v) {
  const __m256i eight = _mm256_max_epi32(_mm256_castps_si256(v.lo), _mm256_castps_si256(v.hi));
  __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(1, 0, 3, 2)));
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_max_epi32(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(2, 3, 0, 1)))));
}
inline void StoreI8(int8_t* p, V16 v) {
  const __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(v.lo), _mm256_cvtps_epi32(v.hi));
  const __m256i ordered = _mm256_permute4x64_epi64(words, _MM_SHUFFLE(3, 1, 2, 0));
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}

#include "kernels/cpu/token.inc"

#include "kernels/cpu/attend.inc"  // needs the one before

}  // namespace

const TokenKernels kAvx2TokenKernels = {kCpuAvx2, Attend, RmsNorm, Glu<SiluTimes>, Glu<Relu2Times>, Quantize};

}  // namespace bonsai::kernels

#include "kernels/cpu/isa_end.h"
#endif
