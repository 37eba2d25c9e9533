// The operations of a block for one row (or one head) each, in portable scalar C++ that compilers vectorise. They
// define the arithmetic; the device only divides the work. Pure functions on host memory, thread safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/isa.h"
#include "kernels/ops.h"

namespace bonsai::kernels::ref {

/// Row kernels for any format (see kernels/cpu/isa.h), through its decode and dot_i8.
void RowsF32(const quant::Type& type, const WeightRows& w, const F32Rows& x, int64_t n, float* y);
void RowI8(const quant::Type& type, const std::byte* w, int64_t cols, const I8Rows& x, int64_t n, float* y);
/// Columns that RowsF32 decodes at a time; every block_weights must divide it.
inline constexpr int64_t kDecodeChunk = 1024;

/// out[i] = (x[i] · r) · gain[i] with r = 1 / sqrt(mean(x²) + eps); n values. out may be x.
void RmsNorm(const float* x, const float* gain, float eps, int64_t n, float* out);

/// out[i] = silu(gate[i]) · up[i]. out may be either.
void SwiGlu(const float* gate, const float* up, int64_t n, float* out);

/// cos and sin (Dh/2 each, times rope.scale) of the angles of a position, computed in double.
void RopeAngles(const RopeSpec& rope, int64_t pos, float* table);
/// Rotates each pair (a, b) of one head to (a·cos - b·sin, b·cos + a·sin). `table` as RopeAngles fills it.
void RopeRotate(const float* table, int64_t width, bool interleaved, float* x);

/// n elements to and from the storage of the KV cache. F16 rounds to nearest; magnitudes above 65504 saturate, so that
/// one outlier does not turn every later score into a NaN. Blocks of 32: d = fp16(max|x| / 127) for q8_0 and
/// d = fp16(x of largest magnitude / -8) for q4_0, saturating alike; codes are nearest(x · (1 / d)), clamped; where d
/// is 0 or a NaN (the block holds one) they stand for 0. Decoding rounds code · d once.
void KvToFloat(KvType type, const std::byte* src, int64_t n, float* dst);
void KvFromFloat(KvType type, const float* src, int64_t n, std::byte* dst);

/// Running softmax of one query over its keys (Milakov & Gimelshein 2018, arXiv 1805.02867).
struct SoftmaxState {
  float max;  ///< Largest score so far; start at -infinity.
  float sum;  ///< Σ exp(score - max); start at 0.
};

/// Adds up to kKvBlock keys k [count, k_width] and values v [count, v_width] to the state and to
/// acc [v_width] = Σ exp(score - max) · v, which starts at zero. Scores are (q · k) · scale.
/// In the end the output is acc / sum. Blocks come in ascending order, cut at multiples of kKvBlock positions.
void AttendBlock(const float* q, const float* k, const float* v, int64_t count, int64_t k_width, int64_t v_width,
                 float scale, SoftmaxState& state, float* acc);

}  // namespace bonsai::kernels::ref
