// Weight formats: what a stored weight is. One row of a table (quant/registry.cc) per format; nobody switches on ids.
//
//   const quant::Type* t = quant::FindByGgmlId(41);           // Q1_0
//   t->decode(row_bytes, floats, cols);
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/status.h"

namespace bonsai::quant {

/// Columns that share one activation scale when activations are int8: the weight group of Q1_0.
inline constexpr int64_t kActGroup = 128;

/// One weight format. Rows are stored as `cols / block_weights` blocks of `block_bytes` bytes, without padding, and
/// blocks run along the input dimension. All functions are pure and thread safe; `n` is a multiple of block_weights
/// (callers check); pointers need no alignment. Floats are IEEE binary32, bytes are little-endian.
struct Type {
  std::string_view name;  ///< As people write it: "Q1_0", "F16".
  uint32_t ggml_id;       ///< Tensor type id in GGUF.
  int64_t block_weights;  ///< Weights a block.
  int64_t block_bytes;    ///< Bytes a block.
  bool is_float;          ///< F32, F16, BF16: one number a weight, multiplied with float activations only.
  /// Exact values of n stored weights.
  void (*decode)(const std::byte* src, float* dst, int64_t n);
  /// The format's own encoder (not an optimal one): nearest value for floats, rule in the type's header otherwise.
  void (*encode)(const float* src, std::byte* dst, int64_t n);
  /// Σ w[i]·x[i], the exact value rounded once: accumulated in double, where every product of a decoded weight (at
  /// most 24 significant bits) and a float is exact. The reference that float kernels are compared with.
  double (*dot)(const std::byte* w, const float* x, int64_t n);
  /// Integer dot products: for each run p of dot_weights() weights, sums[p] = Σ code[i]·x[i] over the run, in int32,
  /// exact, where w[i] = code[i]·scales[p]. Both arrays hold n / dot_weights() entries. Null for float types.
  void (*dot_i8)(const std::byte* w, const int8_t* x, int64_t n, int32_t* sums, float* scales);

  /// Weights that one entry of dot_i8 covers: a block, or one activation group of a wider block, because an integer sum
  /// may not mix activations of two scales.
  int64_t dot_weights() const { return block_weights < kActGroup ? block_weights : kActGroup; }
  /// Bits a weight, scales included.
  double bits_per_weight() const { return 8.0 * static_cast<double>(block_bytes) / static_cast<double>(block_weights); }
  /// Bytes of a row of `cols` weights; kCorrupt when cols is not positive or not a multiple of block_weights, or the
  /// size overflows.
  Result<uint64_t> RowBytes(int64_t cols) const;
};

/// All formats, in the order of the table.
std::span<const Type> Types();
/// The format with this GGUF id, or null. Ids that several formats share are resolved by formats/, not here.
const Type* FindByGgmlId(uint32_t id);
/// The format with this name, ignoring case, or null.
const Type* FindByName(std::string_view name);
/// Name of a ggml type id that we know of but do not run ("Q4_K", "NVFP4"), for refusals; empty when unknown.
std::string_view KnownGgmlName(uint32_t id);

}  // namespace bonsai::quant
