#include "formats/model_file.h"

#include <algorithm>
#include <numeric>

namespace bonsai::formats {

ModelFile::ModelFile(std::unique_ptr<ByteSource> source, std::string container, Metadata metadata,
                     std::vector<TensorInfo> tensors)
    : source_(std::move(source)),
      container_(std::move(container)),
      metadata_(std::move(metadata)),
      tensors_(std::move(tensors)),
      by_name_(tensors_.size()) {
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
  if (const Status read = source_->ReadAt(at, out); !read)
    return read.error().WithPrefix(fmt::format("tensor {} (byte {})", Quote(tensor.name), at));
  return {};
}

}  // namespace bonsai::formats
