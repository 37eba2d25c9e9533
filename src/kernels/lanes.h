// How floats are summed. A sum of n floats is defined as 16 strided partial sums, lane l adding elements l, l + 16,
// l + 32, … in ascending order, which a fixed tree then adds: l with l + 8, then + 4, + 2, + 1. Registers of 4, 8 and
// 16 floats compute it alike, so every ISA gives the same bits. Lanes start at +0, and a lane is then never -0 under
// round-to-nearest, so adding products with zero padding changes no bit.
//
// Error: a term passes at most n/16 + 4 additions, so |error| ≤ (n/16 + 5)·2^-24·Σ|terms| to first order, with one
// rounding for the product (Higham 2002, §4.2).
#pragma once

#include <cstdint>

namespace bonsai::kernels {

inline constexpr int kLanes = 16;

/// Adds 16 lanes in the fixed tree. Overwrites them.
inline float TreeSum(float* lanes) {
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) lanes[l] += lanes[l + width];
  }
  return lanes[0];
}

/// Σ a[i]·b[i].
inline float LaneDot(const float* a, const float* b, int64_t n) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) lanes[l] += a[i + l] * b[i + l];
  }
  for (int l = 0; i + l < n; ++l) lanes[l] += a[i + l] * b[i + l];
  return TreeSum(lanes);
}

/// Σ a[i].
inline float LaneSum(const float* a, int64_t n) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) lanes[l] += a[i + l];
  }
  for (int l = 0; i + l < n; ++l) lanes[l] += a[i + l];
  return TreeSum(lanes);
}

}  // namespace bonsai::kernels
