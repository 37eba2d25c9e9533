// TQ2_0 in groups of 128, as another engine writes it under GGUF type 42: 128 weights in 34 bytes (2.125 bits a
// weight); w = d · {-1, 0, +1}. Its codes lie in order as those of Q2_0 do, not in stripes as in TQ2_0.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/ternary.h"
#include "quant/types/coded.h"

namespace bonsai::quant::tq2_0_g128 {

struct Format {
  static constexpr int64_t kWeights = 128;

  /// Element j is bits 2·(j % 4) and up (0 = lowest) of qs[j / 4]; 0, 1, 2 mean -d, 0, +d; so does 3, which is never
  /// written, mean 0. The scale comes last.
  struct Block {
    uint8_t qs[kWeights / 4];  ///< Codes.
    uint16_t d;                ///< Scale, fp16.
  };

  static constexpr bool Holds(int code) { return code >= -1 && code <= 1; }

  static void GetCodes(const Block& block, int8_t* codes) {
    constexpr int8_t kCodes[] = {-1, 0, 1, 0};
    for (int64_t j = 0; j < kWeights; ++j) codes[j] = kCodes[block.qs[j / 4] >> (2 * (j % 4)) & 3];
  }

  static void SetCodes(const int8_t* codes, Block& block) {
    for (int64_t j = 0; j < kWeights; ++j) {
      block.qs[j / 4] = static_cast<uint8_t>(block.qs[j / 4] | (codes[j] + 1) << (2 * (j % 4)));
    }
  }

  /// The rule of Q2_0.
  static float Choose(const float* x, int8_t* codes) { return TernaryMax(x, kWeights, codes); }
};
static_assert(sizeof(Format::Block) == 34);

}  // namespace bonsai::quant::tq2_0_g128
