// Q1_0, GGUF type 41: 128 weights in 18 bytes (1.125 bits a weight); w = ±d. And the first Q1_0 of Prism, type 40 in
// files, which was withdrawn: the same with 32 weights in 6 bytes (1.5 bits).
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quant/types/coded.h"

namespace bonsai::quant::q1_0 {

static_assert(std::endian::native == std::endian::little);

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

  // Eight codes are a word of bytes (little-endian): a conversion of gigabytes passes here, and bit by bit took 60% of
  // it.
  static constexpr uint64_t kOnes = 0x0101010101010101u;

  static void GetCodes(const Block& block, int8_t* codes) {
    for (int64_t i = 0; i < kN / 8; ++i) {
      const uint64_t picked = block.qs[i] * kOnes & 0x8040201008040201u;  // bit j in byte j
      const uint64_t bits = (picked + 0x7f * kOnes) >> 7 & kOnes;         // 1 where it is set
      const uint64_t eight = (bits ^ kOnes) * 0xff | bits;                // 1 or -1
      std::memcpy(codes + 8 * i, &eight, sizeof(eight));
    }
  }

  static void SetCodes(const int8_t* codes, Block& block) {
    for (int64_t i = 0; i < kN / 8; ++i) {
      uint64_t eight;
      std::memcpy(&eight, codes + 8 * i, sizeof(eight));
      const uint64_t bits = ~eight >> 7 & kOnes;                             // 1 where not negative
      block.qs[i] = static_cast<uint8_t>(bits * 0x0102040810204080u >> 56);  // from byte j to bit 56 + j
    }
  }

  /// d = mean |x| (summed in double), stored as fp16: the scale with the least squared error for these signs.
  /// x ≥ 0 (and -0) gives 1; negative x and NaN give 0.
  static float Choose(const float* x, int8_t* codes) {
    constexpr int64_t kSums = 8;  // side by side: one sum waits for each of its additions
    double sums[kSums] = {};
    for (int64_t j = 0; j < kN; j += kSums) {
      for (int64_t l = 0; l < kSums; ++l) sums[l] += std::fabs(static_cast<double>(x[j + l]));
    }
    // Without a branch: signs of weights are as good as random.
    for (int64_t j = 0; j < kN; ++j) codes[j] = static_cast<int8_t>(2 * (x[j] >= 0) - 1);
    double sum = 0;
    for (const double s : sums) sum += s;
    return static_cast<float>(sum / static_cast<double>(kN));
  }
};

}  // namespace bonsai::quant::q1_0
