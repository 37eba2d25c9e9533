// Activations as int8 with one float scale per 128 columns. This is the one definition: every ISA's quantiser must
// reproduce it bit for bit, because equal codes are what makes equal integer sums.
//
//   amax  = max |x|                      over the group
//   scale = amax / 127                   rounded to float
//   code  = nearest(x · (127 / amax))    the quotient and the product rounded to float, then ties to even
//
// Codes lie in -127..127 (never -128): |x| · (127 / amax) is at most 127 · (1 + 2^-24)², which rounds to 127.
// A group whose amax is below 2^-118 counts as zero: scale 0, codes 0 (127 / amax would overflow from 2^-121 on).
// A group that holds an infinity or a NaN has scale NaN and codes 0, so that the fault shows in the output.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "quant/types.h"

namespace bonsai::quant {

/// Largest magnitude of n floats, as bits: magnitudes order like their bit patterns, and infinity and NaN come last,
/// so one integer maximum finds both amax and faults, in any order. Above 0x7f7fffff: not all are finite.
inline uint32_t MaxMagnitudeBits(const float* x, int64_t n) {
  int32_t bits = 0;
  for (int64_t i = 0; i < n; ++i) {
    const auto magnitude = static_cast<int32_t>(std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu);
    bits = magnitude > bits ? magnitude : bits;
  }
  return static_cast<uint32_t>(bits);
}

/// Quantises one group of n (1..kActGroup) floats into q[0..n-1] and returns its scale.
inline float QuantizeGroupI8(const float* x, int64_t n, int8_t* q) {
  const uint32_t bits = MaxMagnitudeBits(x, n);
  const bool finite = bits <= 0x7f7fffffu;
  const auto amax = std::bit_cast<float>(bits);
  if (!finite || amax < 0x1p-118f) {
    for (int64_t i = 0; i < n; ++i) q[i] = 0;
    return finite ? 0.0f : std::numeric_limits<float>::quiet_NaN();
  }
  const float inverse = 127.0f / amax;
  for (int64_t i = 0; i < n; ++i) {
    // Adding 1.5·2^23 leaves the integer nearest to the product, ties to even, in the low bits of the sum.
    const auto sum = std::bit_cast<uint32_t>(x[i] * inverse + 0x1.8p23f);
    q[i] = static_cast<int8_t>(static_cast<int32_t>(sum - std::bit_cast<uint32_t>(0x1.8p23f)));
  }
  return amax / 127.0f;
}

/// Groups of a row of `cols` columns; the last may be short.
inline constexpr int64_t ActGroups(int64_t cols) { return (cols + kActGroup - 1) / kActGroup; }

/// Quantises a row: q has cols entries, scales ActGroups(cols).
inline void QuantizeRowI8(const float* x, int64_t cols, int8_t* q, float* scales) {
  for (int64_t c = 0; c < cols; c += kActGroup) {
    const int64_t n = cols - c < kActGroup ? cols - c : kActGroup;
    scales[c / kActGroup] = QuantizeGroupI8(x + c, n, q + c);
  }
}

}  // namespace bonsai::quant
