// AVX-512 kernels for float activations (float_rows.inc): F32, F16, BF16 and Q8_0.
#include "kernels/cpu/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#define BONSAI_TARGET "avx512f,avx512bw,avx512dq,avx512vl"
#include "kernels/cpu/isa_begin.h"

namespace bonsai::kernels {
namespace {

using V16 = __m512;

inline V16 Load(const float* p) { return _mm512_loadu_ps(p); }
inline V16 Add(V16 a, V16 b) { return _mm512_add_ps(a, b); }
inline V16 Mul(V16 a, V16 b) { return _mm512_mul_ps(a, b); }
inline void Prefetch(const std::byte* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1); }

/// Four trees side by side: after two steps a register has four lanes of each.
inline void AddTrees(const V16* v, float* y) {
  const V16 a = Add(_mm512_shuffle_f32x4(v[0], v[1], 0x44), _mm512_shuffle_f32x4(v[0], v[1], 0xee));  // + 8
  const V16 b = Add(_mm512_shuffle_f32x4(v[2], v[3], 0x44), _mm512_shuffle_f32x4(v[2], v[3], 0xee));
  V16 c = Add(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));  // + 4
  c = Add(c, _mm512_permute_ps(c, _MM_SHUFFLE(1, 0, 3, 2)));                        // + 2
  c = Add(c, _mm512_permute_ps(c, _MM_SHUFFLE(2, 3, 0, 1)));                        // + 1
  const __m512i firsts = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  _mm_storeu_ps(y, _mm_add_ps(_mm_loadu_ps(y), _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, c))));
}

inline __m256i Halves(const std::byte* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

struct F32 {
  static constexpr int64_t kGroupBytes = 512;
  static V16 Weights(const std::byte* group, int i) { return _mm512_loadu_ps(group + 64 * i); }
};

struct F16 {
  static constexpr int64_t kGroupBytes = 256;
  static V16 Weights(const std::byte* group, int i) { return _mm512_cvtph_ps(Halves(group + 32 * i)); }
};

struct Bf16 {
  static constexpr int64_t kGroupBytes = 256;
  static V16 Weights(const std::byte* group, int i) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(Halves(group + 32 * i)), 16));
  }
};

struct Q8 {
  static constexpr int64_t kGroupBytes = 136;  // 4 blocks of 2 + 32
  static V16 Weights(const std::byte* group, int i) {
    const std::byte* block = group + i / 2 * 34;
    uint16_t d;
    std::memcpy(&d, block, sizeof(d));
    const auto* codes = reinterpret_cast<const __m128i*>(block + 2 + i % 2 * 16);
    return Mul(_mm512_cvtph_ps(_mm256_set1_epi16(static_cast<int16_t>(d))),
               _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(codes))));
  }
};

constexpr int kManyRows = 4, kManyTokens = 4;

#include "kernels/cpu/float_rows.inc"

constexpr RowKernels kRows[] = {{0, nullptr, MultiplyRows<F32>},
                                {1, nullptr, MultiplyRows<F16>},
                                {30, nullptr, MultiplyRows<Bf16>},
                                {8, nullptr, MultiplyRows<Q8>}};

}  // namespace

const FormatKernels kAvx512FloatKernels = {kCpuAvx2 | kCpuAvx512, kRows, sizeof(kRows) / sizeof(kRows[0]), nullptr, 0};

}  // namespace bonsai::kernels

#include "kernels/cpu/isa_end.h"
#endif
