#include <algorithm>
#include <limits>

#include "base/json.h"
#include "base/utf8.h"
#include "formats/metadata.h"
#include "formats/safetensors.h"

namespace bonsai::formats::safetensors {
namespace {

constexpr uint64_t kMaxBytes = std::numeric_limits<int64_t>::max();

/// The bytes of each tensor.
Result<std::vector<uint64_t>> SizesOf(std::span<const Tensor> tensors) {
  std::vector<uint64_t> sizes;
  std::vector<std::string_view> names;
  uint64_t sum = 0;
  for (const Tensor& t : tensors) {
    const auto refuse = [&](std::string_view what) {
      return Error(ErrorCode::kInvalidArgument, "tensor {} {}", Quote(t.name), what);
    };
    if (t.name.empty() || !IsUtf8(t.name) || t.name == kMetadataKey) return refuse("has a name that cannot be written");
    const std::optional<uint64_t> bytes = BytesOf(*t.dtype, t.shape);
    if (!bytes || *bytes > kMaxBytes - sum) return refuse("is too large, or no whole number of bytes");
    sum += *bytes;
    sizes.push_back(*bytes);
    names.push_back(t.name);
  }
  std::sort(names.begin(), names.end());
  if (const auto twin = std::adjacent_find(names.begin(), names.end()); twin != names.end())
    return Error(ErrorCode::kInvalidArgument, "tensor {} is given twice", Quote(*twin));
  return sizes;
}

/// With its length in front, and spaces at the end so that the data begin at a multiple of 8.
Result<std::string> HeaderText(std::span<const Tensor> tensors, std::span<const uint64_t> sizes) {
  std::string text = fmt::format("{{\"{}\":{{\"format\":\"pt\"}}", kMetadataKey);
  uint64_t offset = 0;
  for (size_t i = 0; i < tensors.size(); i++) {
    text += fmt::format(R"(,{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                        nlohmann::json(tensors[i].name).dump(), tensors[i].dtype->name,
                        fmt::join(tensors[i].shape, ","), offset, offset + sizes[i]);
    offset += sizes[i];
  }
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  if (length > kMaxHeaderBytes)
    return Error(ErrorCode::kInvalidArgument, "{} tensors make a header of {} bytes, more than {}", tensors.size(),
                 length, kMaxHeaderBytes);
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + text;
}

}  // namespace

Result<uint64_t> FileBytes(std::span<const Tensor> tensors) {
  BONSAI_ASSIGN(const std::vector<uint64_t> sizes, SizesOf(tensors));
  BONSAI_ASSIGN(const std::string header, HeaderText(tensors, sizes));
  uint64_t bytes = header.size();
  for (const uint64_t size : sizes) bytes += size;
  return bytes;
}

Status Write(std::span<const Tensor> tensors, const GgufFill& fill, const GgufSink& sink) {
  BONSAI_ASSIGN(const std::vector<uint64_t> sizes, SizesOf(tensors));
  BONSAI_ASSIGN(const std::string header, HeaderText(tensors, sizes));
  BONSAI_RETURN_IF_ERROR(sink(std::as_bytes(std::span(header))));
  for (size_t i = 0; i < tensors.size(); i++)
    BONSAI_RETURN_IF_ERROR(EmitExactly(tensors[i].name, sizes[i], i, fill, sink));
  return {};
}

}  // namespace bonsai::formats::safetensors
