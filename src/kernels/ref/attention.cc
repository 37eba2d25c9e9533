// Softmax attention of one query over one KV block.
#include "base/check.h"
#include "kernels/lanes.h"
#include "kernels/math.h"
#include "kernels/ref/ref.h"

namespace bonsai::kernels::ref {

void AttendBlock(const float* q, const float* k, const float* v, int64_t count, int64_t k_width, int64_t v_width,
                 float scale, SoftmaxState& state, float* acc) {
  BONSAI_CHECK(count >= 1 && count <= kKvBlock);
  float p[kKvBlock];
  float max = state.max;
  for (int64_t j = 0; j < count; ++j) {
    p[j] = LaneDot(q, k + j * k_width, k_width) * scale;
    max = p[j] > max ? p[j] : max;
  }
  for (int64_t j = 0; j < count; ++j) p[j] = Exp(p[j] - max);
  const float keep = Exp(state.max - max);  // 0 for the first block: exp(-inf)
  state = {max, state.sum * keep + LaneSum(p, count)};
  for (int64_t d = 0; d < v_width; ++d) acc[d] *= keep;
  for (int64_t j = 0; j < count; ++j) {
    for (int64_t d = 0; d < v_width; ++d) acc[d] += p[j] * v[j * v_width + d];
  }
}

}  // namespace bonsai::kernels::ref
