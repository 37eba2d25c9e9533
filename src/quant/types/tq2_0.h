// TQ2_0, GGUF type 35: 256 weights in 66 bytes (2.0625 bits a weight); w = d · {-1, 0, +1}, and +2 for a code that
// encoders do not write.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quant/ternary.h"
#include "quant/types/coded.h"

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

struct Format {
  static constexpr int64_t kWeights = tq2_0::kWeights;
  using Block = tq2_0::Block;

  static constexpr bool Holds(int code) { return code >= -1 && code <= 2; }

  static void GetCodes(const Block& block, int8_t* codes) {
    for (int64_t j = 0; j < kWeights; ++j) codes[j] = static_cast<int8_t>(Code(block, j));
  }

  static void SetCodes(const int8_t* codes, Block& block) {
    for (int64_t j = 0; j < kWeights; ++j) {
      uint8_t& byte = block.qs[ByteOf(j)];
      byte = static_cast<uint8_t>(byte | (codes[j] + 1) << ShiftOf(j));
    }
  }

  /// The rule of Q2_0, over 256 weights.
  static float Choose(const float* x, int8_t* codes) { return TernaryMax(x, kWeights, codes); }
};

}  // namespace bonsai::quant::tq2_0
