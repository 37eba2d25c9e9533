// Weight formats: what a stored weight is. One row of a table (quant/registry.cc) per format; nobody switches on ids.
//
//   const quant::Type* t = quant::FindByGgmlId(41);           // Q1_0
//   t->decode(row_bytes, floats, cols);
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace bonsai::quant {

/// Columns that share one activation scale when activations are int8: the weight group of Q1_0.
inline constexpr int64_t kActGroup = 128;
/// Weights that share one scale wherever codes and scales are apart: every block of codes is a multiple.
inline constexpr int64_t kScaleRun = 32;
/// Ids from here on are ours alone and never stand in a file.
inline constexpr uint32_t kPrivateIds = 0x10000;

/// One weight format. Rows are stored as `cols / block_weights` blocks of `block_bytes` bytes, without padding, and
/// blocks run along the input dimension. All functions are pure and thread safe; `n` is a multiple of block_weights
/// (callers check); pointers need no alignment. Floats are IEEE binary32, bytes are little-endian.
struct Type {
  std::string_view name;  ///< As people write it: "Q1_0", "F16".
  uint32_t ggml_id;       ///< Tensor type id in GGUF, or one above kPrivateIds where that is not this format's alone.
  uint32_t file_id;       ///< The id that a GGUF file holds: ggml_id but for private ones.
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
  /// exact, where w[i] = code[i]·scales[p]. Both arrays hold n / dot_weights() entries. Null where unpack is.
  void (*dot_i8)(const std::byte* w, const int8_t* x, int64_t n, int32_t* sums, float* scales);
  /// Codes and scales: w[i] = codes[i]·scales[i / kScaleRun], exact. Null for floats, and for Q4_1, whose weights are
  /// not multiples of a scale.
  void (*unpack)(const std::byte* src, int8_t* codes, float* scales, int64_t n);
  /// The inverse of unpack; gives back the bytes of what it packed. False, with dst unspecified, when this format
  /// cannot hold these numbers exactly: a code is out of its range, a scale is not finite or not an fp16 number, or the
  /// scales of one block differ. A run of zeros takes its neighbours' scale, and a block of zeros keeps its scale if it
  /// can.
  bool (*pack)(const int8_t* codes, const float* scales, std::byte* dst, int64_t n);

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
/// The format with this ggml_id, or null. 42 is Q2_0; what a file means by an id that several programs use is resolved
/// by formats/, not here.
const Type* FindByGgmlId(uint32_t id);
/// All formats that a file may mean by this id, the likeliest first: 42 is Q2_0, PQ2_0 or TQ2_0_G128. Programs that are
/// not in the table use ids too: 40 is Q1_0_G32, or NVFP4 (see KnownGgmlName).
std::vector<const Type*> CandidatesFor(uint32_t file_id);
/// The format with this name or with another one that is in use ("Q1_0_G128"), ignoring case, or null.
const Type* FindByName(std::string_view name);
/// Name of a format behind an id for which FindByGgmlId is null ("Q4_K", "NVFP4"), for refusals; empty when unknown.
std::string_view KnownGgmlName(uint32_t id);

}  // namespace bonsai::quant
