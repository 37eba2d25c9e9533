#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/machine.h"
#include "sampling/stop.h"

namespace bonsai::engine {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); }

Status CheckVocabulary(const formats::ModelFile& file, const text::Tokenizer& tokenizer, const model::Config& config) {
  if (tokenizer.vocab_size() > config.vocab)
    return Error(ErrorCode::kCorrupt, "{}: the tokenizer has {} tokens, but token_embd.weight only {} rows",
                 file.name(), tokenizer.vocab_size(), config.vocab);
  return {};
}

/// Turns tokens into events: decodes, looks for stop strings, watches for loops.
class Emitter {
 public:
  /// `last` is the token that the generation continues.
  Emitter(const text::Tokenizer& tokenizer, const GenerateOptions& options, const OnToken& on_token, int32_t last)
      : options_(options), on_token_(on_token), decoder_(tokenizer, options.special_text, last), stops_(options.stop) {}

  /// True when the generation goes on; otherwise `result` says why it ended.
  bool Push(int32_t id, GenerateResult& result) {
    const sampling::StopMatcher::Output out = stops_.Push(decoder_.Push(id));
    if (on_token_ && !on_token_({id, out.text})) {
      result.reason = FinishReason::kCancelled;
      return false;
    }
    if (out.stopped) {
      result.reason = FinishReason::kStopText;
      result.stop_text = out.match;
      return false;
    }
    if (options_.loop_guard && guard_.Push(id)) {
      result.reason = FinishReason::kLoop;
      result.loop_period = guard_.period();
      return false;
    }
    return true;
  }

  /// Hands out what was held back, unless a stop string or the user ended the generation.
  void Finish(const GenerateResult& result) {
    if (result.reason == FinishReason::kStopText || result.reason == FinishReason::kCancelled) return;
    sampling::StopMatcher::Output out = stops_.Push(decoder_.Finish());
    if (!out.stopped) out.text += stops_.Finish();
    if (on_token_ && !out.text.empty()) on_token_({-1, out.text});
  }

 private:
  const GenerateOptions& options_;
  const OnToken& on_token_;
  text::StreamDecoder decoder_;
  sampling::StopMatcher stops_;
  sampling::LoopGuard guard_;
};

}  // namespace

std::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
    case FinishReason::kStopText:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kLoop:
      return "loop";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

Result<std::unique_ptr<Engine>> Engine::Load(std::unique_ptr<ByteSource> source, const EngineOptions& options) {
  BONSAI_ASSIGN(const std::unique_ptr<formats::ModelFile> file, formats::OpenModel(std::move(source)));
  return Load(*file, options);
}

Result<std::unique_ptr<Engine>> Engine::Load(const formats::ModelFile& file, const EngineOptions& o) {
  BONSAI_ASSIGN(const model::Description description, model::Describe(file));
  if (o.log)
    for (const std::string& warning : file.warnings()) o.log(LogLevel::kWarning, warning);
  std::unique_ptr<Engine> e(new Engine);
  BONSAI_ASSIGN(e->tokenizer_, text::Tokenizer::FromMetadata(file.metadata()));
  BONSAI_RETURN_IF_ERROR(CheckVocabulary(file, *e->tokenizer_, description.config));
  BONSAI_ASSIGN(e->default_sampling_, sampling::ParamsFromMetadata(file.metadata()));
  BONSAI_ASSIGN(e->device_, kernels::NewCpuDevice({.threads = o.threads, .act = o.act}));
  const PlanRequest request{.context = o.context,
                            .batch_rows = o.batch_rows,
                            .k_type = o.k_type,
                            .v_type = o.v_type,
                            .available = AvailableMemory()};
  BONSAI_ASSIGN(e->plan_, MakePlan(file, description, *e->device_, request));
  if (o.log && e->plan_.context > description.config.trained_context)
    o.log(LogLevel::kWarning, fmt::format("context {} is longer than the {} tokens the model was trained with; quality "
                                          "falls beyond them",
                                          e->plan_.context, description.config.trained_context));
  // Where memory is short, the file's cached pages must not stand beside the weights; else they make the next start
  // fast.
  const bool drop_cache = e->plan_.available != 0 && e->plan_.total() + file.size() > e->plan_.available;
  BONSAI_ASSIGN(e->model_,
                model::Model::Load(file, *e->device_,
                                   {.max_rows = o.batch_rows, .progress = o.progress, .drop_cache = drop_cache}));
  BONSAI_ASSIGN(e->kv_, e->device_->NewKvStore(model::KvSpecOf(description.config, o.k_type, o.v_type)));
  return e;
}

Status Engine::CheckTokens(std::span<const int32_t> tokens) const {
  if (tokens.empty()) return Error(ErrorCode::kInvalidArgument, "the prompt is empty");
  for (size_t i = 0; i < tokens.size(); i++)
    if (tokens[i] < 0 || tokens[i] >= config().vocab)
      return Error(ErrorCode::kInvalidArgument, "token id {} at position {} is outside the vocabulary (0..{})",
                   tokens[i], i, config().vocab - 1);
  return {};
}

Status Engine::Step(std::span<const int32_t> tokens, int32_t pos) {
  const auto end = static_cast<size_t>(pos) + tokens.size();
  const size_t blocks = (end + kernels::kKvBlock - 1) / kernels::kKvBlock;
  if (blocks > blocks_.size()) {
    BONSAI_RETURN_IF_ERROR(kv_->Grow(static_cast<int32_t>(blocks)));
    while (blocks_.size() < blocks) blocks_.push_back(static_cast<int32_t>(blocks_.size()));
  }
  const kernels::SequenceRows rows{
      .first_row = 0, .rows = static_cast<int32_t>(tokens.size()), .pos = pos, .blocks = blocks_};
  model_->Forward({.tokens = tokens, .sequences = {&rows, 1}}, *kv_);
  filled_ = static_cast<int32_t>(end);
  return {};
}

