// F32, GGUF type 0: one IEEE binary32 a weight, little-endian, in order.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace bonsai::quant::f32 {

static_assert(std::endian::native == std::endian::little, "stored bytes are used in place");

/// A block: one weight.
struct Block {
  float value;
};
static_assert(sizeof(Block) == 4);

inline void Decode(const std::byte* src, float* dst, int64_t n) {
  std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(Block));
}

/// Exact; every bit pattern is kept, NaN payloads too.
inline void Encode(const float* src, std::byte* dst, int64_t n) {
  std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(Block));
}

inline double Dot(const std::byte* w, const float* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    Block block;
    std::memcpy(&block, w + i * 4, sizeof(block));
    sum += static_cast<double>(block.value) * x[i];
  }
  return sum;
}

}  // namespace bonsai::quant::f32
