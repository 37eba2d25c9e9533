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
/// out[i] = (r · r) · up[i] with r = max(gate[i], 0), NaN for NaN. out may be either.
void Relu2Glu(const float* gate, const float* up, int64_t n, float* out);

/// cos and sin (Dh/2 each, times rope.scale) of the angles of a position, computed in double.
void RopeAngles(const RopeSpec& rope, int64_t pos, float* table);
/// Rotates each pair (a, b) of one head to (a·cos - b·sin, b·cos + a·sin). `table` as RopeAngles fills it.
void RopeRotate(const float* table, int64_t width, bool interleaved, float* x);

/// Stores `count` positions from `slot` of a KV block: position slot + i gets the floats from x + i·stride, `width` of
/// them, a multiple of KvBlockWidth(type). Layouts: kv_type.h. F16 rounds to nearest; magnitudes above 65504 saturate,
/// so that one outlier does not turn every later score into a NaN. Groups of 32: d = fp16(max|x| / 127) for q8_0 and
/// d = fp16(x of largest magnitude / -8) for q4_0, saturating alike; codes are nearest(x · (1 / d)), clamped; where d
/// is 0 or a NaN (the group holds one) they stand for 0.
void StoreKeys(KvType type, const float* x, int64_t stride, int64_t count, int64_t width, int64_t slot,
               std::byte* keys);
void StoreValues(KvType type, const float* x, int64_t stride, int64_t count, int64_t width, int64_t slot,
                 std::byte* values);
/// Keys b·32 to b·32 + 31 of a quantised block: codes [32, kKvBlock] and scales [kKvBlock].
void KeyCodes(KvType type, const std::byte* keys, int64_t b, int8_t* codes, float* scales);
/// All keys of a block as KvType::kF32 stores them; code · d is rounded once.
void DecodeKeys(KvType type, const std::byte* keys, int64_t width, float* out);
/// One value row: floats, or codes with their scales [width / 32].
void ValueCodes(KvType type, const std::byte* values, int64_t width, int64_t slot, float* codes, float* scales);

/// Adds to each query's state the positions of a KV block that it sees: the running softmax of Milakov & Gimelshein
/// 2018 (arXiv 1805.02867). A query that sees none keeps what it has. In the end the output is out / sum. Blocks come
/// in ascending order, cut at multiples of kKvBlock positions. fma(a, b, c) is a·b + c rounded once; everything else is
/// rounded singly.
///
///   float keys:      s = 0; for each element d, ascending:      s = fma(q[d], k[d], s)
///   quantised keys:  s = 0; for each 32 elements b, ascending:  s = fma(dk[b] · dq[b], float(isum[b]), s)
///     isum[b] = Σ code of the key · code of the query, exact; dk, dq their scales
///   p = exp(s · scale - max), with the largest s · scale so far (NaN not counted) and Exp of math.h
///   sum = sum · exp(old max - max) + LaneSum(p)                  (lanes.h)
///   out[d] = out[d] · exp(old max - max); for each position, ascending:  out[d] = fma(w, v[d], out[d])
///     float values: w = p; quantised values: w = p · dv, rounded, and v[d] = float(code)
void AttendBlock(const KvRows& kv, float scale, AttendQuery* queries, int32_t count);

}  // namespace bonsai::kernels::ref
