// Q1_0, GGUF type 41: 128 weights in 18 bytes (1.125 bits a weight); w = ±d. And the first Q1_0 of Prism, type 40 in
// files, which was withdrawn: the same with 32 weights in 6 bytes (1.5 bits).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quant/types/coded.h"

namespace bonsai::quant::q1_0 {

/// A block of kN. Element j is bit j % 8 (0 = lowest) of qs[j / 8]; 1 means +d, 0 means -d.
template <int64_t kN>
struct BlockOf {
  uint16_t d;          ///< Scale, fp16.
  uint8_t qs[kN / 8];  ///< Signs.
};
static_assert(sizeof(BlockOf<128>) == 18 && sizeof(BlockOf<32>) == 6);

inline constexpr int64_t kWeights = 128;
using Block = BlockOf<kWeights>;

inline Block Load(const std::byte* src) {
  Block block;
  std::memcpy(&block, src, sizeof(block));
  return block;
}

template <int64_t kN>
struct Format {
  static constexpr int64_t kWeights = kN;
  using Block = BlockOf<kN>;

  static constexpr bool Holds(int code) { return code == 1 || code == -1; }

  static void GetCodes(const Block& block, int8_t* codes) {
    for (int64_t j = 0; j < kN; ++j) codes[j] = static_cast<int8_t>((block.qs[j / 8] >> (j % 8) & 1) * 2 - 1);
  }

  static void SetCodes(const int8_t* codes, Block& block) {
    for (int64_t j = 0; j < kN; ++j) {
      block.qs[j / 8] = static_cast<uint8_t>(block.qs[j / 8] | (codes[j] > 0 ? 1u : 0u) << (j % 8));
    }
  }

  /// d = mean |x| (summed in double), stored as fp16: the scale with the least squared error for these signs.
  /// x ≥ 0 (and -0) gives 1; negative x and NaN give 0.
  static float Choose(const float* x, int8_t* codes) {
    double sum = 0;
    for (int64_t j = 0; j < kN; ++j) {
      sum += std::fabs(static_cast<double>(x[j]));
      codes[j] = static_cast<int8_t>(x[j] >= 0 ? 1 : -1);
    }
    return static_cast<float>(sum / static_cast<double>(kN));
  }
};

}  // namespace bonsai::quant::q1_0
