// Q2_0, GGUF type 42: 64 weights in 18 bytes (2.25 bits a weight); w = d · {-1, 0, +1, +2}. And PQ2_0, type 142: the
// same with 128 weights in 34 bytes (2.125 bits); older files call that type 42, too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quant/ternary.h"
#include "quant/types/coded.h"

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

template <int64_t kN>
struct Format {
  static constexpr int64_t kWeights = kN;
  using Block = q2_0::Block<kN>;

  static constexpr bool Holds(int code) { return code >= -1 && code <= 2; }

  static void GetCodes(const Block& block, int8_t* codes) {
    for (int64_t j = 0; j < kN; ++j) codes[j] = static_cast<int8_t>(Code(block, j));
  }

  static void SetCodes(const int8_t* codes, Block& block) {
    for (int64_t j = 0; j < kN; ++j) {
      block.qs[j / 4] = static_cast<uint8_t>(block.qs[j / 4] | (codes[j] + 1) << (2 * (j % 4)));
    }
  }

  /// d = max |x|, so +2 is never written.
  static float Choose(const float* x, int8_t* codes) { return TernaryMax(x, kN, codes); }
};

}  // namespace bonsai::quant::q2_0
