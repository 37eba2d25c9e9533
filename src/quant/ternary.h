// How floats become -1, 0, +1 times a scale: the rules between which a conversion can choose.
//
//   quant::EncodeTernary(*quant::FindByName("TQ2_0"), quant::TernaryRule::kLeastSquares, floats, bytes, n);
//
// For two values, ±d, there is no such choice: d = mean |x|, what the binary formats' encoders take, is the scale with
// the least squared error.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "quant/act_i8.h"
#include "quant/types.h"

namespace bonsai::quant {

enum class TernaryRule {
  /// d = max |x|, code = nearest(x / d), ties away from zero: what the formats' own encoders do, and exact for weights
  /// that are ternary already.
  kMax,
  /// d = mean |x|, code = nearest(x / d), ties to zero, clipped to ±1: BitNet b1.58 (Ma et al. 2024, arXiv 2402.17764).
  kAbsMean,
  /// Keeps the k largest magnitudes, d = their mean, with the k that has the least squared error of all: what codes
  /// and scale alternating (Li et al. 2016, arXiv 1605.04711) approach, found at once over sorted magnitudes.
  kLeastSquares,
};

/// The rule kMax for n floats: codes, and d before it is rounded. Codes of NaN are 0; d is not finite when some x is
/// not.
inline float TernaryMax(const float* x, int64_t n, int8_t* codes) {
  const auto d = std::bit_cast<float>(MaxMagnitudeBits(x, n));
  const float inverse = d > 0 ? 1.0f / d : 0.0f;
  for (int64_t j = 0; j < n; ++j) {
    const float scaled = x[j] * inverse;
    codes[j] = static_cast<int8_t>((scaled >= 0.5f ? 1 : 0) - (scaled <= -0.5f ? 1 : 0));
  }
  return d;
}

/// Codes (-1, 0, +1) for n > 0 floats, and the scale, rounded to fp16 (infinite from 65520 on). Codes are chosen with
/// the scale as it was before. NaN and codes 0 when some x is not finite. O(n log n). Thread safe.
float ChooseTernary(TernaryRule rule, const float* x, int64_t n, int8_t* codes);

/// Encodes n floats (a multiple of to.block_weights) with a scale for each of its blocks. False, with dst unspecified,
/// when some x is not finite, a scale overflows fp16, or `to` does not hold ternary codes. Thread safe.
bool EncodeTernary(const Type& to, TernaryRule rule, const float* src, std::byte* dst, int64_t n);

}  // namespace bonsai::quant
