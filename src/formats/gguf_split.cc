// Split GGUF: NAME-00001-of-00003.gguf and so on; the keys are those that llama.cpp's gguf-split writes.
#include <algorithm>
#include <filesystem>

#include "formats/gguf.h"
#include "formats/gguf_format.h"
#include "formats/model_dir.h"

namespace bonsai::formats {
namespace {

namespace fs = std::filesystem;

/// "-00002-of-00003.gguf", `number` from 0.
std::string Suffix(uint32_t number, uint32_t count) {
  return fmt::format("-{:05}-of-{:05}.gguf", uint64_t{number} + 1, count);
}

/// Whether `header`, of the file `name`, is part `number` of the set that `first` belongs to.
Status CheckPart(const std::string& name, const gguf::Split& part, uint32_t number, uint32_t count) {
  if (part.count != count)
    return Error(ErrorCode::kCorrupt, "{}: key '{}' (byte {}) says {} files, the model has {}; get the files again",
                 name, gguf::kSplitCountKey, part.key_at, part.count, count);
  if (part.number != number)
    return Error(ErrorCode::kCorrupt, "{}: key 'split.no' says that this is file {} of {}, not {}; get the file again",
                 name, part.number + 1, count, number + 1);
  return {};
}

struct Parts {
  std::vector<std::unique_ptr<ByteSource>> sources;
  std::vector<TensorInfo> tensors;
  std::optional<gguf::Header> first;  // its tensors are moved to the above
};

void AddPart(std::unique_ptr<ByteSource> source, gguf::Header header, Parts& parts) {
  const auto number = static_cast<uint32_t>(parts.sources.size());
  parts.sources.push_back(std::move(source));
  for (TensorInfo& t : header.tensors) {
    t.part = number;
    parts.tensors.push_back(std::move(t));
  }
  if (number == 0) parts.first = std::move(header);
}

Status CheckTensors(const Parts& parts) {
  const std::optional<uint32_t> promised = parts.first->split.tensors;
  if (promised && *promised != parts.tensors.size())
    return Error(ErrorCode::kCorrupt, "{}: key 'split.tensors.count' says {} tensors, its {} files hold {}",
                 parts.sources[0]->name(), *promised, parts.sources.size(), parts.tensors.size());
  std::vector<const TensorInfo*> order;
  for (const TensorInfo& t : parts.tensors) order.push_back(&t);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  for (size_t i = 1; i < order.size(); i++)
    if (order[i]->name == order[i - 1]->name)
      return Error(ErrorCode::kCorrupt, "{}: tensor {} is also in {}", parts.sources[order[i]->part]->name(),
                   Quote(order[i]->name), parts.sources[order[i - 1]->part]->name());
  return {};
}

/// Without `split.*`: they describe the files, and what is written from this model is one file.
Result<Metadata> Joined(const Metadata& first) {
  Metadata joined(first.source());
  for (const auto& [key, value] : first.entries())
    if (!key.starts_with("split.")) BONSAI_RETURN_IF_ERROR(joined.Add(key, value));
  return joined;
}

Result<std::unique_ptr<ModelFile>> OpenSet(const ModelDir& dir, const std::string& stem, uint32_t count,
                                           const OpenOptions& options) {
  Parts parts;
  for (uint32_t i = 0; i < count; i++) {
    auto source = dir.OpenFile(stem + Suffix(i, count));
    if (!source && source.error().code() == ErrorCode::kNotFound)
      return Error(ErrorCode::kNotFound, "{}; it is file {} of {} of a split model", source.error().message(), i + 1,
                   count);
    if (!source) return source.error();
    BONSAI_ASSIGN(gguf::Header header, gguf::ReadHeader(**source, options));
    BONSAI_RETURN_IF_ERROR(CheckPart((*source)->name(), header.split, i, count));
    AddPart(std::move(*source), std::move(header), parts);
  }
  BONSAI_RETURN_IF_ERROR(CheckTensors(parts));
  BONSAI_ASSIGN(Metadata metadata, Joined(parts.first->metadata));
  std::string name = parts.sources[0]->name();
  return std::make_unique<ModelFile>(std::move(name), std::move(parts.sources),
                                     fmt::format("GGUF v{}, {} files", parts.first->version, count),
                                     std::move(metadata), std::move(parts.tensors));
}

}  // namespace

Result<std::unique_ptr<ModelFile>> OpenGgufPath(std::unique_ptr<ByteSource> source, const std::string& path,
                                                const OpenOptions& options) {
  gguf::Split split;
  {
    BONSAI_ASSIGN(gguf::Header header, gguf::ReadHeader(*source, options));
    split = header.split;
    if (split.count == 1)
      return std::make_unique<ModelFile>(std::move(source), fmt::format("GGUF v{}", header.version),
                                         std::move(header.metadata), std::move(header.tensors));
  }
  const fs::path file(path);
  const std::string name = file.filename().string(), suffix = Suffix(split.number, split.count);
  if (!name.ends_with(suffix))
    return Error(ErrorCode::kCorrupt,
                 "{}: this is file {} of {} of a split model, but its name does not end in {}; rename all of them",
                 path, split.number + 1, split.count, suffix);
  BONSAI_ASSIGN(const ModelDir dir, ModelDir::Open(file.parent_path().string()));
  return OpenSet(dir, name.substr(0, name.size() - suffix.size()), split.count, options);
}

}  // namespace bonsai::formats
