// 16-bit floats: IEEE binary16 (fp16) and bfloat16, converted in portable bit arithmetic.
// Round to nearest, ties to even; subnormals, infinities and NaN are kept (NaN stays NaN, made quiet).
// Pure functions, thread safe. IEEE 754-2008 §3.6; bfloat16 as in Intel document 338302.
#pragma once

#include <bit>
#include <cstdint>

namespace bonsai {

/// fp16 bits → float, exact. Branch-free, so that compilers vectorise loops of it.
inline float HalfToFloat(uint16_t h) {
  // Shift the 15 magnitude bits into place, then multiply by 2^112 to move the exponent bias from 15 to 127: the
  // multiplication renormalises subnormals exactly. Infinity and NaN (exponent 31) land at 2^16 or above; only then
  // is the exponent field forced to all ones.
  const uint32_t magnitude = (h & 0x7fffu) << 13;
  const float scaled = std::bit_cast<float>(magnitude) * 0x1.0p112f;
  const uint32_t bits = std::bit_cast<uint32_t>(scaled) | (magnitude >= 0x0f800000u ? 0x7f800000u : 0u);
  return std::bit_cast<float>(bits | (h & 0x8000u) << 16);
}

/// float → fp16 bits; values of magnitude 65520 and above become infinity.
inline uint16_t FloatToHalf(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | (magnitude >> 13 & 0x1ffu));  // NaN
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520 rounds to infinity
  if (magnitude >= 0x38800000u) {                                              // normal in fp16: 2^-14 and above
    const uint32_t rebiased = magnitude - 0x38000000u;
    return static_cast<uint16_t>(sign | (rebiased + 0xfffu + (rebiased >> 13 & 1u)) >> 13);
  }
  // Subnormal: adding 2^-1 makes the float unit do the rounding at weight 2^-24.
  const float rounded = std::bit_cast<float>(magnitude) + 0.5f;
  return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(rounded) - 0x3f000000u));
}

/// bfloat16 bits → float, exact.
inline float Bf16ToFloat(uint16_t b) { return std::bit_cast<float>(static_cast<uint32_t>(b) << 16); }

/// float → bfloat16 bits.
inline uint16_t FloatToBf16(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);  // NaN, made quiet
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace bonsai
