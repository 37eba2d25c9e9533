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
  uint64_t kv_memory = 0;    ///< Bytes for keys and values, a draft model's not counted; 0: see PlanRequest.
  /// A smaller model with the same vocabulary, whose guesses make generations faster that ask for it
  /// (GenerateOptions::speculate); null: none. Not needed after loading.
  const formats::ModelFile* draft = nullptr;
  int32_t draft_max = kDefaultDraft;  ///< Most tokens of one guess, also without a draft model: 1 to kMaxDraft.
  model::LoadProgress progress;
  LogSink log;
};

/// The const methods may be called from any thread, the others from one at a time.
class LoadedModel {
 public:
  /// Errors: what text::Tokenizer, model::Describe and MakePlan refuse, or reading; kCancelled by progress;
  /// kInvalidArgument when a draft model has another vocabulary (the first difference is named), or draft_max is out of
  /// range. The file is not needed afterwards.
  static Result<std::unique_ptr<LoadedModel>> Load(const formats::ModelFile& file, const EngineOptions& options);

  const text::Tokenizer& tokenizer() const { return *tokenizer_; }
  const model::Config& config() const { return description_.config; }
  const MemoryPlan& plan() const { return plan_; }
  const sampling::Params& default_sampling() const { return default_sampling_; }
  std::string device_name() const { return device_->name(); }
  /// kInvalidArgument for no tokens, or one outside the vocabulary.
  Status CheckTokens(std::span<const int32_t> tokens) const;

  model::Model& model() { return *model_; }
  kernels::KvStore& kv() { return *kv_; }
  BlockPool& pool() { return *pool_; }
  /// Null when there is none. Shares the device, and so its threads: the two never run at the same time.
  LoadedModel* draft() { return draft_.get(); }
  int32_t draft_max() const { return draft_max_; }

 private:
  LoadedModel() = default;
  static Result<std::unique_ptr<LoadedModel>> Describe(const formats::ModelFile& file, const EngineOptions& options);
  Status Plan(const formats::ModelFile& file, const EngineOptions& options);
  Status Read(const formats::ModelFile& file, const EngineOptions& options, bool drop_cache);

  std::shared_ptr<kernels::Device> device_;  // outlives what it made
  model::Description description_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::unique_ptr<model::Model> model_;
  std::unique_ptr<kernels::KvStore> kv_;
  std::optional<BlockPool> pool_;
  MemoryPlan plan_;
  sampling::Params default_sampling_;
  int32_t draft_max_ = 0;
  std::unique_ptr<LoadedModel> draft_;
};

}  // namespace bonsai::engine