Status Engine::Prefill(std::span<const int32_t> tokens, int32_t pos, std::span<float> logits) {
  const auto step = static_cast<size_t>(model_->max_rows());
  int32_t last = 0;
  for (size_t i = 0; i < tokens.size(); i += step) {
    const size_t n = std::min(step, tokens.size() - i);
    BONSAI_RETURN_IF_ERROR(Step(tokens.subspan(i, n), pos + static_cast<int32_t>(i)));
    last = static_cast<int32_t>(n) - 1;
  }
  return logits.empty() ? Status() : model_->Logits({&last, 1}, logits);
}

Status Engine::Feed(std::span<const int32_t> tokens, int32_t pos, std::span<float> logits) {
  BONSAI_RETURN_IF_ERROR(CheckTokens(tokens));
  if (pos < 0 || pos > filled_)
    return Error(ErrorCode::kInvalidArgument, "position {}: only {} tokens were run before", pos, filled_);
  if (tokens.size() > static_cast<size_t>(plan_.context - pos))
    return Error(ErrorCode::kInvalidArgument, "{} tokens from position {} do not fit a context of {}", tokens.size(),
                 pos, plan_.context);
  BONSAI_CHECK(logits.empty() || logits.size() == static_cast<size_t>(config().vocab));
  return Prefill(tokens, pos, logits);
}

Result<GenerateResult> Engine::Generate(std::span<const int32_t> prompt, const GenerateOptions& options,
                                        const OnToken& on_token) {
  BONSAI_RETURN_IF_ERROR(CheckTokens(prompt));
  BONSAI_RETURN_IF_ERROR(sampling::Validate(options.sampling));
  if (prompt.size() >= static_cast<size_t>(plan_.context))
    return Error(ErrorCode::kInvalidArgument,
                 "the prompt has {} tokens, which leaves no room in a context of {}; use -c {}", prompt.size(),
                 plan_.context, prompt.size() + 256);
  std::vector<float> logits(static_cast<size_t>(config().vocab));
  sampling::Sampler sampler(options.sampling, config().vocab);
  for (const int32_t id : prompt) sampler.Accept(id);
  Emitter emitter(*tokenizer_, options, on_token, prompt.back());
  GenerateResult result;
  result.prompt_tokens = static_cast<int32_t>(prompt.size());

  const Clock::time_point start = Clock::now();
  BONSAI_RETURN_IF_ERROR(Prefill(prompt, 0, logits));
  result.prompt_seconds = Seconds(start);
  const Clock::time_point first = Clock::now();
  const int32_t room = plan_.context - result.prompt_tokens;
  const int32_t most = options.max_tokens < 0 ? room : std::min(options.max_tokens, room);
  while (static_cast<int32_t>(result.tokens.size()) < most) {
    if (!std::any_of(logits.begin(), logits.end(), [](float v) { return std::isfinite(v); }))
      return Error(ErrorCode::kCorrupt,
                   "the model computed no finite logit at position {}: its weights are damaged "
                   "(bonsai inspect shows them)",
                   result.prompt_tokens + static_cast<int32_t>(result.tokens.size()) - 1);
    const int32_t id = sampler.Sample(logits);
    sampler.Accept(id);
    result.tokens.push_back(id);
    if (tokenizer_->IsEndOfGeneration(id)) {
      result.reason = FinishReason::kStop;
      break;
    }
    if (!emitter.Push(id, result)) break;
    if (static_cast<int32_t>(result.tokens.size()) == most) break;
    const auto pos = static_cast<int32_t>(prompt.size() + result.tokens.size() - 1);
    BONSAI_RETURN_IF_ERROR(Step({&result.tokens.back(), 1}, pos));
    const int32_t row = 0;
    BONSAI_RETURN_IF_ERROR(model_->Logits({&row, 1}, logits));
  }
  result.generate_seconds = Seconds(first);
  emitter.Finish(result);
  return result;
}

Status Engine::Evaluate(std::span<const int32_t> tokens, const VisitLogits& visit) {
  BONSAI_RETURN_IF_ERROR(CheckTokens(tokens));
  if (tokens.size() > static_cast<size_t>(plan_.context))
    return Error(ErrorCode::kInvalidArgument, "{} tokens do not fit a context of {}", tokens.size(), plan_.context);
  const auto vocab = static_cast<size_t>(config().vocab), step = static_cast<size_t>(model_->max_rows());
  std::vector<int32_t> rows;
  std::vector<float> logits(model::kMaxLogitRows * vocab);
  for (size_t i = 0; i < tokens.size(); i += step) {
    const size_t n = std::min(step, tokens.size() - i);
    BONSAI_RETURN_IF_ERROR(Step(tokens.subspan(i, n), static_cast<int32_t>(i)));
    for (size_t j = 0; j < n; j += model::kMaxLogitRows) {
      rows.clear();
      for (size_t k = j; k < std::min<size_t>(n, j + model::kMaxLogitRows); k++)
        rows.push_back(static_cast<int32_t>(k));
      const std::span<float> out(logits.data(), rows.size() * vocab);
      BONSAI_RETURN_IF_ERROR(model_->Logits(rows, out));
      for (size_t k = 0; k < rows.size(); k++)
        if (!visit(static_cast<int32_t>(i + j + k), out.subspan(k * vocab, vocab)))
          return Error(ErrorCode::kCancelled, "evaluation was cancelled");
    }
  }
  return {};
}

}  // namespace bonsai::engine
