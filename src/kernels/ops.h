// The seam for devices. A model describes its block once, in about a dozen coarse operations on storage that belongs
// to a Device; nothing above this header may assume that the storage is host memory. Coarse, so that each device can
// fuse: on a CPU one parallel region each, on a GPU one kernel each.
//
//   auto device = kernels::NewCpuDevice({.threads = 4, .act = ActType::kI8});
//   auto w = device->LoadMatrix({.type = q1_0, .rows = 4096, .cols = 4096}, reader);
//   device->RmsNorm(x, gain, eps, rows, *act);            // normalise and quantise
//   device->MatMul({{w.get(), y.get()}}, *act, rows);     // y = act · wᵀ
//
// Letters: T rows (tokens) of the batch, D model width, H heads, Hkv KV heads, Dh head width, F feed-forward width,
// V vocabulary. Row-major everywhere. A device is driven by one thread at a time. Operations take shapes on trust
// (checked with BONSAI_CHECK): the model has validated them when it was loaded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kernels/kv_type.h"
#include "quant/types.h"

namespace bonsai::kernels {

/// How activations enter a matrix product with a block format (float formats always take floats).
enum class ActType {
  kF32,  ///< As they are: the reference for quality.
  kI8,   ///< int8 with one scale per 128 columns (quant/act_i8.h): the fast path, and the default.
};

std::string_view KvTypeName(KvType type);
/// All types, by falling precision; KvTypeName names them for users.
std::span<const KvType> AllKvTypes();
/// The type of that name, or kInvalidArgument.
Result<KvType> KvTypeByName(std::string_view name);
/// Elements of one block: a head's width must be a multiple.
int32_t KvBlockWidth(KvType type);
/// Bytes of `n` elements, a multiple of KvBlockWidth.
size_t KvBytes(KvType type, size_t n);

struct MatrixSpec {
  const quant::Type* type = nullptr;
  int64_t rows = 0;  ///< Outputs.
  int64_t cols = 0;  ///< Inputs.
};

/// Fills `out` with the stored bytes of rows [row, row + rows), in the format of the spec. Called from several threads
/// at once, for disjoint rows in any order.
using ReadRowsFn = std::function<Status(int64_t row, int64_t rows, std::span<std::byte> out)>;

/// Weights on a device, in whatever layout it likes. Immutable.
class Matrix {
 public:
  virtual ~Matrix() = default;
  const MatrixSpec& spec() const { return spec_; }

 protected:
  explicit Matrix(const MatrixSpec& spec) : spec_(spec) {}
  MatrixSpec spec_;
};

/// A float vector on a device (norm gains, biases). Immutable.
class Vector {
 public:
  virtual ~Vector() = default;
  int64_t size() const { return size_; }

 protected:
  explicit Vector(int64_t size) : size_(size) {}
  int64_t size_;
};

/// Float activations on a device: up to max_rows × cols.
class Tensor {
 public:
  virtual ~Tensor() = default;
  int64_t max_rows() const { return max_rows_; }
  int64_t cols() const { return cols_; }

 protected:
  Tensor(int64_t max_rows, int64_t cols) : max_rows_(max_rows), cols_(cols) {}
  int64_t max_rows_, cols_;
};

/// Activations prepared as the input of matrix products (floats, int8 with scales, or both).
class Act {
 public:
  virtual ~Act() = default;
  int64_t max_rows() const { return max_rows_; }
  int64_t cols() const { return cols_; }

