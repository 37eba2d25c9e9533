// TQ2_0, GGUF type 35: 256 weights in 66 bytes (2.0625 bits a weight); w = d · {-1, 0, +1}, and +2 for a code that
// encoders do not write.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/half.h"
#include "quant/act_i8.h"
#include "quant/types/q2_0.h"

namespace bonsai::quant::tq2_0 {

inline constexpr int64_t kWeights = 256;

/// A block. Each 32 bytes hold 128 elements: element 32·l + m is bits 2l and up (0 = lowest) of byte m; 0, 1, 2, 3 mean
/// -d, 0, +d, +2d. The scale comes last.
struct Block {
  uint8_t qs[kWeights / 4];  ///< Codes.
  uint16_t d;                ///< Scale, fp16.
};
static_assert(sizeof(Block) == 66);

inline Block Load(const std::byte* src) {
  Block block;
  std::memcpy(&block, src, sizeof(block));
  return block;
}

/// Byte and shift of element j.
inline int64_t ByteOf(int64_t j) { return j / 128 * 32 + j % 32; }
inline int64_t ShiftOf(int64_t j) { return j % 128 / 32 * 2; }

/// -1, 0, +1 or +2.
inline int32_t Code(const Block& block, int64_t j) { return (block.qs[ByteOf(j)] >> ShiftOf(j) & 3) - 1; }

inline void Decode(const std::byte* src, float* dst, int64_t n) {
  for (int64_t i = 0; i < n; i += kWeights, src += sizeof(Block)) {
    const Block block = Load(src);
    const float d = HalfToFloat(block.d);
    for (int64_t j = 0; j < kWeights; ++j) dst[i + j] = d * static_cast<float>(Code(block, j));
  }
}

/// The rule of Q2_0, over 256 weights.
inline void Encode(const float* src, std::byte* dst, int64_t n) {
  for (int64_t i = 0; i < n; i += kWeights, dst += sizeof(Block)) {
    const auto d = std::bit_cast<float>(MaxMagnitudeBits(src + i, kWeights));
    const float inverse = d > 0 ? 1.0f / d : 0.0f;
    Block block = {};
    block.d = FloatToHalf(d);
    for (int64_t j = 0; j < kWeights; ++j) {
      uint8_t& byte = block.qs[ByteOf(j)];
      byte = static_cast<uint8_t>(byte | q2_0::TernaryBits(src[i + j], inverse) << ShiftOf(j));
    }
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

/// Two sums a block, one for each activation group.
inline void DotI8(const std::byte* w, const int8_t* x, int64_t n, int32_t* sums, float* scales) {
  for (int64_t g = 0; g < n / kActGroup; ++g) {
    constexpr int64_t kGroups = kWeights / kActGroup;
    const Block block = Load(w + g / kGroups * static_cast<int64_t>(sizeof(Block)));
    int32_t sum = 0;
    for (int64_t j = 0; j < kActGroup; ++j) sum += Code(block, g % kGroups * kActGroup + j) * x[g * kActGroup + j];
    sums[g] = sum;
    scales[g] = HalfToFloat(block.d);
  }
}

}  // namespace bonsai::quant::tq2_0
