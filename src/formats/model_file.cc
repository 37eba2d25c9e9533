#include "formats/model_file.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace bonsai::formats {
namespace {

std::vector<std::unique_ptr<ByteSource>> One(std::unique_ptr<ByteSource> source) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(std::move(source));
  return parts;
}

}  // namespace

ModelFile::ModelFile(std::unique_ptr<ByteSource> source, std::string container, Metadata metadata,
                     std::vector<TensorInfo> tensors)
    : ModelFile({}, One(std::move(source)), std::move(container), std::move(metadata), std::move(tensors)) {
  name_ = parts_[0]->name();  // not an argument above: the source may be moved before its name is asked for
}

ModelFile::ModelFile(std::string name, std::vector<std::unique_ptr<ByteSource>> parts, std::string container,
                     Metadata metadata, std::vector<TensorInfo> tensors)
    : name_(std::move(name)),
      parts_(std::move(parts)),
      container_(std::move(container)),
      metadata_(std::move(metadata)),
      tensors_(std::move(tensors)),
      by_name_(tensors_.size()) {
  BONSAI_CHECK(!parts_.empty());
  for (const TensorInfo& t : tensors_) BONSAI_CHECK(t.part < parts_.size());
  std::iota(by_name_.begin(), by_name_.end(), 0u);
  std::sort(by_name_.begin(), by_name_.end(),
            [&](uint32_t a, uint32_t b) { return tensors_[a].name < tensors_[b].name; });
}

const TensorInfo* ModelFile::FindTensor(std::string_view name) const {
  const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                   [&](uint32_t i, std::string_view n) { return tensors_[i].name < n; });
  return at != by_name_.end() && tensors_[*at].name == name ? &tensors_[*at] : nullptr;
}

Status ModelFile::ReadRows(const TensorInfo& tensor, uint64_t row, uint64_t rows, std::span<std::byte> out) const {
  const uint64_t all = tensor.rows(), row_bytes = tensor.bytes / all;
  const uint64_t at = tensor.offset + std::min(row, all) * row_bytes;
  if (row > all || rows > all - row)
    return Error(ErrorCode::kInvalidArgument,
                 "{}: tensor {} (byte {}): rows {} and the {} after it were asked for, it has {}", name(),
                 Quote(tensor.name), at, row, row, rows, all);
  if (out.size() != rows * row_bytes)
    return Error(ErrorCode::kInvalidArgument, "{}: tensor {} (byte {}): {} rows are {} bytes, the buffer has {}",
                 name(), Quote(tensor.name), at, rows, rows * row_bytes, out.size());
  const Status read =
      tensor.reader != nullptr ? tensor.reader->Read(row, rows, out) : parts_[tensor.part]->ReadAt(at, out);
  if (!read) return read.error().WithPrefix(fmt::format("tensor {} (byte {})", Quote(tensor.name), at));
  return {};
}

void ModelFile::DropCache(const TensorInfo& tensor, uint64_t row, uint64_t rows) const {
  if (tensor.reader != nullptr) return;
  const uint64_t row_bytes = tensor.bytes / tensor.rows();
  parts_[tensor.part]->DropCache(tensor.offset + row * row_bytes, rows * row_bytes);
}

uint64_t ModelFile::size() const {
  uint64_t sum = 0;
  for (const auto& part : parts_) sum += part->size();
  return sum;
}

}  // namespace bonsai::formats
