#include "engine/engine.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"

namespace bonsai::engine {

Result<std::unique_ptr<Engine>> Engine::Load(std::unique_ptr<ByteSource> source, const EngineOptions& options) {
  BONSAI_ASSIGN(const std::unique_ptr<formats::ModelFile> file, formats::OpenModel(std::move(source)));
  return Load(*file, options);
}

Result<std::unique_ptr<Engine>> Engine::Load(const formats::ModelFile& file, const EngineOptions& options) {
  EngineOptions one = options;
  one.parallel = 1;
  std::unique_ptr<Engine> e(new Engine);
  BONSAI_ASSIGN(e->model_, LoadedModel::Load(file, one));
  e->scheduler_ = std::make_unique<Scheduler>(*e->model_, SchedulerOptions{.slots = 1});
  return e;
}

Result<GenerateResult> Engine::Generate(std::span<const int32_t> prompt, const GenerateOptions& options,
                                        const OnToken& on_token, const std::function<bool()>& go_on) {
  chain_.Release(model_->pool());
  std::optional<GenerateResult> result;
  Request request{.prompt = {prompt.begin(), prompt.end()},
                  .options = options,
                  .on_token = on_token,
                  .on_finish = [&](const GenerateResult& r) { result = r; }};
  BONSAI_ASSIGN(const RequestId id, scheduler_->Submit(std::move(request)));
  do {
    if (go_on && !go_on()) scheduler_->Cancel(id);
  } while (scheduler_->Step());
  BONSAI_CHECK(result.has_value());
  BONSAI_RETURN_IF_ERROR(result->status);
  return *std::move(result);
}

Status Engine::Step(std::span<const int32_t> tokens, int32_t pos) {
  const auto end = static_cast<size_t>(pos) + tokens.size();
  if (!chain_.Reserve(model_->pool(), end))
    return Error(ErrorCode::kOutOfMemory, "the system gave memory for {} tokens of the KV cache, {} are needed",
                 chain_.blocks.size() * kBlock, end);
  const kernels::SequenceRows rows{
      .first_row = 0, .rows = static_cast<int32_t>(tokens.size()), .pos = pos, .blocks = chain_.blocks};
  model_->model().Forward({.tokens = tokens, .sequences = {&rows, 1}}, model_->kv());
  chain_.computed = end;
  return {};
}

Status Engine::Feed(std::span<const int32_t> tokens, int32_t pos, std::span<float> logits) {
  BONSAI_RETURN_IF_ERROR(model_->CheckTokens(tokens));
  if (pos < 0 || static_cast<size_t>(pos) > chain_.computed)
    return Error(ErrorCode::kInvalidArgument, "position {}: only {} tokens were run before", pos, chain_.computed);
  if (tokens.size() > static_cast<size_t>(plan().context - pos))
    return Error(ErrorCode::kInvalidArgument, "{} tokens from position {} do not fit a context of {}", tokens.size(),
                 pos, plan().context);
  BONSAI_CHECK(logits.empty() || logits.size() == static_cast<size_t>(config().vocab));
  const auto step = static_cast<size_t>(model_->model().max_rows());
  int32_t last = 0;
  for (size_t i = 0; i < tokens.size(); i += step) {
    const size_t n = std::min(step, tokens.size() - i);
    BONSAI_RETURN_IF_ERROR(Step(tokens.subspan(i, n), pos + static_cast<int32_t>(i)));
    last = static_cast<int32_t>(n) - 1;
  }
  return logits.empty() ? Status() : model_->model().Logits({&last, 1}, logits);
}

Status Engine::Evaluate(std::span<const int32_t> tokens, const VisitLogits& visit) {
  BONSAI_RETURN_IF_ERROR(model_->CheckTokens(tokens));
  if (tokens.size() > static_cast<size_t>(plan().context))
    return Error(ErrorCode::kInvalidArgument, "{} tokens do not fit a context of {}", tokens.size(), plan().context);
  const auto vocab = static_cast<size_t>(config().vocab), step = static_cast<size_t>(model_->model().max_rows());
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
      BONSAI_RETURN_IF_ERROR(model_->model().Logits(rows, out));
      for (size_t k = 0; k < rows.size(); k++)
        if (!visit(static_cast<int32_t>(i + j + k), out.subspan(k * vocab, vocab)))
          return Error(ErrorCode::kCancelled, "evaluation was cancelled");
    }
  }
  return {};
}

}  // namespace bonsai::engine
