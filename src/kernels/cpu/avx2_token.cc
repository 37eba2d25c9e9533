// AVX2: attention, norm, SwiGLU and quantiser (token.inc) on pairs of registers of 8 floats.
#include "kernels/cpu/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels/kv_type.h"

#define BONSAI_TARGET "avx2,f16c"
#include "kernels/cpu/isa_begin.h"

namespace bonsai::kernels {
namespace {

/// Lanes 0-7 and 8-15.
struct V16 {
  __m256 lo, hi;
};
// 8 of 16 registers are accumulators, 4 hold keys or columns.
constexpr int kQueries = 2, kKeys = 2, kColumns = 2;

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
/// 16 halves.
inline V16 LoadF16(const std::byte* p) { return {_mm256_cvtph_ps(LoadBytes(p)), _mm256_cvtph_ps(LoadBytes(p + 16))}; }
/// One half, 16 times.
inline V16 SetF16(const std::byte* p) {
  uint16_t h;
  __builtin_memcpy(&h, p, sizeof(h));
  const __m256 d = _mm256_cvtph_ps(_mm_set1_epi16(static_cast<int16_t>(h)));
  return {d, d};
}
inline V16 FromI8(__m128i bytes) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(bytes, bytes)))};
}
/// 16 signed bytes.
inline V16 LoadI8(const std::byte* p) { return FromI8(LoadBytes(p)); }
/// The low or high nibbles of 16 bytes, minus 8.
inline V16 LoadNibbles(const std::byte* p, int high) {
  const __m128i bytes = high != 0 ? _mm_srli_epi16(LoadBytes(p), 4) : LoadBytes(p);
  return FromI8(_mm_sub_epi8(_mm_and_si128(bytes, _mm_set1_epi8(15)), _mm_set1_epi8(8)));
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

/// p[i] = Tree(v[i]) · scale: two trees side by side.
inline void StoreSums(const V16* v, float scale, float* p) {
  const __m256 a = _mm256_add_ps(v[0].lo, v[0].hi), b = _mm256_add_ps(v[1].lo, v[1].hi);
  const __m256 sums = _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
  const __m256 scaled = _mm256_mul_ps(HalfSums(sums), _mm256_set1_ps(scale));
  p[0] = _mm256_cvtss_f32(scaled);
  p[1] = _mm_cvtss_f32(_mm256_extractf128_ps(scaled, 1));
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

}  // namespace

const TokenKernels kAvx2TokenKernels = {kCpuAvx2, Attend, RmsNorm, SwiGlu, Quantize};

}  // namespace bonsai::kernels

#include "kernels/cpu/isa_end.h"
#endif
