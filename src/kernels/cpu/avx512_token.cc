// AVX-512: attention, norm, SwiGLU and quantiser (token.inc) on registers of 16 floats.
#include "kernels/cpu/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels/kv_type.h"

#define BONSAI_TARGET "avx512f,avx512bw,avx512dq,avx512vl"
#include "kernels/cpu/isa_begin.h"

namespace bonsai::kernels {
namespace {

using V16 = __m512;
// 16 accumulators, 4 keys or columns, and a query or weight: 21 of 32 registers.
constexpr int kQueries = 4, kKeys = 4, kColumns = 4;

inline __mmask16 First(int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }

inline V16 Set(float x) { return _mm512_set1_ps(x); }
inline V16 Load(const float* p) { return _mm512_loadu_ps(p); }
inline void Store(float* p, V16 v) { _mm512_storeu_ps(p, v); }
/// n of 1..15 floats, then zeros.
inline V16 LoadPart(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(First(n), p); }
inline void StorePart(float* p, int64_t n, V16 v) { _mm512_mask_storeu_ps(p, First(n), v); }
inline V16 Add(V16 a, V16 b) { return _mm512_add_ps(a, b); }
inline V16 Sub(V16 a, V16 b) { return _mm512_sub_ps(a, b); }
inline V16 Mul(V16 a, V16 b) { return _mm512_mul_ps(a, b); }
inline V16 Div(V16 a, V16 b) { return _mm512_div_ps(a, b); }
/// a > b ? a : b and a < b ? a : b: the second one for a NaN.
inline V16 Max(V16 a, V16 b) { return _mm512_max_ps(a, b); }
inline V16 Min(V16 a, V16 b) { return _mm512_min_ps(a, b); }
inline V16 Negate(V16 v) { return _mm512_xor_ps(v, Set(-0.0f)); }
inline float FirstLane(V16 v) { return _mm512_cvtss_f32(v); }
inline float SquareRoot(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

/// 16 halves.
inline V16 LoadF16(const std::byte* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
/// One half, 16 times.
inline V16 SetF16(const std::byte* p) {
  uint16_t h;
  __builtin_memcpy(&h, p, sizeof(h));
  return _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<int16_t>(h)));
}
/// 16 signed bytes.
inline V16 LoadI8(const std::byte* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
/// The low or high nibbles of 16 bytes, minus 8.
inline V16 LoadNibbles(const std::byte* p, int high) {
  const __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m512i code = _mm512_and_si512(high != 0 ? _mm512_srli_epi32(bytes, 4) : bytes, _mm512_set1_epi32(15));
  return _mm512_cvtepi32_ps(_mm512_sub_epi32(code, _mm512_set1_epi32(8)));
}

/// p · 2^n in two factors, n from the low bits of `shifted`: the end of Exp.
inline V16 TimesPowerOfTwo(V16 p, V16 shifted) {
  const __m512i e = _mm512_sub_epi32(_mm512_castps_si512(shifted), _mm512_castps_si512(Set(0x1.8p23f)));
  const __m512i half = _mm512_srai_epi32(e, 1), bias = _mm512_set1_epi32(127);
  const __m512i a = _mm512_slli_epi32(_mm512_add_epi32(half, bias), 23);
  const __m512i b = _mm512_slli_epi32(_mm512_add_epi32(_mm512_sub_epi32(e, half), bias), 23);
  return Mul(Mul(p, _mm512_castsi512_ps(a)), _mm512_castsi512_ps(b));
}

/// The last two additions of the tree in each quarter: its sum in its first lane.
inline V16 QuarterSums(V16 v) {
  v = Add(v, _mm512_permute_ps(v, _MM_SHUFFLE(1, 0, 3, 2)));
  return Add(v, _mm512_permute_ps(v, _MM_SHUFFLE(2, 3, 0, 1)));
}

/// The tree of lanes.h.
inline float Tree(V16 v) {
  v = Add(v, _mm512_shuffle_f32x4(v, v, _MM_SHUFFLE(1, 0, 3, 2)));
  v = Add(v, _mm512_shuffle_f32x4(v, v, _MM_SHUFFLE(2, 3, 0, 1)));
  return FirstLane(QuarterSums(v));
}

/// p[i] = Tree(v[i]) · scale: four trees side by side.
inline void StoreSums(const V16* v, float scale, float* p) {
  const V16 a = Add(_mm512_shuffle_f32x4(v[0], v[1], 0x44), _mm512_shuffle_f32x4(v[0], v[1], 0xee));  // 8 lanes each
  const V16 b = Add(_mm512_shuffle_f32x4(v[2], v[3], 0x44), _mm512_shuffle_f32x4(v[2], v[3], 0xee));
  const V16 c = QuarterSums(Add(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd)));  // 4, then 1
  const __m512i firsts = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m128 sums = _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, c));
  _mm_storeu_ps(p, _mm_mul_ps(sums, _mm_set1_ps(scale)));
}

inline float LargestLane(V16 v) { return _mm512_reduce_max_ps(v); }

/// Magnitudes order like their bits, infinity and NaN last (quant/act_i8.h).
inline V16 MaxMagnitude(V16 a, V16 v) {
  const __m512i m = _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff));
  return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a), m));
}
inline float LargestMagnitude(V16 v) {
  const int32_t bits = _mm512_reduce_max_epi32(_mm512_castps_si512(v));
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(bits)));
}
inline void StoreI8(int8_t* p, V16 v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}

#include "kernels/cpu/token.inc"

}  // namespace

const TokenKernels kAvx512TokenKernels = {kCpuAvx2 | kCpuAvx512, Attend, RmsNorm, SwiGlu, Quantize};

}  // namespace bonsai::kernels

#include "kernels/cpu/isa_end.h"
#endif
