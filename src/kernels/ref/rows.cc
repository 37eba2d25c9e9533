// Normalisation, activation function, rotary embedding and KV storage of one row or head.
#include <cmath>
#include <cstring>

#include "base/half.h"
#include "kernels/lanes.h"
#include "kernels/math.h"
#include "kernels/ref/ref.h"

namespace bonsai::kernels::ref {

void RmsNorm(const float* x, const float* gain, float eps, int64_t n, float* out) {
  const float mean = LaneDot(x, x, n) / static_cast<float>(n);
  const float r = 1.0f / std::sqrt(mean + eps);
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * r * gain[i];
}

void SwiGlu(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = Silu(gate[i]) * up[i];
}

void RopeAngles(const RopeSpec& rope, int64_t pos, float* table) {
  const size_t pairs = rope.inv_freq.size();
  for (size_t i = 0; i < pairs; ++i) {
    const double angle = static_cast<double>(pos) * static_cast<double>(rope.inv_freq[i]);
    table[i] = static_cast<float>(std::cos(angle) * static_cast<double>(rope.scale));
    table[pairs + i] = static_cast<float>(std::sin(angle) * static_cast<double>(rope.scale));
  }
}

void RopeRotate(const float* table, int64_t width, bool interleaved, float* x) {
  const int64_t pairs = width / 2;
  const int64_t step = interleaved ? 2 : 1, other = interleaved ? 1 : pairs;
  for (int64_t i = 0; i < pairs; ++i) {
    const float a = x[i * step], b = x[i * step + other];
    x[i * step] = a * table[i] - b * table[pairs + i];
    x[i * step + other] = b * table[i] + a * table[pairs + i];
  }
}

void KvToFloat(KvType type, const std::byte* src, int64_t n, float* dst) {
  if (type == KvType::kF32) {
    std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    uint16_t half;
    std::memcpy(&half, src + i * 2, sizeof(half));
    dst[i] = HalfToFloat(half);
  }
}

void KvFromFloat(KvType type, const float* src, int64_t n, std::byte* dst) {
  if (type == KvType::kF32) {
    std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    const float x = src[i] > 65504.0f ? 65504.0f : src[i] < -65504.0f ? -65504.0f : src[i];
    const uint16_t half = FloatToHalf(x);
    std::memcpy(dst + i * 2, &half, sizeof(half));
  }
}

}  // namespace bonsai::kernels::ref
