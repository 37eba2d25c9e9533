// I2_S, GGUF type 36 (BitNet): w = d · {-1, 0, +1}. A file keeps the codes of a tensor, 2 bits a weight, and then one
// float scale for all of it. In memory each 128 weights are a block of 36 bytes (2.25 bits) that begins with that
// scale, so that rows are whole; the reader of the file puts it there.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/ternary.h"
#include "quant/types/coded.h"

namespace bonsai::quant::i2_s {

struct Format {
  static constexpr int64_t kWeights = 128;

  /// Element 32·l + m is bits 6 - 2l and up (0 = lowest) of qs[m], so that a byte read from its top is in order;
  /// 0, 1, 2, 3 mean -d, 0, +d, +2d. Encoders do not write 3.
  struct Block {
    float d;                   ///< Scale.
    uint8_t qs[kWeights / 4];  ///< Codes, as in the file.
  };

  static constexpr bool Holds(int code) { return code >= -1 && code <= 2; }

  static void GetCodes(const Block& block, int8_t* codes) {
    for (int64_t j = 0; j < kWeights; ++j) codes[j] = static_cast<int8_t>((block.qs[j % 32] >> ShiftOf(j) & 3) - 1);
  }

  static void SetCodes(const int8_t* codes, Block& block) {
    for (int64_t j = 0; j < kWeights; ++j) {
      block.qs[j % 32] = static_cast<uint8_t>(block.qs[j % 32] | (codes[j] + 1) << ShiftOf(j));
    }
  }

  /// The rule of Q2_0; nothing is rounded.
  static float Choose(const float* x, int8_t* codes) { return TernaryMax(x, kWeights, codes); }

 private:
  static int64_t ShiftOf(int64_t j) { return 6 - j / 32 * 2; }
};
static_assert(sizeof(Format::Block) == 36);

}  // namespace bonsai::quant::i2_s
