// AVX2 row kernels for Q1_0 (Intel and AMD since 2013-2015).
#include "kernels/cpu/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#include "quant/types/q1_0.h"  // for the layout: its functions are not called

#define BONSAI_TARGET "avx2,f16c"
#include "kernels/cpu/isa_begin.h"

namespace bonsai::kernels {
namespace {

constexpr int64_t kGroup = 128;
constexpr int64_t kBlockBytes = 18;
static_assert(sizeof(quant::q1_0::Block) == kBlockBytes && quant::q1_0::kWeights == kGroup);

__m256i Load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

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

/// 32 bits → 32 bytes: -1 where the weight is negative, 0 where it is positive.
__m256i NegativeMask(int32_t word) {
  const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i bit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
  const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(word), spread);
  return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), _mm256_setzero_si256());
}

int32_t SumLanes(__m256i v) {
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(1, 0, 3, 2)));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(2, 3, 0, 1)));
  return _mm_cvtsi128_si32(sum);
}

/// Σ ±q over a block. |pair sums| ≤ 254 and four of them fit 16 bits.
int32_t SignedSum(const __m256i* negative, const int8_t* q) {
  const __m256i ones8 = _mm256_set1_epi8(1);
  __m256i sum = _mm256_setzero_si256();
  for (int i = 0; i < 4; ++i) {
    const __m256i x = _mm256_sub_epi8(_mm256_xor_si256(Load(q + 32 * i), negative[i]), negative[i]);
    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(ones8, x));
  }
  return SumLanes(_mm256_madd_epi16(sum, _mm256_set1_epi16(1)));
}

void Q1I8(const quant::Type&, const std::byte* w, int64_t cols, const I8Rows& x, int64_t n, float* y) {
  for (int64_t t = 0; t < n; ++t) y[t] = 0;
  for (int64_t g = 0; g < cols / kGroup; ++g, w += kBlockBytes) {
    const float d = BlockScale(w);
    __m256i negative[4];
    for (int i = 0; i < 4; ++i) negative[i] = NegativeMask(SignWord(w, i));
    for (int64_t t = 0; t < n; ++t) {
      const float dx = x.scales[t * x.scale_stride + g];
      y[t] += (d * dx) * static_cast<float>(SignedSum(negative, x.q + t * x.stride + g * kGroup));
    }
  }
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

void Q1F32(const quant::Type&, const std::byte* w, int64_t cols, const F32Rows& x, int64_t n, float* y) {
  for (int64_t t = 0; t < n; ++t) y[t] = 0;
  for (int64_t g = 0; g < cols / kGroup; ++g, w += kBlockBytes) {
    const float d = BlockScale(w);
    for (int64_t t = 0; t < n; ++t) y[t] += d * SignedSum(w, x.x + t * x.stride + g * kGroup);
  }
}

constexpr RowKernels kRows[] = {{41, Q1I8, Q1F32}};

}  // namespace

const KernelTable kAvx2Kernels = {"avx2", kCpuAvx2,         kRows, sizeof(kRows) / sizeof(kRows[0]), nullptr,
                                  0,      &kPortableKernels};

}  // namespace bonsai::kernels

#include "kernels/cpu/isa_end.h"
#endif
