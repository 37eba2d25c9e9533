// F16, GGUF type 1: one IEEE binary16 a weight, little-endian, in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/half.h"

namespace bonsai::quant::f16 {

/// A block: one weight.
struct Block {
  uint16_t bits;
};
static_assert(sizeof(Block) == 2);

inline void Decode(const std::byte* src, float* dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    Block block;
    std::memcpy(&block, src + i * 2, sizeof(block));
    dst[i] = HalfToFloat(block.bits);
  }
}

/// Nearest, ties to even; magnitudes of 65520 and more become infinity.
inline void Encode(const float* src, std::byte* dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const Block block = {FloatToHalf(src[i])};
    std::memcpy(dst + i * 2, &block, sizeof(block));
  }
}

inline double Dot(const std::byte* w, const float* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    Block block;
    std::memcpy(&block, w + i * 2, sizeof(block));
    sum += static_cast<double>(HalfToFloat(block.bits)) * x[i];
  }
  return sum;
}

}  // namespace bonsai::quant::f16
