// How keys and values are stored. One conversion each way for every type.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/half.h"
#include "kernels/ref/ref.h"

namespace bonsai::kernels::ref {
namespace {

constexpr int64_t kBlock = 32;

/// KvType::kQ8_0.
struct Q8Block {
  uint16_t d;  ///< fp16.
  int8_t codes[kBlock];
};
static_assert(sizeof(Q8Block) == 34);

/// KvType::kQ4_0.
struct Q4Block {
  uint16_t d;                 ///< fp16.
  uint8_t codes[kBlock / 2];  ///< Element j in the low nibble of byte j, j + 16 in the high one.
};
static_assert(sizeof(Q4Block) == 18);

/// A finite scale stays finite: an outlier must not turn its neighbours into NaN.
uint16_t ScaleToHalf(float d) { return FloatToHalf(std::isnan(d) ? d : std::clamp(d, -65504.0f, 65504.0f)); }

/// nearest(x / d), as codes may be; what a scale of 0 or NaN multiplies is 0.
int32_t Code(float x, float inverse, float low, float high) {
  const float code = std::nearbyint(x * inverse);  // ties to even
  return std::isnan(code) ? 0 : static_cast<int32_t>(std::clamp(code, low, high));
}

float Inverse(float d) { return d == 0 || std::isnan(d) ? 0.0f : 1.0f / d; }

/// The element of largest magnitude, with its sign; NaN when there is one.
float Extreme(const float* x) {
  float extreme = 0;
  for (int64_t i = 0; i < kBlock; ++i) {
    if (std::isnan(x[i])) return x[i];
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  return extreme;
}

void EncodeQ8(const float* x, std::byte* dst) {
  Q8Block block;
  block.d = ScaleToHalf(std::fabs(Extreme(x)) / 127.0f);
  // Codes divide by the scale as stored: rounding it then costs nothing, and |error| <= d/2.
  const float inverse = Inverse(HalfToFloat(block.d));
  for (int64_t i = 0; i < kBlock; ++i) block.codes[i] = static_cast<int8_t>(Code(x[i], inverse, -127, 127));
  std::memcpy(dst, &block, sizeof(block));
}

void EncodeQ4(const float* x, std::byte* dst) {
  Q4Block block;
  block.d = ScaleToHalf(Extreme(x) / -8.0f);  // the extreme gets code 0, value -8·d: the end that reaches further
  const float inverse = Inverse(HalfToFloat(block.d));
  const auto code = [&](int64_t i) { return static_cast<uint32_t>(Code(x[i], inverse, -8, 7) + 8); };
  for (int64_t i = 0; i < kBlock / 2; ++i) block.codes[i] = static_cast<uint8_t>(code(i) | code(i + kBlock / 2) << 4);
  std::memcpy(dst, &block, sizeof(block));
}

void DecodeQ8(const std::byte* src, float* x) {
  Q8Block block;
  std::memcpy(&block, src, sizeof(block));
  const float d = HalfToFloat(block.d);
  for (int64_t i = 0; i < kBlock; ++i) x[i] = static_cast<float>(block.codes[i]) * d;
}

void DecodeQ4(const std::byte* src, float* x) {
  Q4Block block;
  std::memcpy(&block, src, sizeof(block));
  const float d = HalfToFloat(block.d);
  for (int64_t i = 0; i < kBlock / 2; ++i) {
    x[i] = static_cast<float>((block.codes[i] & 15) - 8) * d;
    x[i + kBlock / 2] = static_cast<float>((block.codes[i] >> 4) - 8) * d;
  }
}

}  // namespace

void KvToFloat(KvType type, const std::byte* src, int64_t n, float* dst) {
  BONSAI_CHECK(n % KvBlockWidth(type) == 0);
  switch (type) {
    case KvType::kF32:
      std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(float));
      return;
    case KvType::kF16:
      for (int64_t i = 0; i < n; ++i) {
        uint16_t half;
        std::memcpy(&half, src + i * 2, sizeof(half));
        dst[i] = HalfToFloat(half);
      }
      return;
    case KvType::kQ8_0:
      for (int64_t i = 0; i < n; i += kBlock, src += sizeof(Q8Block)) DecodeQ8(src, dst + i);
      return;
    case KvType::kQ4_0:
      for (int64_t i = 0; i < n; i += kBlock, src += sizeof(Q4Block)) DecodeQ4(src, dst + i);
      return;
  }
}

void KvFromFloat(KvType type, const float* src, int64_t n, std::byte* dst) {
  BONSAI_CHECK(n % KvBlockWidth(type) == 0);
  switch (type) {
    case KvType::kF32:
      std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(float));
      return;
    case KvType::kF16:
      for (int64_t i = 0; i < n; ++i) {
        const float x = src[i] > 65504.0f ? 65504.0f : src[i] < -65504.0f ? -65504.0f : src[i];
        const uint16_t half = FloatToHalf(x);
        std::memcpy(dst + i * 2, &half, sizeof(half));
      }
      return;
    case KvType::kQ8_0:
      for (int64_t i = 0; i < n; i += kBlock, dst += sizeof(Q8Block)) EncodeQ8(src + i, dst);
      return;
    case KvType::kQ4_0:
      for (int64_t i = 0; i < n; i += kBlock, dst += sizeof(Q4Block)) EncodeQ4(src + i, dst);
      return;
  }
}

}  // namespace bonsai::kernels::ref