 protected:
  Act(int64_t max_rows, int64_t cols) : max_rows_(max_rows), cols_(cols) {}
  int64_t max_rows_, cols_;
};

struct KvSpec {
  int32_t layers = 0;
  int32_t kv_heads = 0;
  int32_t k_width = 0;  ///< Of one head.
  int32_t v_width = 0;
  KvType k_type = KvType::kF16;
  KvType v_type = KvType::kF16;
  /// kInvalidArgument when a head's width is not a multiple of its type's block. The rest of KvSpec needs it to hold.
  Status Check() const;
  /// Bytes of one block of kKvBlock positions, all layers.
  size_t BlockBytes() const;
};

/// Storage for keys and values in blocks of kKvBlock positions that cover all layers. Who owns which block is the
/// engine's business; this only holds the bytes, and takes memory as blocks come into use.
class KvStore {
 public:
  virtual ~KvStore() = default;
  const KvSpec& spec() const { return spec_; }
  /// Makes blocks 0..count-1 usable; never shrinks. kOutOfMemory when it cannot.
  virtual Status Grow(int32_t count) = 0;

 protected:
  explicit KvStore(const KvSpec& spec) : spec_(spec) {}
  KvSpec spec_;
};

/// Rows [first_row, first_row + rows) of a batch: consecutive positions pos, pos + 1, … of one sequence, whose
/// position p lives in KV block blocks[p / kKvBlock], slot p % kKvBlock.
struct SequenceRows {
  int32_t first_row = 0;
  int32_t rows = 0;
  int32_t pos = 0;
  std::span<const int32_t> blocks;
};

/// One forward pass: T tokens of any number of sequences, in any order of sequences.
struct Batch {
  std::span<const int32_t> tokens;          ///< T ids, each in 0..V-1.
  std::span<const SequenceRows> sequences;  ///< Partition of the T rows.
  int64_t rows() const { return static_cast<int64_t>(tokens.size()); }
};

/// Rotary embedding: angle(position p, pair i) = p · inv_freq[i]; sines and cosines are multiplied by `scale` (YaRN's
/// attention factor; 1 otherwise).
struct RopeSpec {
  std::vector<float> inv_freq;  ///< Dh / 2.
  float scale = 1.0f;
};

/// One product of a group: out[t, r] = scale · Σ_c in[t, c] · w[r, c] + bias[r]. The sum is a kernel's; the product
/// with `scale` and the sum with `bias` are rounded one by one.
struct Product {
  const Matrix* w;
  Tensor* out;
  float scale = 1.0f;
  const Vector* bias = nullptr;  ///< As long as w has rows; null: none.
};

/// Where attention reads and writes: one layer of a KV store, for the sequences of a batch.
struct KvView {
  KvStore* store;
  int32_t layer;
  std::span<const SequenceRows> sequences;
};

/// What QkNormRopeStore and Attend work with.
struct QkvSpec {
  int32_t heads = 0, kv_heads = 0, k_width = 0, v_width = 0;
  const Vector* q_norm = nullptr;  ///< Gain of the per-head RMSNorm, k_width long; null: no norm.
  const Vector* k_norm = nullptr;
  const Vector* out_norm = nullptr;  ///< Gain of an RMSNorm over all heads' outputs together, H·Dv long; null: no norm.
  float eps = 0;                     ///< Of these norms.
  bool rope_interleaved = false;     ///< false: pairs (i, i + Dh/2), "NEOX"; true: pairs (2i, 2i + 1).
};

/// The function of a gated linear unit.
enum class GateFn {
  kSilu,   ///< x · sigmoid(x): SwiGLU (Shazeer 2020, arXiv 2002.05202).
  kRelu2,  ///< max(x, 0)²: Primer (So et al. 2021, arXiv 2109.08668).
};

/// What Glu works with.
struct GluSpec {
  GateFn fn = GateFn::kSilu;
  const Vector* norm = nullptr;  ///< Gain of an RMSNorm over the result, F long; null: no norm.
  float eps = 0;                 ///< Of this norm.
};

class Device {
 public:
  virtual ~Device() = default;
  /// For tables and logs: "CPU (portable, 2 threads)".
  virtual std::string name() const = 0;

