// Normalisation, activation function and rotary embedding of one row or head.
#include <cmath>

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

void Relu2Glu(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    const float r = 0.0f > gate[i] ? 0.0f : gate[i];
    out[i] = r * r * up[i];
  }
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

}  // namespace bonsai::kernels::ref
