// Q4_1, GGUF type 3: 32 weights in 20 bytes (5 bits a weight); w = d · {0 … 15} + m. Not codes with a scale, so it is
// multiplied with float activations.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "base/half.h"
#include "quant/act_i8.h"

namespace bonsai::quant::q4_1 {

inline constexpr int64_t kWeights = 32;

/// A block. Element j is the low half of qs[j], element 16 + j the high one.
struct Block {
  uint16_t d;      ///< Scale, fp16.
  uint16_t m;      ///< What a code of 0 means, fp16.
  uint8_t qs[16];  ///< Codes.
};
static_assert(sizeof(Block) == 20);

/// d · code is exact; adding m rounds once, and that is the weight.
inline void Decode(const std::byte* src, float* dst, int64_t n) {
  for (int64_t i = 0; i < n; i += kWeights, src += sizeof(Block)) {
    Block block;
    std::memcpy(&block, src, sizeof(block));
    const float d = HalfToFloat(block.d), m = HalfToFloat(block.m);
    for (int64_t j = 0; j < 16; ++j) {
      dst[i + j] = d * static_cast<float>(block.qs[j] & 15) + m;
      dst[i + 16 + j] = d * static_cast<float>(block.qs[j] >> 4) + m;
    }
  }
}

/// m = min x and d = (max x - m) / 15, stored as fp16; codes are floor((x - m) / d + 1/2) with the unrounded m and d,
/// at most 15. Blocks with an infinity or a NaN get a d of NaN.
inline void Encode(const float* src, std::byte* dst, int64_t n) {
  for (int64_t i = 0; i < n; i += kWeights, src += kWeights, dst += sizeof(Block)) {
    const bool finite = MaxMagnitudeBits(src, kWeights) <= 0x7f7fffffu;
    const float m = *std::min_element(src, src + kWeights), most = *std::max_element(src, src + kWeights);
    const float d = finite ? (most - m) / 15.0f : std::numeric_limits<float>::quiet_NaN();
    const float inverse = d > 0 ? 1.0f / d : 0.0f;
    const auto code = [&](float x) {
      const float q = (x - m) * inverse + 0.5f;
      return q > 0 ? static_cast<uint32_t>(std::min(q, 15.0f)) : 0u;  // NaN: 0
    };
    Block block = {FloatToHalf(d), FloatToHalf(m), {}};
    for (int64_t j = 0; j < 16; ++j) block.qs[j] = static_cast<uint8_t>(code(src[j]) | code(src[16 + j]) << 4);
    std::memcpy(dst, &block, sizeof(block));
  }
}

inline double Dot(const std::byte* w, const float* x, int64_t n) {
  float values[kWeights];
  double sum = 0;
  for (int64_t i = 0; i < n; i += kWeights, w += sizeof(Block)) {
    Decode(w, values, kWeights);
    for (int64_t j = 0; j < kWeights; ++j) sum += static_cast<double>(values[j]) * x[i + j];
  }
  return sum;
}

}  // namespace bonsai::quant::q4_1
