// Q1_0, GGUF type 41: 128 weights in 18 bytes (1.125 bits a weight); w = ±d.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/half.h"

namespace bonsai::quant::q1_0 {

inline constexpr int64_t kWeights = 128;

/// A block. Element j is bit j % 8 (0 = lowest) of qs[j / 8]; 1 means +d, 0 means -d.
struct Block {
  uint16_t d;                ///< Scale, fp16.
  uint8_t qs[kWeights / 8];  ///< Signs.
};
static_assert(sizeof(Block) == 18);

inline Block Load(const std::byte* src) {
  Block block;
  std::memcpy(&block, src, sizeof(block));
  return block;
}

/// +1 or -1.
inline int32_t Code(const Block& block, int64_t j) { return (block.qs[j / 8] >> (j % 8) & 1) * 2 - 1; }

inline void Decode(const std::byte* src, float* dst, int64_t n) {
  for (int64_t i = 0; i < n; i += kWeights, src += sizeof(Block)) {
    const Block block = Load(src);
    const float d = HalfToFloat(block.d);
    for (int64_t j = 0; j < kWeights; ++j) dst[i + j] = d * static_cast<float>(Code(block, j));
  }
}

/// d = mean |x| (summed in double), stored as fp16: the scale with the least squared error for these signs.
/// x ≥ 0 (and -0) gives 1; negative x and NaN give 0.
inline void Encode(const float* src, std::byte* dst, int64_t n) {
  for (int64_t i = 0; i < n; i += kWeights, dst += sizeof(Block)) {
    Block block = {};
    double sum = 0;
    for (int64_t j = 0; j < kWeights; ++j) {
      sum += std::fabs(static_cast<double>(src[i + j]));
      if (src[i + j] >= 0) block.qs[j / 8] = static_cast<uint8_t>(block.qs[j / 8] | 1u << (j % 8));
    }
    block.d = FloatToHalf(static_cast<float>(sum / kWeights));
    std::memcpy(dst, &block, sizeof(block));
  }
}

inline double Dot(const std::byte* w, const float* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i += kWeights, w += sizeof(Block)) {
    const Block block = Load(w);
    const double d = HalfToFloat(block.d);
    for (int64_t j = 0; j < kWeights; ++j) sum += d * Code(block, j) * x[i + j];
  }
  return sum;
}

inline void DotI8(const std::byte* w, const int8_t* x, int64_t n, int32_t* sums, float* scales) {
  for (int64_t b = 0; b < n / kWeights; ++b, w += sizeof(Block)) {
    const Block block = Load(w);
    int32_t sum = 0;
    for (int64_t j = 0; j < kWeights; ++j) sum += Code(block, j) * x[b * kWeights + j];
    sums[b] = sum;
    scales[b] = HalfToFloat(block.d);
  }
}

}  // namespace bonsai::quant::q1_0
