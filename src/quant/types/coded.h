// What formats of integer codes with one scale a block have in common. A format says how one block holds its codes and
// how its encoder chooses them; the functions of a Type (quant/types.h) follow:
//
//   struct Format {
//     static constexpr int64_t kWeights;                      // a block; divides kActGroup or is a multiple of it
//     struct Block;                                           // as it is stored; its scale is `d`, fp16 or float
//     static constexpr bool Holds(int code);                  // whether SetCodes can store it
//     static void GetCodes(const Block&, int8_t* codes);      // of any bytes
//     static void SetCodes(const int8_t* codes, Block&);      // its inverse, into a block of zeros
//     static float Choose(const float* x, int8_t* codes);     // the encoder: codes for w = d · code, and d
//   };
//
// Choose may return a d that is not finite, or that fp16 rounds to one: that is how a fault in a block shows.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "base/half.h"
#include "quant/types.h"

namespace bonsai::quant {

inline float ScaleOf(uint16_t d) { return HalfToFloat(d); }
inline float ScaleOf(float d) { return d; }
inline void SetScale(float value, uint16_t& d) { d = FloatToHalf(value); }
inline void SetScale(float value, float& d) { d = value; }

/// Sets d to the scale that all runs of a block of n codes can share: that of the runs which are not all zeros. Those
/// that are may take any, and keep the first run's when no other matters and d can hold it. False when runs differ, a
/// scale is not finite, or d cannot hold it exactly.
template <class D>
bool SetSharedScale(const int8_t* codes, const float* scales, int64_t n, D& d) {
  const float* shared = nullptr;
  for (int64_t r = 0; r < n / kScaleRun; ++r) {
    if (!(std::fabs(scales[r]) <= std::numeric_limits<float>::max())) return false;
    const int8_t* run = codes + r * kScaleRun;
    if (std::all_of(run, run + kScaleRun, [](int8_t code) { return code == 0; })) continue;
    if (shared == nullptr) shared = &scales[r];
    if (std::bit_cast<uint32_t>(*shared) != std::bit_cast<uint32_t>(scales[r])) return false;
  }
  const float wanted = shared != nullptr ? *shared : scales[0];
  SetScale(wanted, d);
  if (std::bit_cast<uint32_t>(ScaleOf(d)) == std::bit_cast<uint32_t>(wanted)) return true;
  SetScale(0.0f, d);
  return shared == nullptr;
}

/// The functions of a Type, with their contracts.
template <class Format>
struct Coded {
  using Block = typename Format::Block;
  static constexpr int64_t kWeights = Format::kWeights, kPart = std::min(kWeights, kActGroup);
  static_assert(kWeights % kScaleRun == 0 && kWeights % kPart == 0 && kActGroup % kPart == 0);

  /// A block's codes; returns its scale.
  static float Load(const std::byte* src, int8_t* codes) {
    Block block;
    std::memcpy(&block, src, sizeof(block));
    Format::GetCodes(block, codes);
    return ScaleOf(block.d);
  }

  static void Decode(const std::byte* src, float* dst, int64_t n) {
    int8_t codes[kWeights];
    for (int64_t i = 0; i < n; i += kWeights, src += sizeof(Block)) {
      const float d = Load(src, codes);
      for (int64_t j = 0; j < kWeights; ++j) dst[i + j] = d * static_cast<float>(codes[j]);
    }
  }

  static void Encode(const float* src, std::byte* dst, int64_t n) {
    int8_t codes[kWeights];
    for (int64_t i = 0; i < n; i += kWeights, dst += sizeof(Block)) {
      Block block = {};
      SetScale(Format::Choose(src + i, codes), block.d);
      Format::SetCodes(codes, block);
      std::memcpy(dst, &block, sizeof(block));
    }
  }

  static double Dot(const std::byte* w, const float* x, int64_t n) {
    int8_t codes[kWeights];
    double sum = 0;
    for (int64_t i = 0; i < n; i += kWeights, w += sizeof(Block)) {
      const double d = Load(w, codes);
      for (int64_t j = 0; j < kWeights; ++j) sum += d * codes[j] * x[i + j];
    }
    return sum;
  }

  static void DotI8(const std::byte* w, const int8_t* x, int64_t n, int32_t* sums, float* scales) {
    int8_t codes[kWeights];
    for (int64_t i = 0; i < n; i += kWeights, w += sizeof(Block)) {
      const float d = Load(w, codes);
      for (int64_t p = 0; p < kWeights; p += kPart) {
        int32_t sum = 0;
        for (int64_t j = p; j < p + kPart; ++j) sum += int32_t{codes[j]} * x[i + j];
        *sums++ = sum, *scales++ = d;
      }
    }
  }

  static void Unpack(const std::byte* src, int8_t* codes, float* scales, int64_t n) {
    for (int64_t i = 0; i < n; i += kWeights, src += sizeof(Block)) {
      std::fill_n(scales + i / kScaleRun, kWeights / kScaleRun, Load(src, codes + i));
    }
  }

  static bool Pack(const int8_t* codes, const float* scales, std::byte* dst, int64_t n) {
    for (int64_t i = 0; i < n; i += kWeights, dst += sizeof(Block)) {
      if (!std::all_of(codes + i, codes + i + kWeights, Format::Holds)) return false;
      Block block = {};
      if (!SetSharedScale(codes + i, scales + i / kScaleRun, kWeights, block.d)) return false;
      Format::SetCodes(codes + i, block);
      std::memcpy(dst, &block, sizeof(block));
    }
    return true;
  }
};

}  // namespace bonsai::quant
