// One model in memory, ready to generate: file → plan → device → weights → tokens.
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
#include <string_view>
#include <vector>

#include "base/byte_source.h"
#include "base/log.h"
#include "base/status.h"
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
  int32_t context = 0;       ///< Tokens; 0: see PlanRequest.
  int32_t batch_rows = 512;  ///< Prompt tokens that one forward pass takes.
  model::LoadProgress progress;
  LogSink log;
};

/// Why a generation ended.
enum class FinishReason {
  kStop,       ///< The model said so (an end-of-generation token).
  kStopText,   ///< A stop string appeared.
  kLength,     ///< max_tokens, or the end of the context.
  kLoop,       ///< It repeated itself endlessly.
  kCancelled,  ///< The callback returned false.
};
std::string_view FinishReasonName(FinishReason reason);

struct GenerateOptions {
  sampling::Params sampling;
  int32_t max_tokens = -1;  ///< -1: until the model stops or the context is full.
  std::vector<std::string> stop;
  bool loop_guard = true;
  bool special_text = false;  ///< Give control tokens as text, too.
};

/// One new token. `text` holds whole UTF-8 characters only (bytes of an unfinished one come with a later token, those
/// that may begin a stop string too), so it may be empty. The last call of a generation may have id -1: held-back text.
struct Token {
  int32_t id;
  std::string_view text;
};
/// Returning false ends the generation.
using OnToken = std::function<bool(const Token& token)>;

struct GenerateResult {
  FinishReason reason = FinishReason::kLength;
  std::vector<int32_t> tokens;  ///< New ids; the end-of-generation token, if any, is the last.
  std::string stop_text;        ///< Which stop string, with kStopText.
  int32_t loop_period = 0;      ///< Tokens of the repeated block, with kLoop.
  int32_t prompt_tokens = 0;
  double prompt_seconds = 0;    ///< Until the first logits.
  double generate_seconds = 0;  ///< From then on.
};

/// Owns everything below it. One call at a time; `tokenizer()` may be used from any thread.
class Engine {
 public:
  /// Errors: what text::Tokenizer, model::Describe and MakePlan refuse, or reading; kCancelled by progress. The file is
  /// not needed afterwards.
  static Result<std::unique_ptr<Engine>> Load(const formats::ModelFile& file, const EngineOptions& options);
  /// The same, after formats::OpenModel.
  static Result<std::unique_ptr<Engine>> Load(std::unique_ptr<ByteSource> source, const EngineOptions& options);

  const text::Tokenizer& tokenizer() const { return *tokenizer_; }
  const model::Config& config() const { return model_->config(); }
  const MemoryPlan& plan() const { return plan_; }
  const sampling::Params& default_sampling() const { return default_sampling_; }
  std::string device_name() const { return device_->name(); }

  /// Continues `prompt` from an empty cache. kInvalidArgument: an empty prompt, ids outside the vocabulary, a prompt
  /// that fills the context, sampling parameters out of range. kCorrupt: the model computed no finite logit.
  Result<GenerateResult> Generate(std::span<const int32_t> prompt, const GenerateOptions& options,
                                  const OnToken& on_token);

  /// Feeds `tokens` from an empty cache and calls visit(i, logits) for each position in order: logits [V] predict
  /// token i + 1. The span is valid during the call. Same errors as Generate; visit returning false stops (kCancelled).
  using VisitLogits = std::function<bool(int32_t position, std::span<const float> logits)>;
  Status Evaluate(std::span<const int32_t> tokens, const VisitLogits& visit);

  /// Runs `tokens` at positions pos, pos + 1, … in passes of batch_rows, on top of what the last calls left at
  /// positions 0..pos-1 (pos 0: from an empty cache). Nothing is sampled. `logits` is empty, or [V] to fill with what
  /// predicts the token after the last. For measuring, and for callers that sample themselves. kInvalidArgument: no
  /// tokens, ids outside the vocabulary, a position that nothing was run up to, more than the context holds.
  Status Feed(std::span<const int32_t> tokens, int32_t pos, std::span<float> logits = {});

 private:
  Engine() = default;
  Status CheckTokens(std::span<const int32_t> tokens) const;
  /// Runs tokens at positions pos.. in one forward pass, growing the cache.
  Status Step(std::span<const int32_t> tokens, int32_t pos);
  /// Step() in passes of at most max_rows; logits, unless empty, are those of the last token.
  Status Prefill(std::span<const int32_t> tokens, int32_t pos, std::span<float> logits);

  std::unique_ptr<kernels::Device> device_;  // outlives what it made
  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::unique_ptr<model::Model> model_;
  std::unique_ptr<kernels::KvStore> kv_;
  std::vector<int32_t> blocks_;  // of the one sequence: block i is i
  int32_t filled_ = 0;           // positions of the sequence that hold keys and values
  MemoryPlan plan_;
  sampling::Params default_sampling_;
};

}  // namespace bonsai::engine
