#include "formats/hf_dir.h"

#include "formats/hf_tensors.h"

namespace bonsai::formats {
namespace {

std::string ContainerName(const HfStorage& storage, size_t files) {
  const std::string_view name = storage.mlx ? "MLX safetensors" : storage.bitnet ? "BitNet safetensors" : "safetensors";
  return files == 1 ? std::string(name) : fmt::format("{}, {} files", name, files);
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
  std::string container = ContainerName(storage, weights.parts.size());
  return std::make_unique<ModelFile>(dir.path(), std::move(weights.parts), std::move(container), std::move(metadata),
                                     std::move(tensors));
}

}  // namespace bonsai::formats
