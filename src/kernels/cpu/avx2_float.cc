// AVX2 kernels for float activations (float_rows.inc): F32, F16, BF16 and Q8_0.
#include "kernels/cpu/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#define BONSAI_TARGET "avx2,f16c"
#include "kernels/cpu/isa_begin.h"

namespace bonsai::kernels {
namespace {

struct V16 {
  __m256 low, high;
};

inline V16 Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline V16 Add(V16 a, V16 b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
inline V16 Mul(V16 a, V16 b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
inline void Prefetch(const std::byte* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1); }

/// The first two steps of two trees: four lanes of each.
inline __m256 Fours(V16 a, V16 b) {
  const __m256 x = _mm256_add_ps(a.low, a.high), y = _mm256_add_ps(b.low, b.high);
  return _mm256_add_ps(_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31));
}

inline void AddTrees(const V16* v, float* y) {
  const __m256 a = Fours(v[0], v[1]), b = Fours(v[2], v[3]);
  const __m256 twos = _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));  // 0 0 2 2 1 1 3 3
  const __m256 ones = _mm256_add_ps(_mm256_shuffle_ps(twos, twos, 0x88), _mm256_shuffle_ps(twos, twos, 0xdd));
  const __m128 sums = _mm_unpacklo_ps(_mm256_castps256_ps128(ones), _mm256_extractf128_ps(ones, 1));
  _mm_storeu_ps(y, _mm_add_ps(_mm_loadu_ps(y), sums));
}

inline __m128i Load16(const std::byte* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

struct F32 {
  static constexpr int64_t kGroupBytes = 512;
  static V16 Weights(const std::byte* group, int i) { return Load(reinterpret_cast<const float*>(group) + 16 * i); }
};

struct F16 {
  static constexpr int64_t kGroupBytes = 256;
  static V16 Weights(const std::byte* group, int i) {
    return {_mm256_cvtph_ps(Load16(group + 32 * i)), _mm256_cvtph_ps(Load16(group + 32 * i + 16))};
  }
};

struct Bf16 {
  static constexpr int64_t kGroupBytes = 256;
  static __m256 Eight(const std::byte* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(Load16(p)), 16));
  }
  static V16 Weights(const std::byte* group, int i) { return {Eight(group + 32 * i), Eight(group + 32 * i + 16)}; }
};

struct Q8 {
  static constexpr int64_t kGroupBytes = 136;  // 4 blocks of 2 + 32
  static V16 Weights(const std::byte* group, int i) {
    const std::byte* block = group + i / 2 * 34;
    uint16_t half;
    std::memcpy(&half, block, sizeof(half));
    const __m256 d = _mm256_cvtph_ps(_mm_set1_epi16(static_cast<int16_t>(half)));
    const __m128i codes = Load16(block + 2 + i % 2 * 16);
    return {_mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes))),
            _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(codes, codes))))};
  }
};

constexpr int kManyRows = 2, kManyTokens = 2;

#include "kernels/cpu/float_rows.inc"

constexpr RowKernels kRows[] = {{0, nullptr, MultiplyRows<F32>},
                                {1, nullptr, MultiplyRows<F16>},
                                {30, nullptr, MultiplyRows<Bf16>},
                                {8, nullptr, MultiplyRows<Q8>}};

}  // namespace

const FormatKernels kAvx2FloatKernels = {kCpuAvx2, kRows, sizeof(kRows) / sizeof(kRows[0]), nullptr, 0};

}  // namespace bonsai::kernels

#include "kernels/cpu/isa_end.h"
#endif