  // Storage. Everything made by a device is used with that device only, and dies before it. A device may keep a matrix
  // in another format that holds the same numbers; the matrix's spec() then has that one.
  virtual Result<std::unique_ptr<Matrix>> LoadMatrix(const MatrixSpec& spec, const ReadRowsFn& read) = 0;
  virtual Result<std::unique_ptr<Vector>> LoadVector(std::span<const float> values) = 0;
  virtual Result<std::unique_ptr<Tensor>> NewTensor(int64_t max_rows, int64_t cols) = 0;
  /// An Act in the forms that products with `consumers` (all with `cols` columns) need.
  virtual Result<std::unique_ptr<Act>> NewAct(int64_t max_rows, int64_t cols,
                                              std::span<const Matrix* const> consumers) = 0;
  /// Fails like KvSpec::Check, or with kOutOfMemory.
  virtual Result<std::unique_ptr<KvStore>> NewKvStore(const KvSpec& spec) = 0;
  /// Bytes that LoadMatrix, NewTensor and NewAct will hold for such an object, for the memory plan.
  virtual uint64_t MatrixBytes(const MatrixSpec& spec) const = 0;
  virtual uint64_t TensorBytes(int64_t max_rows, int64_t cols) const = 0;
  virtual uint64_t ActBytes(int64_t max_rows, int64_t cols) const = 0;

  // Operations, each over the first `rows` rows of its tensors.

  /// out[t, :] = decoded row tokens[t] of the table.
  virtual void Embed(const Matrix& table, std::span<const int32_t> tokens, Tensor& out) = 0;
  /// out = x / sqrt(mean(x²) + eps) · gain, prepared as products' input. (Zhang & Sennrich 2019, arXiv 1910.07467)
  virtual void RmsNorm(const Tensor& x, const Vector& gain, float eps, int64_t rows, Act& out) = 0;
  /// All products of the group over one input.
  virtual void MatMul(std::span<const Product> group, const Act& x, int64_t rows) = 0;
  /// The same for one product, added to what its `out` holds: the residual connection.
  virtual void MatMulAdd(const Product& product, const Act& x, int64_t rows) = 0;
  /// table[t, 0:Dh/2] = cos, table[t, Dh/2:Dh] = sin of the angles of row t's position. Once per batch.
  virtual void RopeTable(const RopeSpec& rope, std::span<const SequenceRows> sequences, Tensor& table) = 0;
  /// Per head: RMSNorm (when given) and rotation of q [T, H·Dh] in place and of k [T, Hkv·Dh]; then k and
  /// v [T, Hkv·Dv] are stored in the cache.
  virtual void QkNormRopeStore(const QkvSpec& spec, const Tensor& rope_table, Tensor& q, Tensor& k, const Tensor& v,
                               const KvView& kv) = 0;
  /// Causal attention of each row over its sequence's cache, including the rows stored just before; scores are
  /// multiplied by `scale`; query head h reads KV head h / (H / Hkv). out [T, H·Dv], normalised when the spec has a
  /// gain for it, is prepared as products' input.
  virtual void Attend(const QkvSpec& spec, float scale, const Tensor& q, const KvView& kv, Act& out) = 0;
  /// out = fn(gate) ⊙ up, normalised when the spec has a gain for it, and prepared as products' input.
  virtual void Glu(const GluSpec& spec, const Tensor& gate, const Tensor& up, int64_t rows, Act& out) = 0;
  /// Final RMSNorm and LM head for chosen rows only: host_logits [rows.size(), V] always comes back to the host.
  virtual Status Logits(const Tensor& x, const Vector& gain, float eps, std::span<const int32_t> rows,
                        const Matrix& head, Act& scratch, std::span<float> host_logits) = 0;
};

struct CpuOptions {
  int threads = 0;  ///< 0: all usable CPUs.
  ActType act = ActType::kI8;
};

/// The CPU device. kInvalidArgument when BONSAI_ISA names a kernel table that this CPU or build does not have.
Result<std::unique_ptr<Device>> NewCpuDevice(const CpuOptions& options);

}  // namespace bonsai::kernels
