// Row kernels that work for every format in the registry.
#include <algorithm>

#include "kernels/lanes.h"
#include "kernels/ref/ref.h"
#include "quant/act_i8.h"

namespace bonsai::kernels::ref {

namespace {

/// One row of weights: y[kBandRows·t].
void RowF32(const quant::Type& type, const std::byte* w, int64_t cols, const F32Rows& x, int64_t n, float* y) {
  for (int64_t t = 0; t < n; ++t) y[t * kBandRows] = 0;
  // 4 KiB of floats, used for all n rows: the matrix itself is never expanded.
  float decoded[kDecodeChunk];
  for (int64_t c = 0; c < cols; c += kDecodeChunk) {
    const int64_t count = std::min(kDecodeChunk, cols - c);
    type.decode(w + c / type.block_weights * type.block_bytes, decoded, count);
    const int64_t padded = quant::ActGroups(count) * quant::kActGroup;
    std::fill(decoded + count, decoded + padded, 0.0f);
    for (int64_t t = 0; t < n; ++t) {
      const float* row = x.x + t * x.stride + c;
      for (int64_t g = 0; g < padded; g += quant::kActGroup) {
        y[t * kBandRows] += LaneDot(decoded + g, row + g, quant::kActGroup);
      }
    }
  }
}

}  // namespace

void RowsF32(const quant::Type& type, const WeightRows& w, const F32Rows& x, int64_t n, float* y) {
  for (int64_t r = 0; r < w.count; ++r) RowF32(type, w.w + r * w.row_bytes, w.cols, x, n, y + r);
}

void RowI8(const quant::Type& type, const std::byte* w, int64_t cols, const I8Rows& x, int64_t n, float* y) {
  constexpr int64_t kParts = 64;  // at a time, so that the results fit on the stack
  int32_t sums[kParts];
  float scales[kParts];
  // A part is a block, or an activation group's share of a wider block. Blocks divide kDecodeChunk = 8 groups, so that
  // 64 parts are always whole blocks.
  const int64_t part = type.dot_weights(), parts = cols / part;
  for (int64_t t = 0; t < n; ++t) {
    y[t] = 0;
    for (int64_t first = 0; first < parts; first += kParts) {
      const int64_t count = std::min(kParts, parts - first);
      const int64_t c = first * part;
      type.dot_i8(w + c / type.block_weights * type.block_bytes, x.q + t * x.stride + c, count * part, sums, scales);
      for (int64_t p = 0; p < count; ++p) {
        const float dx = x.scales[t * x.scale_stride + (c + p * part) / quant::kActGroup];
        y[t] += (scales[p] * dx) * static_cast<float>(sums[p]);
      }
    }
  }
}

}  // namespace bonsai::kernels::ref
