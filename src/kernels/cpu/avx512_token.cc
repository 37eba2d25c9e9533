// AVX-512: attention, norm, gated units and quantiser (token.inc) on registers of 16 floats.
#include "kernels/cpu/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels/kv_type.h"

#define BONSAI_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
#include "kernels/cpu/isa_begin.h"

namespace bonsai::kernels {
namespace {

using V16 = __m512;
using I16 = __m512i;
// 16 accumulators, 4 keys or columns, and a query or weight: 21 of 32 registers.
constexpr int kQueries = 4, kKeyChunks = 4, kValueColumns = 4;

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
/// a · b + c, rounded once.
inline V16 Fma(V16 a, V16 b, V16 c) { return _mm512_fmadd_ps(a, b, c); }
inline V16 Div(V16 a, V16 b) { return _mm512_div_ps(a, b); }
/// a > b ? a : b and a < b ? a : b: the second one for a NaN.
inline V16 Max(V16 a, V16 b) { return _mm512_max_ps(a, b); }
inline V16 Min(V16 a, V16 b) { return _mm512_min_ps(a, b); }
inline V16 Negate(V16 v) { return _mm512_xor_ps(v, Set(-0.0f)); }
inline float FirstLane(V16 v) { return _mm512_cvtss_f32(v); }
inline float SquareRoot(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

/// 16 stored elements as floats: a KvType of floats, or signed bytes for kQ8_0.
template <int kType>
inline V16 LoadFloats(const std::byte* p) {
  if constexpr (kType == static_cast<int>(KvType::kF32)) {
    return _mm512_loadu_ps(p);
  } else if constexpr (kType == static_cast<int>(KvType::kF16)) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  } else {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
}
/// The low and the high nibbles of 16 bytes, minus 8: a permutation looks at the low 4 bits of its index.
inline void LoadNibbles(const std::byte* p, V16& low, V16& high) {
  const __m512 table = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
  const __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  low = _mm512_permutexvar_ps(bytes, table);
  high = _mm512_permutexvar_ps(_mm512_srli_epi32(bytes, 4), table);
}

inline I16 LoadI16(const std::byte* p) { return _mm512_loadu_si512(p); }
/// Σ code·x from sums of (code + 128)·x or (code + 8)·x; `sum` is Σ x.
template <int kType>
inline I16 StartDots(int32_t sum) {
  return _mm512_set1_epi32(kType == static_cast<int>(KvType::kQ8_0) ? sum * -128 : sum * -8);
}
template <int kType>
inline V16 FinishDots(I16 acc, int32_t) {
  return _mm512_cvtepi32_ps(acc);
}
/// acc + Σ4 u8·s8 in each lane. One line of assembly: with the intrinsic, g++ 12 spills blocks of accumulators.
inline I16 Dot(I16 acc, I16 u8, const int8_t* four) {
  int32_t word;
  __builtin_memcpy(&word, four, sizeof(word));
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u8), "v"(_mm512_set1_epi32(word)));
  return acc;
}
/// The elements that a register of 16 positions holds: 4 of q8_0, 8 of q4_0.
template <int kType>
inline I16 Dots(I16 acc, I16 key, const int8_t* x) {
  if constexpr (kType == static_cast<int>(KvType::kQ8_0)) return Dot(acc, key, x);
  const I16 mask = _mm512_set1_epi8(15);
  acc = Dot(acc, _mm512_and_si512(key, mask), x);
  return Dot(acc, _mm512_and_si512(_mm512_srli_epi16(key, 4), mask), x + 4);
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

#include "kernels/cpu/attend.inc"  // needs the one before

}  // namespace

const TokenKernels kAvx512TokenKernels = {
    kCpuAvx2 | kCpuAvx512 | kCpuAvx512Vnni, Attend, RmsNorm, Glu<SiluTimes>, Glu<Relu2Times>, Quantize};

}  // namespace bonsai::kernels

#include "kernels/cpu/isa_end.h"
#endif
