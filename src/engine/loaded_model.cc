#include "engine/loaded_model.h"

#include <limits>

#include "base/machine.h"

namespace bonsai::engine {
namespace {

Status CheckVocabulary(const formats::ModelFile& file, const text::Tokenizer& tokenizer, const model::Config& config) {
  if (tokenizer.vocab_size() > config.vocab)
    return Error(ErrorCode::kCorrupt, "{}: the tokenizer has {} tokens, but token_embd.weight only {} rows",
                 file.name(), tokenizer.vocab_size(), config.vocab);
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
  BONSAI_ASSIGN(const model::Description description, model::Describe(file));
  std::unique_ptr<LoadedModel> m(new LoadedModel);
  BONSAI_ASSIGN(m->tokenizer_, text::Tokenizer::FromMetadata(file.metadata()));
  BONSAI_RETURN_IF_ERROR(CheckVocabulary(file, *m->tokenizer_, description.config));
  if (o.log)
    for (const std::string& warning : file.warnings()) o.log(LogLevel::kWarning, warning);
  BONSAI_ASSIGN(m->default_sampling_, sampling::ParamsFromMetadata(file.metadata()));
  BONSAI_ASSIGN(m->device_, kernels::NewCpuDevice({.threads = o.threads, .act = o.act}));
  const PlanRequest request{.context = o.context,
                            .batch_rows = o.batch_rows,
                            .k_type = o.k_type,
                            .v_type = o.v_type,
                            .parallel = o.parallel,
                            .kv_memory = o.kv_memory,
                            .available = AvailableMemory()};
  BONSAI_ASSIGN(m->plan_, MakePlan(file, description, *m->device_, request));
  WarnOfLength(o, m->plan_.context, description.config.trained_context);
  // Where memory is short, the file's cached pages must not stand beside the weights; else they make the next start
  // fast.
  const bool drop_cache = m->plan_.available != 0 && m->plan_.total() + file.size() > m->plan_.available;
  BONSAI_ASSIGN(m->model_,
                model::Model::Load(file, *m->device_,
                                   {.max_rows = o.batch_rows, .progress = o.progress, .drop_cache = drop_cache}));
  BONSAI_ASSIGN(m->kv_, m->device_->NewKvStore(model::KvSpecOf(description.config, o.k_type, o.v_type)));
  const uint64_t blocks = m->plan_.kv / m->kv_->spec().BlockBytes();
  m->pool_.emplace(*m->kv_, static_cast<int32_t>(std::min<uint64_t>(blocks, std::numeric_limits<int32_t>::max())));
  return m;
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
