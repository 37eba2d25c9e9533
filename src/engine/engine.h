// One model in memory, ready to generate one text at a time. For many at a time: batch_engine.h.
//
//   BONSAI_ASSIGN(const auto file, formats::OpenModelPath("model.gguf"));
//   BONSAI_ASSIGN(auto engine, engine::Engine::Load(*file, {}));
//   const auto prompt = engine->tokenizer().Encode("Once upon a time");
//   BONSAI_ASSIGN(const auto result, engine->Generate(prompt, {.sampling = engine->default_sampling()},
//                                                      [](const Token& t) { Print(t.text); return true; }));
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/byte_source.h"
#include "base/status.h"
#include "engine/generation.h"
#include "engine/loaded_model.h"
#include "engine/scheduler.h"

namespace bonsai::engine {

/// Owns everything below it. One call at a time; `tokenizer()` may be used from any thread.
class Engine {
 public:
  /// Errors: those of LoadedModel::Load. `parallel` is taken for 1. The file is not needed afterwards.
  static Result<std::unique_ptr<Engine>> Load(const formats::ModelFile& file, const EngineOptions& options);
  /// The same, after formats::OpenModel.
  static Result<std::unique_ptr<Engine>> Load(std::unique_ptr<ByteSource> source, const EngineOptions& options);

  const text::Tokenizer& tokenizer() const { return model_->tokenizer(); }
  const model::Config& config() const { return model_->config(); }
  const MemoryPlan& plan() const { return model_->plan(); }
  const sampling::Params& default_sampling() const { return model_->default_sampling(); }
  std::string device_name() const { return model_->device_name(); }

  /// Continues `prompt`; of its beginning, what earlier calls left in the cache is not computed again (cached_tokens),
  /// and the answer is the same. Ends what Feed began. `go_on`, if any, is asked before each batch, so also while the
  /// prompt is read; false ends the generation as on_token does. kInvalidArgument: what Scheduler::Submit refuses.
  /// kCorrupt: the model computed no finite logit.
  Result<GenerateResult> Generate(std::span<const int32_t> prompt, const GenerateOptions& options,
                                  const OnToken& on_token, const std::function<bool()>& go_on = {});

  /// Feeds `tokens` from an empty cache and calls visit(i, logits) for each position in order: logits [V] predict
  /// token i + 1. The span is valid during the call. Errors as Feed; visit returning false stops (kCancelled).
  using VisitLogits = std::function<bool(int32_t position, std::span<const float> logits)>;
  Status Evaluate(std::span<const int32_t> tokens, const VisitLogits& visit);

  /// Runs `tokens` at positions pos, pos + 1, … in passes of batch_rows, on top of what the last calls left at
  /// positions 0..pos-1 (pos 0: from an empty cache). Nothing is sampled. `logits` is empty, or [V] to fill with what
  /// predicts the token after the last. For measuring, and for callers that sample themselves. kInvalidArgument: no
  /// tokens, ids outside the vocabulary, a position that nothing was run up to, more than the context holds.
  Status Feed(std::span<const int32_t> tokens, int32_t pos, std::span<float> logits = {});

 private:
  Engine() = default;
  /// Runs tokens at positions pos.. in one forward pass, growing the cache.
  Status Step(std::span<const int32_t> tokens, int32_t pos);

  std::unique_ptr<LoadedModel> model_;
  std::unique_ptr<Scheduler> scheduler_;  // of Generate's one sequence
  KvChain chain_;                         // of the sequence that Feed and Evaluate work on
};

}  // namespace bonsai::engine
