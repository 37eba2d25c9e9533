#include "formats/hf_weights.h"

#include <algorithm>
#include <map>

#include "base/json.h"
#include "formats/hf_dir.h"
#include "formats/metadata.h"

namespace bonsai::formats {
namespace {

constexpr std::string_view kSuffix = ".safetensors";
constexpr std::string_view kSingle = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";

std::vector<std::string> NamesEnding(const ModelDir& dir, std::string_view suffix) {
  std::vector<std::string> names;
  for (const std::string& name : dir.names())
    if (name.ends_with(suffix)) names.push_back(name);
  return names;
}

/// A few names for a message.
std::string Listed(const std::vector<std::string>& names) {
  constexpr size_t kMost = 5;
  std::string list;
  for (size_t i = 0; i < std::min(names.size(), kMost); i++) list += (i == 0 ? "" : ", ") + Quote(names[i]);
  return names.size() > kMost ? fmt::format("{} and {} more", list, names.size() - kMost) : list;
}

/// The directory has no weights that we read: says what it has instead.
ErrorValue NoWeights(const ModelDir& dir) {
  if (const auto names = NamesEnding(dir, ".gguf"); !names.empty())
    return Error(ErrorCode::kInvalidArgument, "{}: a directory of GGUF files; name one of them: {}", dir.path(),
                 Listed(names));
  if (const auto names = NamesEnding(dir, kSuffix); !names.empty())
    return Error(ErrorCode::kInvalidArgument, "{}: several safetensors files and no {}; name one of them: {}",
                 dir.path(), kIndex, Listed(names));
  for (const std::string_view suffix : {".bin", ".pt", ".pth", ".ckpt"})
    if (const auto names = NamesEnding(dir, suffix); !names.empty())
      return Error(ErrorCode::kUnsupported, "{}: the weights are Python pickles ({}); convert them to safetensors",
                   dir.path(), Listed(names));
  return Error(ErrorCode::kNotFound, "{}: no model in this directory: neither {} nor {}", dir.path(), kSingle, kIndex);
}

Result<std::string> FindWeights(const ModelDir& dir) {
  for (const std::string_view name : {kSingle, kIndex})
    if (dir.Has(name)) return std::string(name);
  const auto names = NamesEnding(dir, kSuffix);
  if (names.size() != 1) return NoWeights(dir);
  return names[0];
}

Status AddShard(const ModelDir& dir, std::string_view file, HfWeights& weights) {
  BONSAI_ASSIGN(auto source, dir.OpenFile(file));
  BONSAI_ASSIGN(std::vector<safetensors::Tensor> tensors, safetensors::ReadHeader(*source));
  const auto part = static_cast<uint32_t>(weights.parts.size());
  weights.parts.push_back(std::move(source));
  for (safetensors::Tensor& t : tensors) weights.tensors.push_back({std::move(t), part});
  return {};
}

Status SortByName(HfWeights& weights) {
  std::stable_sort(weights.tensors.begin(), weights.tensors.end(),
                   [](const HfTensor& a, const HfTensor& b) { return a.name < b.name; });
  for (size_t i = 1; i < weights.tensors.size(); i++) {
    const HfTensor &before = weights.tensors[i - 1], &t = weights.tensors[i];
    if (before.name == t.name)
      return Error(ErrorCode::kCorrupt, "{}: tensor {} is also in {}", weights.parts[t.part]->name(), Quote(t.name),
                   weights.parts[before.part]->name());
  }
  return {};
}

Result<HfWeights> OpenSharded(const ModelDir& dir, std::string_view index) {
  BONSAI_ASSIGN(const std::string text, dir.ReadText(index, ModelDir::kMaxConfigBytes));
  const std::string name = dir.path() + "/" + std::string(index);
  BONSAI_ASSIGN(const std::vector<HfIndexEntry> entries, ParseHfIndex(name, text));
  std::map<std::string_view, uint32_t> part_of;
  for (const HfIndexEntry& e : entries) part_of.emplace(e.file, 0);
  if (part_of.size() > kMaxHfShards)
    return Error(ErrorCode::kUnsupported, "{}: {} files, more than {}", name, part_of.size(), kMaxHfShards);
  HfWeights weights;
  for (auto& [file, part] : part_of) {
    part = static_cast<uint32_t>(weights.parts.size());
    if (const Status added = AddShard(dir, file, weights); !added) return added.error().WithPrefix(name);
  }
  BONSAI_RETURN_IF_ERROR(SortByName(weights));
  for (const HfIndexEntry& e : entries) {
    const HfTensor* tensor = weights.Find(e.tensor);
    if (tensor == nullptr || tensor->part != part_of.at(e.file))
      return Error(ErrorCode::kCorrupt, "{}: tensor {} is not in {}; get the files again", name, Quote(e.tensor),
                   Quote(e.file));
  }
  return weights;
}

}  // namespace

const HfTensor* HfWeights::Find(std::string_view name) const {
  const auto at = std::lower_bound(tensors.begin(), tensors.end(), name,
                                   [](const HfTensor& t, std::string_view n) { return t.name < n; });
  return at != tensors.end() && at->name == name ? &*at : nullptr;
}

Result<std::vector<HfIndexEntry>> ParseHfIndex(std::string_view name, std::string_view text) {
  BONSAI_ASSIGN(const nlohmann::json index, ParseJson(name, text, {.bytes = ModelDir::kMaxConfigBytes}));
  const auto refuse = [&](std::string_view what) { return Error(ErrorCode::kCorrupt, "{}: {}", name, what); };
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object())
    return refuse("no object 'weight_map', so not an index of safetensors files");
  std::vector<HfIndexEntry> entries;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    if (!file.is_string()) return refuse(fmt::format("the file of tensor {} is no string", Quote(tensor)));
    entries.push_back({tensor, file.get<std::string>()});
  }
  if (entries.empty()) return refuse("'weight_map' is empty");
  return entries;
}

Result<HfWeights> OpenHfWeights(const ModelDir& dir, std::string_view file) {
  std::string name(file);
  if (name.empty()) {
    BONSAI_ASSIGN(name, FindWeights(dir));
  }
  if (name.ends_with(kHfIndexSuffix)) return OpenSharded(dir, name);
  // One file of a sharded model stands for all of it.
  if (dir.Has(kIndex) && !dir.Has(kSingle)) {
    BONSAI_ASSIGN(const std::string text, dir.ReadText(kIndex, ModelDir::kMaxConfigBytes));
    BONSAI_ASSIGN(const auto entries, ParseHfIndex(dir.path() + "/" + std::string(kIndex), text));
    if (std::any_of(entries.begin(), entries.end(), [&](const HfIndexEntry& e) { return e.file == name; }))
      return OpenSharded(dir, kIndex);
  }
  HfWeights weights;
  BONSAI_RETURN_IF_ERROR(AddShard(dir, name, weights));
  BONSAI_RETURN_IF_ERROR(SortByName(weights));
  return weights;
}

}  // namespace bonsai::formats
