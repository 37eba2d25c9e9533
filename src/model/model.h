// A loaded model: weights on a device, and the forward pass.
//
//   BONSAI_ASSIGN(const auto described, model::Describe(*file));            // metadata and shapes, no tensor data
//   BONSAI_ASSIGN(auto model, model::Model::Load(*file, *device, {.max_rows = 512}));
//   BONSAI_RETURN_IF_ERROR(model->Forward(batch, *kv));
//   BONSAI_RETURN_IF_ERROR(model->Logits({{last_row}}, logits));
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "base/status.h"
#include "formats/model_file.h"
#include "kernels/ops.h"
#include "model/arch.h"
#include "model/config.h"

namespace bonsai::model {

/// Most rows that one LM-head product computes; Logits() cuts longer requests.
inline constexpr int64_t kMaxLogitRows = 32;

/// Called with bytes of tensor data read so far and in total, from any thread but one at a time; returning false
/// cancels the load (kCancelled).
using LoadProgress = std::function<bool(uint64_t done, uint64_t total)>;

struct LoadOptions {
  int64_t max_rows = 512;  ///< Most tokens of one Forward().
  LoadProgress progress;
  bool drop_cache = false;  ///< Let the operating system forget the file's pages as they are read.
};

/// Architecture and config of a file whose tensors all exist with the shapes that the config implies. Reads no tensor
/// data. kUnsupported: unknown architecture, or tensors that the architecture does not have (ignoring one would
/// compute nonsense); kCorrupt: a missing tensor or a shape that contradicts the metadata, both named.
struct Description {
  const Arch* arch;
  Config config;
};
Result<Description> Describe(const formats::ModelFile& file);

/// Bytes that a loaded model holds on a device, beside the KV cache.
struct MemoryUse {
  uint64_t weights = 0;
  uint64_t scratch = 0;
};
MemoryUse PlanMemory(const formats::ModelFile& file, const Description& d, const kernels::Device& device,
                     int64_t max_rows);

/// What a forward pass needs at least, from the shapes: for floors under its time.
struct ForwardCost {
  uint64_t layer_bytes = 0;  ///< Stored bytes of the matrices of all blocks: read once a pass.
  uint64_t layer_macs = 0;   ///< Their weights: multiply-adds of one token.
  uint64_t head_bytes = 0;   ///< The same of the LM head (the embedding when tied), for tokens whose logits are wanted.
  uint64_t head_macs = 0;
};
ForwardCost CostOf(const formats::ModelFile& file, const Description& d);

/// Shape of the KV cache of a model.
kernels::KvSpec KvSpecOf(const Config& config, kernels::KvType k, kernels::KvType v);

/// Weights and scratch of one model. Driven by one thread at a time; dies before its device.
class Model {
 public:
  /// Errors name the file, and the tensor that they are about.
  static Result<std::unique_ptr<Model>> Load(const formats::ModelFile& file, kernels::Device& device,
                                             const LoadOptions& options);

  const Config& config() const { return config_; }
  kernels::Device& device() { return device_; }
  int64_t max_rows() const { return max_rows_; }

  /// Runs a batch of at most max_rows tokens, ids in 0..V-1, and stores its keys and values; the KV blocks that it
  /// names must exist.
  void Forward(const kernels::Batch& batch, kernels::KvStore& kv);
  /// Logits of rows of the last Forward(): out is [rows.size(), V].
  Status Logits(std::span<const int32_t> rows, std::span<float> out);

 private:
  Model(kernels::Device& device, const Arch& arch, Config config, int64_t max_rows);
  Status LoadWeights(const formats::ModelFile& file, const LoadOptions& options);
  Status MakeScratch();

  kernels::Device& device_;
  const Arch& arch_;
  Config config_;
  int64_t max_rows_;
  kernels::RopeSpec rope_;
  Weights weights_;
  Scratch scratch_;
};

}  // namespace bonsai::model
