// A model in memory: file → plan → device → weights, tokenizer and KV cache. What an engine for one sequence (engine.h)
// and one for many (batch_engine.h) have in common.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/log.h"
#include "base/status.h"
#include "engine/block_pool.h"
#include "engine/plan.h"
#include "formats/model_file.h"
#include "kernels/ops.h"
#include "model/model.h"
#include "sampling/sampler.h"
#include "text/tokenizer.h"

namespace bonsai::engine {

struct EngineOptions {
  int threads = 0;  ///< 0: all usable CPUs.
  kernels::ActType act = kernels::ActType::kI8;
  kernels::KvType k_type = kernels::KvType::kF16;
  kernels::KvType v_type = kernels::KvType::kF16;
  int32_t context = 0;       ///< Tokens of one sequence; 0: see PlanRequest.
  int32_t batch_rows = 512;  ///< Tokens that one forward pass takes.
  int32_t parallel = 1;      ///< Most sequences at a time; see PlanRequest.
  uint64_t kv_memory = 0;    ///< Bytes for keys and values; 0: see PlanRequest.
  model::LoadProgress progress;
  LogSink log;
};

/// The const methods may be called from any thread, the others from one at a time.
class LoadedModel {
 public:
  /// Errors: what text::Tokenizer, model::Describe and MakePlan refuse, or reading; kCancelled by progress. The file is
  /// not needed afterwards.
  static Result<std::unique_ptr<LoadedModel>> Load(const formats::ModelFile& file, const EngineOptions& options);

  const text::Tokenizer& tokenizer() const { return *tokenizer_; }
  const model::Config& config() const { return model_->config(); }
  const MemoryPlan& plan() const { return plan_; }
  const sampling::Params& default_sampling() const { return default_sampling_; }
  std::string device_name() const { return device_->name(); }
  /// kInvalidArgument for no tokens, or one outside the vocabulary.
  Status CheckTokens(std::span<const int32_t> tokens) const;

  model::Model& model() { return *model_; }
  kernels::KvStore& kv() { return *kv_; }
  BlockPool& pool() { return *pool_; }

 private:
  LoadedModel() = default;
  std::unique_ptr<kernels::Device> device_;  // outlives what it made
  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::unique_ptr<model::Model> model_;
  std::unique_ptr<kernels::KvStore> kv_;
  std::optional<BlockPool> pool_;
  MemoryPlan plan_;
  sampling::Params default_sampling_;
};

}  // namespace bonsai::engine
