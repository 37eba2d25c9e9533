// TQ1_0, GGUF type 34: 256 weights in 54 bytes (1.6875 bits a weight); w = d · {-1, 0, +1}, five weights a byte in base
// 3. And PTQ1_0, type 143: the same with 128 weights in 28 bytes (1.75 bits).
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/ternary.h"
#include "quant/types/coded.h"

namespace bonsai::quant::tq1_0 {

/// A byte is the fraction byte / 256 of digits 0, 1, 2 (for -1, 0, +1), digit 0 first: 0.d₀d₁d₂d₃d₄ in base 3, rounded
/// up, so that multiplying by 3 brings the next digit before the point. Any byte decodes.
inline int8_t Digit(uint8_t byte, int digit) {
  constexpr uint32_t kPowers[] = {1, 3, 9, 27, 81};
  const uint32_t q = byte * kPowers[digit] & 255;
  return static_cast<int8_t>(static_cast<int32_t>(q * 3 >> 8) - 1);
}

template <int64_t kN>
struct Format {
  static constexpr int64_t kWeights = kN;

  /// In three stages, kN/8, kN/16 and kN/64 bytes of 5, 5 and 4 digits: of `count` bytes with consecutive weights from
  /// `first` on, weight first + count·digit + m is that digit of byte m. The scale comes last.
  struct Block {
    uint8_t qs[kN * 3 / 16];  ///< The first two stages.
    uint8_t qh[kN / 64];      ///< The third.
    uint16_t d;               ///< Scale, fp16.
  };

  static constexpr bool Holds(int code) { return code >= -1 && code <= 1; }

  static void GetCodes(const Block& block, int8_t* codes) {
    GetStage(block.qs, kN / 8, 5, codes);
    GetStage(block.qs + kN / 8, kN / 16, 5, codes + kN * 5 / 8);
    GetStage(block.qh, kN / 64, 4, codes + kN * 15 / 16);
  }

  static void SetCodes(const int8_t* codes, Block& block) {
    SetStage(codes, kN / 8, 5, block.qs);
    SetStage(codes + kN * 5 / 8, kN / 16, 5, block.qs + kN / 8);
    SetStage(codes + kN * 15 / 16, kN / 64, 4, block.qh);
  }

  /// The rule of Q2_0.
  static float Choose(const float* x, int8_t* codes) { return TernaryMax(x, kN, codes); }

 private:
  static void GetStage(const uint8_t* bytes, int64_t count, int digits, int8_t* codes) {
    for (int n = 0; n < digits; ++n) {
      for (int64_t m = 0; m < count; ++m) codes[count * n + m] = Digit(bytes[m], n);
    }
  }

  /// Digits that a byte does not use are 0, which here means -1.
  static void SetStage(const int8_t* codes, int64_t count, int digits, uint8_t* bytes) {
    for (int64_t m = 0; m < count; ++m) {
      uint32_t value = 0;
      for (int n = 0; n < 5; ++n)
        value = value * 3 + (n < digits ? static_cast<uint32_t>(codes[count * n + m] + 1) : 0);
      bytes[m] = static_cast<uint8_t>((value * 256 + 242) / 243);
    }
  }
};
static_assert(sizeof(Format<256>::Block) == 54 && sizeof(Format<128>::Block) == 28);

}  // namespace bonsai::quant::tq1_0
