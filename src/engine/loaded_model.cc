#include "engine/loaded_model.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/machine.h"

namespace bonsai::engine {
namespace {

Status CheckVocabulary(const formats::ModelFile& file, const text::Tokenizer& tokenizer, const model::Config& config) {
  if (tokenizer.vocab_size() > config.vocab)
    return Error(ErrorCode::kCorrupt, "{}: the tokenizer has {} tokens, but token_embd.weight only {} rows",
                 file.name(), tokenizer.vocab_size(), config.vocab);
  return {};
}

/// Ids mean the same in both: the draft model sees ids only, and its guesses are ids.
Status CheckSameVocabulary(const formats::ModelFile& draft_file, const text::Tokenizer& draft,
                           const formats::ModelFile& file, const text::Tokenizer& tokenizer) {
  constexpr std::string_view kAdvice = "a draft model needs the same vocabulary as the model that it guesses for";
  if (draft.vocab_size() != tokenizer.vocab_size())
    return Error(ErrorCode::kInvalidArgument, "{}: has {} tokens, but {} has {}; {}", draft_file.name(),
                 draft.vocab_size(), file.name(), tokenizer.vocab_size(), kAdvice);
  const auto kind = [](bool control) { return control ? "control token" : "token"; };
  for (int32_t i = 0; i < tokenizer.vocab_size(); i++)
    if (draft.Piece(i) != tokenizer.Piece(i) || draft.IsControl(i) != tokenizer.IsControl(i))
      return Error(ErrorCode::kInvalidArgument, "{}: {} {} is {:?}, but in {} it is the {} {:?}; {}", draft_file.name(),
                   kind(draft.IsControl(i)), i, draft.Piece(i), file.name(), kind(tokenizer.IsControl(i)),
                   tokenizer.Piece(i), kAdvice);
  return {};
}

void WarnOfLength(const EngineOptions& o, int32_t context, int32_t trained) {
  if (o.log && context > trained)
    o.log(LogLevel::kWarning, fmt::format("context {} is longer than the {} tokens the model was trained with; quality "
                                          "falls beyond them",
                                          context, trained));
}

}  // namespace

Result<std::unique_ptr<LoadedModel>> LoadedModel::Load(const formats::ModelFile& file, const EngineOptions& o) {
  if (o.draft_max < 1 || o.draft_max > kMaxDraft)
    return Error(ErrorCode::kInvalidArgument, "guesses of {} tokens; 1 to {} can be checked at a time (--draft-max)",
                 o.draft_max, kMaxDraft);
  BONSAI_ASSIGN(auto m, Describe(file, o));
  if (o.draft != nullptr) {
    BONSAI_ASSIGN(m->draft_, Describe(*o.draft, o));
    BONSAI_RETURN_IF_ERROR(CheckSameVocabulary(*o.draft, *m->draft_->tokenizer_, file, *m->tokenizer_));
  }
  BONSAI_RETURN_IF_ERROR(m->Plan(file, o));
  // Where memory is short, the file's cached pages must not stand beside the weights; else they make the next start
  // fast.
  const uint64_t files = file.size() + (o.draft != nullptr ? o.draft->size() : 0);
  const bool drop_cache = m->plan_.available != 0 && m->plan_.total() + files > m->plan_.available;
  BONSAI_RETURN_IF_ERROR(m->Read(file, o, drop_cache));
  if (o.draft != nullptr) BONSAI_RETURN_IF_ERROR(m->draft_->Read(*o.draft, o, drop_cache));
  return m;
}

/// What can be known without a device.
Result<std::unique_ptr<LoadedModel>> LoadedModel::Describe(const formats::ModelFile& file, const EngineOptions& o) {
  std::unique_ptr<LoadedModel> m(new LoadedModel);
  BONSAI_ASSIGN(m->description_, model::Describe(file));
  BONSAI_ASSIGN(m->tokenizer_, text::Tokenizer::FromMetadata(file.metadata()));
  BONSAI_RETURN_IF_ERROR(CheckVocabulary(file, *m->tokenizer_, m->config()));
  if (o.log)
    for (const std::string& warning : file.warnings()) o.log(LogLevel::kWarning, warning);
  BONSAI_ASSIGN(m->default_sampling_, sampling::ParamsFromMetadata(file.metadata()));
  m->draft_max_ = o.draft_max;
  return m;
}

/// Makes the device, and the plans of the model and of its draft model.
Status LoadedModel::Plan(const formats::ModelFile& file, const EngineOptions& o) {
  BONSAI_ASSIGN(device_, kernels::NewCpuDevice({.threads = o.threads, .act = o.act}));
  PlanRequest request{.context = o.context,
                      .batch_rows = o.batch_rows,
                      .k_type = o.k_type,
                      .v_type = o.v_type,
                      .parallel = o.parallel,
                      .kv_memory = o.kv_memory,
                      .available = AvailableMemory(),
                      .draft_max = o.draft_max};
  if (o.draft != nullptr) {
    LoadedModel& draft = *draft_;
    draft.device_ = device_;
    PlanRequest fixed = request;  // no limit yet, and one block: this gives weights and scratch
    fixed.context = kernels::kKvBlock;
    fixed.available = fixed.kv_memory = 0;
    fixed.draft_max = 0;
    BONSAI_ASSIGN(draft.plan_, MakePlan(*o.draft, draft.description_, *device_, fixed));
    request.draft = draft.plan_.weights + draft.plan_.scratch;
  }
  BONSAI_ASSIGN(plan_, MakePlan(file, description_, *device_, request));
  WarnOfLength(o, plan_.context, config().trained_context);
  if (o.draft != nullptr)
    PlanDraftKv(model::KvSpecOf(config(), o.k_type, o.v_type), model::KvSpecOf(draft_->config(), o.k_type, o.v_type),
                plan_, draft_->plan_);
  return {};
}

/// Reads the weights and makes the cache.
Status LoadedModel::Read(const formats::ModelFile& file, const EngineOptions& o, bool drop_cache) {
  BONSAI_ASSIGN(
      model_,
      model::Model::Load(file, *device_, {.max_rows = o.batch_rows, .progress = o.progress, .drop_cache = drop_cache}));
  BONSAI_ASSIGN(kv_, device_->NewKvStore(model::KvSpecOf(config(), o.k_type, o.v_type)));
  const uint64_t blocks = plan_.kv / kv_->spec().BlockBytes();
  pool_.emplace(*kv_, static_cast<int32_t>(std::min<uint64_t>(blocks, std::numeric_limits<int32_t>::max())));
  return {};
}

Status LoadedModel::CheckTokens(std::span<const int32_t> tokens) const {
  if (tokens.empty()) return Error(ErrorCode::kInvalidArgument, "the prompt is empty");
  for (size_t i = 0; i < tokens.size(); i++)
    if (tokens[i] < 0 || tokens[i] >= config().vocab)
      return Error(ErrorCode::kInvalidArgument, "token id {} at position {} is outside the vocabulary (0..{})",
                   tokens[i], i, config().vocab - 1);
  return {};
}

}  // namespace bonsai::engine
