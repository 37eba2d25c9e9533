#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "base/json.h"
#include "formats/metadata.h"
#include "formats/safetensors.h"

namespace bonsai::formats::safetensors {
namespace {

using Json = nlohmann::json;

constexpr Dtype kDtypes[] = {
    {"F32", 32, "F32"}, {"F16", 16, "F16"}, {"BF16", 16, "BF16"}, {"U8", 8, ""},      {"I8", 8, ""},
    {"U16", 16, ""},    {"I16", 16, ""},    {"U32", 32, ""},      {"I32", 32, ""},    {"U64", 64, ""},
    {"I64", 64, ""},    {"F64", 64, ""},    {"BOOL", 8, ""},      {"F8_E4M3", 8, ""}, {"F8_E5M2", 8, ""},
    {"F8_E8M0", 8, ""}, {"F6_E2M3", 6, ""}, {"F6_E3M2", 6, ""},   {"F4", 4, ""},      {"C64", 64, ""},
};

constexpr uint64_t kMaxDimensions = 16;
constexpr size_t kMaxNameBytes = 1024;

/// Dimensions or offsets: at most `max` integers that are not negative.
std::optional<std::vector<uint64_t>> Numbers(const Json& json, size_t max) {
  if (!json.is_array() || json.size() > max) return std::nullopt;
  std::vector<uint64_t> numbers;
  for (const Json& n : json) {
    if (!n.is_number_unsigned()) return std::nullopt;
    numbers.push_back(n.get<uint64_t>());
  }
  return numbers;
}

/// The member of an object, or null's value.
const Json& Member(const Json& object, const char* key) {
  static const Json kNone;
  const auto at = object.find(key);
  return at == object.end() ? kNone : *at;
}

std::string NameProblem(std::string_view name) {
  if (name.empty()) return "has no name";
  if (name.size() > kMaxNameBytes)
    return fmt::format("has a name of {} bytes, more than {}", name.size(), kMaxNameBytes);
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; };
  return std::any_of(name.begin(), name.end(), is_control) ? "has a control character in its name" : "";
}

/// `data` is where offsets count from.
Result<Tensor> ReadTensor(const ByteSource& source, const std::string& name, const Json& entry, uint64_t data) {
  Tensor tensor;
  tensor.name = name;
  const auto fail = [&](ErrorCode code, std::string_view what) {
    return Error(code, "{}: tensor {} {}", source.name(), Quote(name), what);
  };
  if (const std::string problem = NameProblem(name); !problem.empty()) return fail(ErrorCode::kCorrupt, problem);
  if (!entry.is_object() || entry.size() != 3)
    return fail(ErrorCode::kCorrupt, "is not described by dtype, shape and data_offsets");
  const Json& dtype = Member(entry, "dtype");
  if (!dtype.is_string()) return fail(ErrorCode::kCorrupt, "has no dtype");
  tensor.dtype = FindDtype(dtype.get_ref<const std::string&>());
  if (tensor.dtype == nullptr)
    return fail(ErrorCode::kUnsupported, fmt::format("has the unknown dtype {}", Quote(dtype.get<std::string>())));
  auto shape = Numbers(Member(entry, "shape"), kMaxDimensions);
  if (!shape) return fail(ErrorCode::kCorrupt, fmt::format("has no shape of at most {} numbers", kMaxDimensions));
  tensor.shape = std::move(*shape);
  const auto offsets = Numbers(Member(entry, "data_offsets"), 2);
  if (!offsets || offsets->size() != 2) return fail(ErrorCode::kCorrupt, "has no data_offsets of two numbers");
  const uint64_t begin = (*offsets)[0], end = (*offsets)[1], size = source.size() - data;
  if (begin > end || end > size)
    return fail(
        ErrorCode::kCorrupt,
        fmt::format("has data_offsets {} to {} (from byte {}), outside the file ({} bytes); the file is truncated",
                    begin, end, data, source.size()));
  const std::optional<uint64_t> bytes = BytesOf(*tensor.dtype, tensor.shape);
  if (!bytes || *bytes != end - begin)
    return fail(ErrorCode::kCorrupt,
                fmt::format("has {} bytes of data (byte {}), not what its shape [{}] takes as {}", end - begin,
                            data + begin, fmt::join(tensor.shape, ", "), tensor.dtype->name));
  tensor.offset = data + begin;
  tensor.bytes = *bytes;
  return tensor;
}

/// Every byte from `data` on belongs to exactly one tensor; they are sorted by offset.
Status CheckSpans(const ByteSource& source, const std::vector<Tensor>& tensors, uint64_t data) {
  uint64_t at = data;
  for (const Tensor& t : tensors) {
    if (t.offset < at)
      return Error(ErrorCode::kCorrupt,
                   "{}: tensor {} (byte {}): its data overlap the tensor before, which ends at byte {}", source.name(),
                   Quote(t.name), t.offset, at);
    if (t.offset > at)
      return Error(ErrorCode::kCorrupt, "{}: tensor {} (byte {}): the {} bytes before it belong to no tensor",
                   source.name(), Quote(t.name), t.offset, t.offset - at);
    at += t.bytes;
  }
  if (at != source.size())
    return Error(ErrorCode::kCorrupt, "{}: the {} bytes from byte {} to the end belong to no tensor", source.name(),
                 source.size() - at, at);
  return {};
}

Result<std::string> ReadHeaderText(const ByteSource& source) {
  uint64_t length = 0;
  if (source.size() < sizeof length)
    return Error(ErrorCode::kCorrupt, "{}: {} bytes, too short for safetensors", source.name(), source.size());
  BONSAI_RETURN_IF_ERROR(source.ReadAt(0, std::as_writable_bytes(std::span(&length, 1))));
  if (length > kMaxHeaderBytes)
    return Error(ErrorCode::kUnsupported, "{}: a header of {} bytes (byte 0), more than {}", source.name(), length,
                 kMaxHeaderBytes);
  if (length > source.size() - sizeof length)
    return Error(ErrorCode::kCorrupt, "{}: a header of {} bytes (byte 0), the file has {}; the file is truncated",
                 source.name(), length, source.size());
  std::string text(length, '\0');
  BONSAI_RETURN_IF_ERROR(source.ReadAt(sizeof length, std::as_writable_bytes(std::span(text))));
  return text;
}

}  // namespace

