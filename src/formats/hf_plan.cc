// The plan of a directory: names, sizes and small files (see hf_writer.h).
#include <algorithm>
#include <cstdlib>

#include "base/json.h"
#include "formats/hf_names.h"
#include "formats/hf_shards.h"
#include "formats/hf_tensors.h"
#include "formats/hf_tokenizer.h"
#include "formats/hf_writer.h"

namespace bonsai::formats {
namespace {

using Json = nlohmann::json;

HfPlan::File TextFile(std::string name, std::string text) {
  const uint64_t bytes = text.size();
  return {.name = std::move(name), .bytes = bytes, .text = std::move(text)};
}

/// Ids of special tokens, which Hugging Face has in both configs. Some files have 2^32 - 1 for a token that there is
/// not.
Status AddTokenIds(const Metadata& metadata, Json& out) {
  if (!metadata.Has("tokenizer.ggml.tokens")) return {};
  BONSAI_ASSIGN(const StringList* tokens, metadata.GetStrings("tokenizer.ggml.tokens"));
  for (const auto& [hf, gguf] : {std::pair("bos_token_id", "tokenizer.ggml.bos_token_id"),
                                 std::pair("eos_token_id", "tokenizer.ggml.eos_token_id"),
                                 std::pair("pad_token_id", "tokenizer.ggml.padding_token_id")}) {
    if (!metadata.Has(gguf)) continue;
    BONSAI_ASSIGN(const uint32_t id, metadata.GetU32(gguf));
    if (id < tokens->size()) out[hf] = id;
  }
  return {};
}

/// PyTorch's name of the type that most weights have as floats.
std::string_view TorchDtype(const std::vector<GgufTensor>& tensors) {
  uint64_t most = 0;
  std::string_view dtype = "float16";
  for (const GgufTensor& t : tensors) {
    uint64_t elements = t.type->is_float ? 1 : 0;
    for (const uint64_t d : t.shape) elements *= d;
    if (elements <= most) continue;
    most = elements;
    dtype = t.type->name == "BF16" ? "bfloat16" : t.type->name == "F16" ? "float16" : "float32";
  }
  return dtype;
}

Result<std::string> ConfigText(const Metadata& metadata, const HfModel& model, const std::vector<GgufTensor>& tensors,
                               const std::optional<MlxQuantization>& mlx) {
  BONSAI_ASSIGN(const std::string text, WriteHfConfig(metadata, model));
  BONSAI_ASSIGN(Json config, ParseJson("config.json", text));
  // Rows of the embedding, which may be more than there are tokens: other programs make their matrix by this number.
  for (const GgufTensor& t : tensors)
    if (t.name == "token_embd.weight" && !t.shape.empty()) config["vocab_size"] = t.shape[0];
  config["torch_dtype"] = mlx ? "float16" : TorchDtype(tensors);
  BONSAI_RETURN_IF_ERROR(AddTokenIds(metadata, config));
  // mlx-lm reads the first, transformers' tools the second; MLX itself writes both.
  for (const char* key : {"quantization", "quantization_config"})
    if (mlx) config[key] = {{"bits", mlx->bits}, {"group_size", mlx->group}};
  return config.dump(2) + "\n";
}

/// The recommended sampling, as AddHfGenerationConfig reads it.
Result<std::string> GenerationText(const Metadata& metadata, const HfTokenizerFiles& tokenizer) {
  Json out = Json::object();
  BONSAI_RETURN_IF_ERROR(AddTokenIds(metadata, out));
  if (tokenizer.generation_config_json) {  // knows when several tokens end a text
    BONSAI_ASSIGN(const Json ids, ParseJson("generation_config.json", *tokenizer.generation_config_json));
    out.update(ids);
  }
  for (const auto& [hf, gguf] :
       {std::pair("temperature", "temp"), std::pair("top_k", "top_k"), std::pair("top_p", "top_p"),
        std::pair("min_p", "min_p"), std::pair("repetition_penalty", "penalty_repeat")}) {
    const std::string key = std::string("general.sampling.") + gguf;
    if (!metadata.Has(key)) continue;
    if (std::string_view(hf) == "top_k") {
      BONSAI_ASSIGN(out[hf], metadata.GetU32(key));
      continue;
    }
    BONSAI_ASSIGN(const float value, metadata.GetF32(key));
    // As people write it: 0.6, not the 0.6000000238418579 that the float is.
    out[hf] = std::strtod(fmt::format("{}", value).c_str(), nullptr);
  }
  // Temperature 0 is not a temperature there, but no sampling.
  const auto temperature = out.find("temperature");
  const bool greedy = temperature != out.end() && *temperature == 0.0;
  if (temperature != out.end()) out["do_sample"] = !greedy;
  if (greedy) out.erase("temperature");
  return out.dump(2) + "\n";
}

Result<std::string> IndexText(const HfPlan& plan) {
  Json map = Json::object();
  uint64_t total = 0;
  for (const HfPlan::File& file : plan.files) {
    if (!file.text.empty()) continue;
    BONSAI_ASSIGN(const std::vector<HfShardTensor> tensors, HfShardTensors(plan, file));
    for (const HfShardTensor& t : tensors) {
      map[t.name] = file.name;
      total += *safetensors::BytesOf(*t.dtype, t.shape);
    }
  }
  return Json{{"metadata", {{"total_size", total}}}, {"weight_map", std::move(map)}}.dump(2) + "\n";
}

/// The one quantisation of all tensors that are quantised; none when all are floats.
Result<std::optional<MlxQuantization>> QuantizationOf(const Metadata& metadata,
                                                      const std::vector<GgufTensor>& tensors) {
  const GgufTensor* first = nullptr;
  for (const GgufTensor& t : tensors) {
    if (t.type == nullptr)
      return Error(ErrorCode::kInvalidArgument, "{}: tensor {} has no type", metadata.source(), Quote(t.name));
    if (t.type->is_float) continue;
    if (!MlxQuantizationOf(*t.type))
      return Error(ErrorCode::kUnsupported,
                   "{}: tensor {} has type {}, which MLX cannot hold; convert to Q1_0, Q1_0_G32, Q2_0, PQ2_0 or floats",
                   metadata.source(), Quote(t.name), t.type->name);
    if (first != nullptr && first->type != t.type)
      return Error(
          ErrorCode::kUnsupported,
          "{}: tensor {} has type {}, tensor {} has {}: an MLX model has one quantisation; convert them to one",
          metadata.source(), Quote(first->name), first->type->name, Quote(t.name), t.type->name);
    first = &t;
  }
  return first == nullptr ? std::nullopt : MlxQuantizationOf(*first->type);
}

/// Consecutive tensors, as many a file as fit; sizes and names are left to the caller.
Result<std::vector<HfPlan::File>> Shards(const HfPlan& plan, uint64_t shard_bytes) {
  std::vector<HfPlan::File> shards(1);
  uint64_t in_shard = 0;
  for (size_t i = 0; i < plan.tensors.size(); i++) {
    BONSAI_ASSIGN(const std::vector<HfShardTensor> made, HfTensorsOf(plan, i));
    uint64_t bytes = 0;
    for (const HfShardTensor& t : made) bytes += safetensors::BytesOf(*t.dtype, t.shape).value_or(0);
    if (in_shard > 0 && bytes > shard_bytes - std::min(in_shard, shard_bytes)) {
      shards.push_back({.first = i});
      in_shard = 0;
    }
    in_shard += bytes;
    shards.back().end = i + 1;
  }
  for (size_t i = 0; i < shards.size(); i++)
    shards[i].name = shards.size() == 1 ? "model.safetensors"
                                        : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
  return shards;
}

}  // namespace

Result<HfModel> HfModelOf(const ModelFile& file) {
  HfModel model;
  BONSAI_ASSIGN(const std::string_view arch, file.metadata().GetString("general.architecture"));
  model.arch = arch;
  model.tied = file.FindTensor("output.weight") == nullptr;
  const TensorInfo* factors = file.FindTensor(kRopeFactors);
  if (factors == nullptr) return model;
  constexpr uint64_t kMost = 65536;  // half the width of a head
  if (factors->type->name != "F32" || factors->elements() > kMost)
    return Error(ErrorCode::kCorrupt, "{}: tensor '{}' is not at most {} floats", file.name(), kRopeFactors, kMost);
  model.rope_factors.resize(factors->elements());
  BONSAI_RETURN_IF_ERROR(
      file.ReadRows(*factors, 0, factors->rows(), std::as_writable_bytes(std::span(model.rope_factors))));
  return model;
}

Result<HfPlan> PlanHfDir(const Metadata& metadata, const HfModel& model, std::vector<GgufTensor> tensors,
                         const HfWriteOptions& options) {
  HfPlan plan;
  plan.tensors = std::move(tensors);
  plan.arch = model.arch;
  BONSAI_ASSIGN(plan.head_width, HeadWidthOf(metadata, model.arch));
  BONSAI_ASSIGN(const std::optional<MlxQuantization> mlx, QuantizationOf(metadata, plan.tensors));
  BONSAI_ASSIGN(std::string config, ConfigText(metadata, model, plan.tensors, mlx));
  HfTokenizerFiles tokenizer;
  if (metadata.Has("tokenizer.ggml.model")) {
    BONSAI_ASSIGN(tokenizer, WriteHfTokenizer(metadata));
  }
  BONSAI_ASSIGN(std::string generation, GenerationText(metadata, tokenizer));
  plan.files.push_back(TextFile("config.json", std::move(config)));
  plan.files.push_back(TextFile("generation_config.json", std::move(generation)));
  if (tokenizer.tokenizer_json) plan.files.push_back(TextFile("tokenizer.json", std::move(*tokenizer.tokenizer_json)));
  if (tokenizer.tokenizer_config_json)
    plan.files.push_back(TextFile("tokenizer_config.json", std::move(*tokenizer.tokenizer_config_json)));
  Result<std::vector<HfPlan::File>> shards = Shards(plan, options.shard_bytes);
  if (!shards) return shards.error().WithPrefix(metadata.source());
  for (HfPlan::File& shard : *shards) {
    BONSAI_ASSIGN(shard.bytes, HfShardBytes(plan, shard));
    plan.files.push_back(std::move(shard));
  }
  if (shards->size() > 1) {
    BONSAI_ASSIGN(std::string index, IndexText(plan));
    plan.files.push_back(TextFile("model.safetensors.index.json", std::move(index)));
  }
  for (const HfPlan::File& file : plan.files) plan.bytes += file.bytes;
  return plan;
}

}  // namespace bonsai::formats
