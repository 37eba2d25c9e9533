// Q4_0, GGUF type 2: 32 weights in 18 bytes (4.5 bits a weight); w = d · {-8 … 7}.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "quant/types/coded.h"

namespace bonsai::quant::q4_0 {

struct Format {
  static constexpr int64_t kWeights = 32;

  /// Element j is the low half of qs[j], element 16 + j the high one; 0 … 15 mean -8d … 7d.
  struct Block {
    uint16_t d;      ///< Scale, fp16.
    uint8_t qs[16];  ///< Codes.
  };

  static constexpr bool Holds(int code) { return code >= -8 && code <= 7; }

  static void GetCodes(const Block& block, int8_t* codes) {
    for (int64_t j = 0; j < 16; ++j) {
      codes[j] = static_cast<int8_t>((block.qs[j] & 15) - 8);
      codes[16 + j] = static_cast<int8_t>((block.qs[j] >> 4) - 8);
    }
  }

  static void SetCodes(const int8_t* codes, Block& block) {
    for (int64_t j = 0; j < 16; ++j) block.qs[j] = static_cast<uint8_t>((codes[j] + 8) | (codes[16 + j] + 8) << 4);
  }

  /// d = x / -8 for the (first) x of the largest magnitude, stored as fp16; codes are floor(x / d + 1/2) with the
  /// unrounded d, at most 7. Blocks with an infinity or a NaN get a d that is not finite. Code of NaN: -8.
  static float Choose(const float* x, int8_t* codes) {
    const auto bits = [](float v) { return std::bit_cast<uint32_t>(v) & 0x7fffffffu; };
    const float d = *std::max_element(x, x + kWeights, [&](float a, float b) { return bits(a) < bits(b); }) / -8.0f;
    const float inverse = d != 0 ? 1.0f / d : 0.0f;
    for (int64_t j = 0; j < kWeights; ++j) {
      const float code = std::floor(x[j] * inverse + 8.5f);
      codes[j] = static_cast<int8_t>(code > 0 ? static_cast<int>(std::min(code, 15.0f)) - 8 : -8);
    }
    return d;
  }
};
static_assert(sizeof(Format::Block) == 18);

}  // namespace bonsai::quant::q4_0
