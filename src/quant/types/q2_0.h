// Q2_0, GGUF type 42: 64 weights in 18 bytes (2.25 bits a weight); w = d · {-1, 0, +1, +2}. And PQ2_0, type 142: the
// same with 128 weights in 34 bytes (2.125 bits).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/half.h"
#include "quant/act_i8.h"

namespace bonsai::quant::q2_0 {

/// A block of kWeights. Element j is bits 2·(j % 4) and up (0 = lowest) of qs[j / 4]; 0, 1, 2, 3 mean -d, 0, +d, +2d.
template <int64_t kWeights>
struct Block {
  uint16_t d;                ///< Scale, fp16.
  uint8_t qs[kWeights / 4];  ///< Codes.
};
static_assert(sizeof(Block<64>) == 18 && sizeof(Block<128>) == 34);

template <int64_t kWeights>
inline Block<kWeights> Load(const std::byte* src) {
  Block<kWeights> block;
  std::memcpy(&block, src, sizeof(block));
  return block;
}

/// -1, 0, +1 or +2.
template <int64_t kWeights>
inline int32_t Code(const Block<kWeights>& block, int64_t j) {
  return (block.qs[j / 4] >> (2 * (j % 4)) & 3) - 1;
}

template <int64_t kWeights>
inline void Decode(const std::byte* src, float* dst, int64_t n) {
  for (int64_t i = 0; i < n; i += kWeights, src += sizeof(Block<kWeights>)) {
    const Block<kWeights> block = Load<kWeights>(src);
    const float d = HalfToFloat(block.d);
    for (int64_t j = 0; j < kWeights; ++j) dst[i + j] = d * static_cast<float>(Code(block, j));
  }
}

/// Nearest of {-1, 0, +1} to x · inverse, ties away from zero, plus 1; NaN gives 1, which means 0.
inline uint32_t TernaryBits(float x, float inverse) {
  const float scaled = x * inverse;
  return scaled >= 0.5f ? 2u : scaled <= -0.5f ? 0u : 1u;
}

/// d = max |x|, stored as fp16; codes are nearest(x / d) with the unrounded d, so +2 is never written. Blocks with an
/// infinity or a NaN get a d that is not finite.
template <int64_t kWeights>
inline void Encode(const float* src, std::byte* dst, int64_t n) {
  for (int64_t i = 0; i < n; i += kWeights, dst += sizeof(Block<kWeights>)) {
    const auto d = std::bit_cast<float>(MaxMagnitudeBits(src + i, kWeights));
    const float inverse = d > 0 ? 1.0f / d : 0.0f;
    Block<kWeights> block = {};
    block.d = FloatToHalf(d);
    for (int64_t j = 0; j < kWeights; ++j) {
      block.qs[j / 4] = static_cast<uint8_t>(block.qs[j / 4] | TernaryBits(src[i + j], inverse) << (2 * (j % 4)));
    }
    std::memcpy(dst, &block, sizeof(block));
  }
}

template <int64_t kWeights>
inline double Dot(const std::byte* w, const float* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i += kWeights, w += sizeof(Block<kWeights>)) {
    const Block<kWeights> block = Load<kWeights>(w);
    const double d = HalfToFloat(block.d);
    for (int64_t j = 0; j < kWeights; ++j) sum += d * Code(block, j) * x[i + j];
  }
  return sum;
}

template <int64_t kWeights>
inline void DotI8(const std::byte* w, const int8_t* x, int64_t n, int32_t* sums, float* scales) {
  for (int64_t b = 0; b < n / kWeights; ++b, w += sizeof(Block<kWeights>)) {
    const Block<kWeights> block = Load<kWeights>(w);
    int32_t sum = 0;
    for (int64_t j = 0; j < kWeights; ++j) sum += Code(block, j) * x[b * kWeights + j];
    sums[b] = sum;
    scales[b] = HalfToFloat(block.d);
  }
}

}  // namespace bonsai::quant::q2_0
