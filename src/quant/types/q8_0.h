// Q8_0, GGUF type 8: 32 weights in 34 bytes (8.5 bits a weight); w = d · code. The 8-bit reference.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quant/act_i8.h"
#include "quant/types/coded.h"

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

struct Format {
  static constexpr int64_t kWeights = q8_0::kWeights;
  using Block = q8_0::Block;

  static constexpr bool Holds(int) { return true; }
  static void GetCodes(const Block& block, int8_t* codes) { std::memcpy(codes, block.qs, sizeof(block.qs)); }
  static void SetCodes(const int8_t* codes, Block& block) { std::memcpy(block.qs, codes, sizeof(block.qs)); }

  /// d = amax / 127, stored as fp16; codes are nearest(x / d) with the unrounded d, ties away from zero, so the largest
  /// weight always gets ±127. Blocks with an infinity or a NaN get a d that is not finite, and code 0 at least there.
  static float Choose(const float* x, int8_t* codes) {
    const float d = std::bit_cast<float>(MaxMagnitudeBits(x, kWeights)) / 127.0f;
    const float inverse = d > 0 ? 1.0f / d : 0.0f;
    for (int64_t j = 0; j < kWeights; ++j) {
      const float code = std::round(x[j] * inverse);
      codes[j] = code >= -127 && code <= 127 ? static_cast<int8_t>(code) : int8_t{0};  // NaN: 0
    }
    return d;
  }
};

}  // namespace bonsai::quant::q8_0
