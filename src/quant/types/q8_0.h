// Q8_0, GGUF type 8: 32 weights in 34 bytes (8.5 bits a weight); w = d · code. The 8-bit reference.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/half.h"
#include "quant/act_i8.h"

namespace bonsai::quant::q8_0 {

inline constexpr int64_t kWeights = 32;

/// A block. Element j is qs[j].
struct Block {
  uint16_t d;           ///< Scale, fp16.
  int8_t qs[kWeights];  ///< Codes.
};
static_assert(sizeof(Block) == 34);

inline Block Load(const std::byte* src) {
  Block block;
  std::memcpy(&block, src, sizeof(block));
  return block;
}

inline void Decode(const std::byte* src, float* dst, int64_t n) {
  for (int64_t i = 0; i < n; i += kWeights, src += sizeof(Block)) {
    const Block block = Load(src);
    const float d = HalfToFloat(block.d);
    for (int64_t j = 0; j < kWeights; ++j) dst[i + j] = d * static_cast<float>(block.qs[j]);
  }
}

/// d = amax / 127, stored as fp16; codes are nearest(x / d) with the unrounded d, ties away from zero, so the largest
/// weight always gets ±127. Blocks with an infinity or a NaN get a d that is not finite, and code 0 at least there.
inline void Encode(const float* src, std::byte* dst, int64_t n) {
  for (int64_t i = 0; i < n; i += kWeights, dst += sizeof(Block)) {
    const float d = std::bit_cast<float>(MaxMagnitudeBits(src + i, kWeights)) / 127.0f;
    const float inverse = d > 0 ? 1.0f / d : 0.0f;
    Block block;
    block.d = FloatToHalf(d);
    for (int64_t j = 0; j < kWeights; ++j) {
      const float code = std::round(src[i + j] * inverse);
      block.qs[j] = code >= -127 && code <= 127 ? static_cast<int8_t>(code) : int8_t{0};  // NaN: 0
    }
    std::memcpy(dst, &block, sizeof(block));
  }
}

inline double Dot(const std::byte* w, const float* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i += kWeights, w += sizeof(Block)) {
    const Block block = Load(w);
    const double d = HalfToFloat(block.d);
    for (int64_t j = 0; j < kWeights; ++j) sum += d * block.qs[j] * x[i + j];
  }
  return sum;
}

inline void DotI8(const std::byte* w, const int8_t* x, int64_t n, int32_t* sums, float* scales) {
  for (int64_t b = 0; b < n / kWeights; ++b, w += sizeof(Block)) {
    const Block block = Load(w);
    int32_t sum = 0;
    for (int64_t j = 0; j < kWeights; ++j) sum += int32_t{block.qs[j]} * x[b * kWeights + j];
    sums[b] = sum;
    scales[b] = HalfToFloat(block.d);
  }
}

}  // namespace bonsai::quant::q8_0
