#include "formats/hf_dir.h"

#include "formats/hf_tensors.h"
#include "formats/hf_tokenizer.h"

namespace bonsai::formats {
namespace {

std::string ContainerName(const HfStorage& storage, size_t files) {
  const std::string_view name = storage.mlx ? "MLX safetensors" : storage.bitnet ? "BitNet safetensors" : "safetensors";
  return files == 1 ? std::string(name) : fmt::format("{}, {} files", name, files);
}

struct TokenizerFile {
  const char* name;
  std::optional<std::string> HfTokenizerFiles::*text;
};
constexpr TokenizerFile kTokenizerFiles[] = {
    {"tokenizer.json", &HfTokenizerFiles::tokenizer_json},
    {"tokenizer_config.json", &HfTokenizerFiles::tokenizer_config_json},
    {"vocab.json", &HfTokenizerFiles::vocab_json},
    {"merges.txt", &HfTokenizerFiles::merges_txt},
    {"special_tokens_map.json", &HfTokenizerFiles::special_tokens_map_json},
    {"added_tokens.json", &HfTokenizerFiles::added_tokens_json},
    {"chat_template.jinja", &HfTokenizerFiles::chat_template_jinja},
};

/// A directory without a tokenizer is a model all the same: it can be inspected and converted.
/// `files` holds the configs already.
Status AddTokenizer(const ModelDir& dir, HfTokenizerFiles files, const std::vector<TensorInfo>& tensors,
                    Metadata& metadata) {
  if (!dir.Has("tokenizer.json") && !dir.Has("vocab.json")) return {};
  files.name = dir.path();
  for (const TokenizerFile& file : kTokenizerFiles) {
    BONSAI_ASSIGN(files.*file.text, dir.ReadTextIfAny(file.name, ModelDir::kMaxTokenizerBytes));
  }
  uint64_t rows = 0;
  for (const TensorInfo& t : tensors)
    if (t.name == "token_embd.weight") rows = t.rows();
  return AddHfTokenizer(files, static_cast<int64_t>(rows), metadata);
}

}  // namespace

Result<std::unique_ptr<ModelFile>> OpenHfDir(const std::string& path, std::string_view file, const OpenOptions&) {
  BONSAI_ASSIGN(const ModelDir dir, ModelDir::Open(path));
  // First: what the directory holds instead of weights says more than that config.json is missing.
  BONSAI_ASSIGN(HfWeights weights, OpenHfWeights(dir, file));
  const std::string config_name = dir.path() + "/config.json";
  BONSAI_ASSIGN(const std::string config, dir.ReadText("config.json", ModelDir::kMaxConfigBytes));
  Metadata metadata(dir.path());
  BONSAI_ASSIGN(const HfModel model, AddHfConfig(config_name, config, metadata));
  BONSAI_ASSIGN(const HfStorage storage, ReadHfStorage(config_name, config));
  BONSAI_ASSIGN(const auto generation, dir.ReadTextIfAny("generation_config.json", ModelDir::kMaxConfigBytes));
  if (generation)
    BONSAI_RETURN_IF_ERROR(AddHfGenerationConfig(dir.path() + "/generation_config.json", *generation, metadata));
  BONSAI_ASSIGN(const uint32_t head_width, HeadWidthOf(metadata, model.arch));
  BONSAI_ASSIGN(std::vector<TensorInfo> tensors, MapHfTensors({weights, model, storage, head_width}));
  HfTokenizerFiles files;
  files.config_json = config;
  files.generation_config_json = generation;
  BONSAI_RETURN_IF_ERROR(AddTokenizer(dir, std::move(files), tensors, metadata));
  std::string container = ContainerName(storage, weights.parts.size());
  return std::make_unique<ModelFile>(dir.path(), std::move(weights.parts), std::move(container), std::move(metadata),
                                     std::move(tensors));
}

}  // namespace bonsai::formats