const Dtype* FindDtype(std::string_view name) {
  const auto at = std::find_if(std::begin(kDtypes), std::end(kDtypes), [&](const Dtype& d) { return d.name == name; });
  return at == std::end(kDtypes) ? nullptr : at;
}

std::optional<uint64_t> BytesOf(const Dtype& dtype, std::span<const uint64_t> shape) {
  constexpr uint64_t kMaxBits = std::numeric_limits<int64_t>::max();
  // Zeros first: {2^63, 2^63, 0} is empty, not too large.
  if (std::count(shape.begin(), shape.end(), 0u) != 0) return 0;
  uint64_t bits = dtype.bits;
  for (const uint64_t d : shape) {
    if (d > kMaxBits / bits) return std::nullopt;
    bits *= d;
  }
  if (bits % 8 != 0) return std::nullopt;
  return bits / 8;
}

Result<std::vector<Tensor>> ReadHeader(const ByteSource& source) {
  BONSAI_ASSIGN(const std::string text, ReadHeaderText(source));
  BONSAI_ASSIGN(const Json header, ParseJson(source.name() + ": header", text, {.bytes = kMaxHeaderBytes}));
  if (!header.is_object()) return Error(ErrorCode::kCorrupt, "{}: the header (byte 8) is no object", source.name());
  const uint64_t data = sizeof(uint64_t) + text.size();
  std::vector<Tensor> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == kMetadataKey) continue;
    BONSAI_ASSIGN(Tensor tensor, ReadTensor(source, name, entry, data));
    tensors.push_back(std::move(tensor));
  }
  // Empty tensors first where several begin at one byte: the one with data ends where the next begins.
  std::sort(tensors.begin(), tensors.end(), [](const Tensor& a, const Tensor& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.bytes < b.bytes;
  });
  BONSAI_RETURN_IF_ERROR(CheckSpans(source, tensors, data));
  return tensors;
}

}  // namespace bonsai::formats::safetensors
