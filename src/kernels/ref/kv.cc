// How keys and values are stored: the layouts of kv_type.h, element by element.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/half.h"
#include "kernels/ref/ref.h"

namespace bonsai::kernels::ref {
namespace {

/// A finite number stays finite: an outlier must not turn its neighbours into NaN.
uint16_t SaturatingHalf(float x) { return FloatToHalf(x > 65504.0f ? 65504.0f : x < -65504.0f ? -65504.0f : x); }

template <class T>
void Put(std::byte* base, int64_t index, T value) {
  std::memcpy(base + index * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}
template <class T>
T Get(const std::byte* base, int64_t index) {
  T value;
  std::memcpy(&value, base + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

/// 32 elements as a scale and codes.
struct Group {
  uint16_t d;  ///< fp16.
  int8_t codes[kKvGroup];
};

/// The element of largest magnitude, with its sign; NaN when there is one.
float Extreme(const float* x) {
  float extreme = 0;
  for (int64_t i = 0; i < kKvGroup; ++i) {
    if (std::isnan(x[i])) return x[i];
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  return extreme;
}

Group Quantize(KvType type, const float* x) {
  const bool q8 = type == KvType::kQ8_0;
  const float extreme = Extreme(x), low = q8 ? -127 : -8, high = q8 ? 127 : 7;
  // q4_0: the extreme gets code -8, value -8·d: the end that reaches further.
  Group group = {SaturatingHalf(q8 ? std::fabs(extreme) / 127.0f : extreme / -8.0f), {}};
  // Codes divide by the scale as stored: rounding it then costs nothing, and |error| <= d/2.
  const float d = HalfToFloat(group.d), inverse = d == 0 || std::isnan(d) ? 0.0f : 1.0f / d;
  for (int64_t i = 0; i < kKvGroup; ++i) {
    const float code = std::nearbyint(x[i] * inverse);  // ties to even
    group.codes[i] = std::isnan(code) ? int8_t{0} : static_cast<int8_t>(std::clamp(code, low, high));
  }
  return group;
}

/// The byte of two q4_0 codes.
uint8_t Nibbles(int low, int high) { return static_cast<uint8_t>((low + 8) | (high + 8) << 4); }
int Low(uint8_t nibbles) { return (nibbles & 15) - 8; }
int High(uint8_t nibbles) { return (nibbles >> 4) - 8; }

/// Bytes of 32 elements of a whole block, and of their scales.
int64_t GroupBytes(KvType type) { return static_cast<int64_t>(KvBytes(type, kKvBlock * kKvGroup)); }
constexpr int64_t kScaleBytes = kKvBlock * 2;

void StoreKeyGroup(KvType type, const Group& group, int64_t slot, std::byte* out) {
  Put(out, slot, group.d);
  out += kScaleBytes;
  const int8_t* codes = group.codes;
  for (int64_t i = 0; i < kKvGroup && type == KvType::kQ8_0; ++i) {
    Put(out, (i / 4 * kKvBlock + slot) * 4 + i % 4, static_cast<uint8_t>(codes[i] + 128));
  }
  for (int64_t i = 0; i < kKvGroup && type == KvType::kQ4_0; i += i % 4 == 3 ? 5 : 1) {
    Put(out, (i / 8 * kKvBlock + slot) * 4 + i % 4, Nibbles(codes[i], codes[i + 4]));
  }
}

void StoreValueGroup(KvType type, const Group& group, int64_t b, int64_t groups, int64_t slot, std::byte* out) {
  Put(out, b * kKvBlock + slot, group.d);
  out += groups * kScaleBytes;
  const int64_t bytes = type == KvType::kQ8_0 ? kKvGroup : kKvGroup / 2;
  out += (slot * groups + b) * bytes;
  if (type == KvType::kQ8_0) return void(std::memcpy(out, group.codes, kKvGroup));
  for (int64_t i = 0; i < bytes; ++i) Put(out, i, Nibbles(group.codes[i], group.codes[i + bytes]));
}

}  // namespace

void StoreKeys(KvType type, const float* x, int64_t stride, int64_t count, int64_t width, int64_t slot,
               std::byte* keys) {
  BONSAI_CHECK(width % KvBlockWidth(type) == 0 && slot >= 0 && slot + count <= kKvBlock);
  // Positions inside: they lie side by side, so a line is written once.
  if (type == KvType::kF32 || type == KvType::kF16) {
    for (int64_t d = 0; d < width; ++d) {
      for (int64_t i = 0; i < count; ++i) {
        const float v = x[i * stride + d];
        const int64_t at = d * kKvBlock + slot + i;
        type == KvType::kF32 ? Put(keys, at, v) : Put(keys, at, SaturatingHalf(v));
      }
    }
    return;
  }
  for (int64_t b = 0; b < width / kKvGroup; ++b) {
    for (int64_t i = 0; i < count; ++i) {
      StoreKeyGroup(type, Quantize(type, x + i * stride + b * kKvGroup), slot + i, keys + b * GroupBytes(type));
    }
  }
}

void StoreValues(KvType type, const float* x, int64_t stride, int64_t count, int64_t width, int64_t slot,
                 std::byte* values) {
  BONSAI_CHECK(width % KvBlockWidth(type) == 0 && slot >= 0 && slot + count <= kKvBlock);
  for (int64_t i = 0; i < count; ++i, x += stride) {
    const int64_t row = (slot + i) * width;
    if (type == KvType::kF32) {
      std::memcpy(values + row * 4, x, static_cast<size_t>(width) * sizeof(float));
    } else if (type == KvType::kF16) {
      for (int64_t d = 0; d < width; ++d) Put(values, row + d, SaturatingHalf(x[d]));
    } else {
      for (int64_t b = 0; b < width / kKvGroup; ++b) {
        StoreValueGroup(type, Quantize(type, x + b * kKvGroup), b, width / kKvGroup, slot + i, values);
      }
    }
  }
}

void KeyCodes(KvType type, const std::byte* keys, int64_t b, int8_t* codes, float* scales) {
  const std::byte* group = keys + b * GroupBytes(type);
  for (int64_t p = 0; p < kKvBlock; ++p) scales[p] = HalfToFloat(Get<uint16_t>(group, p));
  group += kScaleBytes;
  for (int64_t i = 0; i < kKvGroup; ++i) {
    for (int64_t p = 0; p < kKvBlock; ++p) {
      int code;
      if (type == KvType::kQ8_0) {
        code = Get<uint8_t>(group, (i / 4 * kKvBlock + p) * 4 + i % 4) - 128;
      } else {
        const auto nibbles = Get<uint8_t>(group, (i / 8 * kKvBlock + p) * 4 + i % 4);
        code = i % 8 < 4 ? Low(nibbles) : High(nibbles);
      }
      codes[i * kKvBlock + p] = static_cast<int8_t>(code);
    }
  }
}

void DecodeKeys(KvType type, const std::byte* keys, int64_t width, float* out) {
  if (type == KvType::kF32) return void(std::memcpy(out, keys, static_cast<size_t>(kKvBlock * width) * sizeof(float)));
  if (type == KvType::kF16) {
    for (int64_t i = 0; i < kKvBlock * width; ++i) out[i] = HalfToFloat(Get<uint16_t>(keys, i));
    return;
  }
  int8_t codes[kKvGroup * kKvBlock];
  float scales[kKvBlock];
  for (int64_t b = 0; b < width / kKvGroup; ++b) {
    KeyCodes(type, keys, b, codes, scales);
    for (int64_t i = 0; i < kKvGroup * kKvBlock; ++i) *out++ = static_cast<float>(codes[i]) * scales[i % kKvBlock];
  }
}

void ValueCodes(KvType type, const std::byte* values, int64_t width, int64_t slot, float* codes, float* scales) {
  if (type == KvType::kF32) return void(std::memcpy(codes, values + slot * width * 4, static_cast<size_t>(width) * 4));
  if (type == KvType::kF16) {
    for (int64_t d = 0; d < width; ++d) codes[d] = HalfToFloat(Get<uint16_t>(values, slot * width + d));
    return;
  }
  const int64_t groups = width / kKvGroup;
  const std::byte* stored = values + groups * kScaleBytes;
  for (int64_t b = 0; b < groups; ++b) {
    scales[b] = HalfToFloat(Get<uint16_t>(values, b * kKvBlock + slot));
    for (int64_t i = 0; i < kKvGroup; ++i) {
      float& code = codes[b * kKvGroup + i];
      if (type == KvType::kQ8_0) {
        code = static_cast<float>(Get<int8_t>(stored, (slot * groups + b) * kKvGroup + i));
      } else {
        const auto nibbles = Get<uint8_t>(stored, (slot * groups + b) * 16 + i % 16);
        code = static_cast<float>(i < 16 ? Low(nibbles) : High(nibbles));
      }
    }
  }
}

}  // namespace bonsai::kernels::ref
