#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>

#include "formats/gguf.h"
#include "formats/gguf_format.h"
#include "formats/i2s.h"

namespace bonsai::formats {
namespace {

/// Collects small fields into chunks of 64 KiB for the sink. After an error it drops everything; status() keeps it.
class Output {
 public:
  explicit Output(const GgufSink& sink) : sink_(sink) {}

  void Put(std::span<const std::byte> bytes) {
    if (bytes.size() >= kChunk) {
      Flush();
      if (status_) status_ = sink_(bytes);
    } else {
      buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
      if (buffer_.size() >= kChunk) Flush();
    }
    position_ += bytes.size();
  }
  template <class T>
  void Number(T value) {
    static_assert(std::is_arithmetic_v<T>);
    Put(std::as_bytes(std::span(&value, 1)));
  }
  void String(std::string_view s) {
    Number<uint64_t>(s.size());
    Put(std::as_bytes(std::span(s)));
  }
  /// Zeros up to the next multiple of a power of two.
  void Pad(uint64_t alignment) {
    while (position_ % alignment != 0) Number<uint8_t>(0);
  }
  /// Hands everything so far to the sink.
  void Flush() {
    if (status_ && !buffer_.empty()) status_ = sink_(buffer_);
    buffer_.clear();
  }
  const Status& status() const { return status_; }

 private:
  static constexpr size_t kChunk = 64 << 10;
  const GgufSink& sink_;
  std::vector<std::byte> buffer_;
  uint64_t position_ = 0;
  Status status_;
};

/// Whether T can hold a widened number. Floats are rounded to f32, but must not overflow.
template <class T>
bool Fits(ValueKind kind, int64_t v) {
  if (kind == ValueKind::kBool) return v == 0 || v == 1;
  if constexpr (std::is_floating_point_v<T>) return false;
  if constexpr (std::is_same_v<T, uint64_t>) return true;  // a u64 above INT64_MAX is kept as its bits
  return std::is_integral_v<T> && v == static_cast<int64_t>(static_cast<T>(v));
}
template <class T>
bool Fits(ValueKind, double v) {
  if constexpr (!std::is_floating_point_v<T>) return false;
  return !std::isfinite(v) || std::abs(v) <= static_cast<double>(std::numeric_limits<T>::max());
}

/// Calls f(kind, element) for every number of a value: itself, or the elements of an array.
template <class F>
bool AllNumbers(const Value& value, F f) {
  if (const auto* i = std::get_if<int64_t>(&value.data)) return f(value.kind, *i);
  if (const auto* d = std::get_if<double>(&value.data)) return f(value.kind, *d);
  const auto* array = std::get_if<Array>(&value.data);
  if (array == nullptr) return false;
  const auto each = [&](auto e) { return f(value.element, e); };
  if (const auto* i = std::get_if<std::vector<int64_t>>(array)) return std::all_of(i->begin(), i->end(), each);
  if (const auto* d = std::get_if<std::vector<double>>(array)) return std::all_of(d->begin(), d->end(), each);
  return false;
}

/// Whether kind, element and data agree, so that what is written reads back the same.
bool IsConsistent(const Value& value) {
  const auto* array = std::get_if<Array>(&value.data);
  if ((value.kind == ValueKind::kArray) != (array != nullptr)) return false;
  if (value.kind == ValueKind::kString) return std::holds_alternative<std::string>(value.data);
  const ValueKind kind = array != nullptr ? value.element : value.kind;
  if (array != nullptr && kind == ValueKind::kString) return std::holds_alternative<StringList>(*array);
  const bool is_float = kind == ValueKind::kF32 || kind == ValueKind::kF64;
  if (array != nullptr && is_float != std::holds_alternative<std::vector<double>>(*array)) return false;
  bool fits = false;
  const bool is_number = gguf::WithNumberType(kind, [&](auto zero) {
    using T = decltype(zero);
    fits = AllNumbers(value, [](ValueKind k, auto e) { return Fits<T>(k, e); });
  });
  return is_number && fits;
}

void PutNumbers(Output& out, const Value& value) {
  const ValueKind kind = value.kind == ValueKind::kArray ? value.element : value.kind;
  gguf::WithNumberType(kind, [&](auto zero) {
    using T = decltype(zero);
    AllNumbers(value, [&](ValueKind, auto e) {
      out.Number(static_cast<T>(e));
      return true;
    });
  });
}

void PutValue(Output& out, const Value& value) {
  out.Number(static_cast<uint32_t>(value.kind));
  if (const auto* text = std::get_if<std::string>(&value.data)) {
    out.String(*text);
    return;
  }
  if (const auto* array = std::get_if<Array>(&value.data)) {
    out.Number(static_cast<uint32_t>(value.element));
    out.Number<uint64_t>(std::visit([](const auto& elements) { return elements.size(); }, *array));
    if (const auto* strings = std::get_if<StringList>(array)) {
      for (size_t i = 0; i < strings->size(); i++) out.String((*strings)[i]);
      return;
    }
  }
  PutNumbers(out, value);
}

Result<uint64_t> CheckMetadata(const Metadata& metadata) {
  for (const auto& [key, value] : metadata.entries()) {
    if (const std::string problem = gguf::NameProblem(key, gguf::kMaxKeyBytes); !problem.empty())
      return Error(ErrorCode::kInvalidArgument, "{}: key {} {}", metadata.source(), Quote(key), problem);
    if (!IsConsistent(value))
      return Error(ErrorCode::kInvalidArgument, "{}: key {}: its value does not fit its kind {}", metadata.source(),
                   Quote(key), ValueKindName(value.kind));
  }
  const Value* alignment = metadata.Find(gguf::kAlignmentKey);
  if (alignment == nullptr) return gguf::kDefaultAlignment;
  const std::optional<uint64_t> valid = gguf::AlignmentFrom(*alignment);
  if (!valid)
    return Error(ErrorCode::kInvalidArgument, "{}: key '{}' is not a power of two from 8 to {}", metadata.source(),
                 gguf::kAlignmentKey, gguf::kMaxAlignment);
  return *valid;
}

/// Appends the tensor's bytes to `sizes`; otherwise says what is wrong with type or shape.
std::string SizeProblem(const GgufTensor& t, std::vector<uint64_t>& sizes) {
  if (t.type == nullptr) return "has no type";
  const Result<uint64_t> bytes = gguf::TensorBytes(*t.type, t.shape);
  if (!bytes) return "has " + bytes.error().message();
  sizes.push_back(*bytes);
  return "";
}

/// Bytes of each tensor.
Result<std::vector<uint64_t>> CheckTensors(const Metadata& metadata, const std::vector<GgufTensor>& tensors) {
  std::vector<uint64_t> sizes;
  std::vector<std::string_view> names;
  for (const GgufTensor& t : tensors) {
    std::string problem = gguf::NameProblem(t.name, gguf::kMaxNameBytes);
    if (problem.empty()) problem = SizeProblem(t, sizes);
    if (!problem.empty())
      return Error(ErrorCode::kInvalidArgument, "{}: tensor {} {}", metadata.source(), Quote(t.name), problem);
    names.push_back(t.name);
  }
  std::sort(names.begin(), names.end());
  if (const auto twin = std::adjacent_find(names.begin(), names.end()); twin != names.end())
    return Error(ErrorCode::kInvalidArgument, "{}: tensor {} is given twice", metadata.source(), Quote(*twin));
  return sizes;
}

void PutTensorTable(Output& out, const std::vector<GgufTensor>& tensors, const std::vector<uint64_t>& sizes,
                    uint64_t alignment) {
  uint64_t offset = 0;
  for (size_t i = 0; i < tensors.size(); i++) {
    const GgufTensor& t = tensors[i];
    out.String(t.name);
    out.Number(static_cast<uint32_t>(t.shape.size()));
    for (size_t d = t.shape.size(); d-- > 0;) out.Number<uint64_t>(t.shape[d]);
    out.Number(t.type->file_id);
    out.Number(offset);
    offset += gguf::AlignUp(gguf::FileBytes(*t.type, sizes[i]), alignment);
  }
}

struct Layout {
  uint64_t alignment;
  std::vector<uint64_t> sizes;  ///< Bytes of each tensor.
};

/// Everything before the data section, padding included.
Result<Layout> PutHeader(Output& out, const Metadata& metadata, const std::vector<GgufTensor>& tensors) {
  Layout layout;
  BONSAI_ASSIGN(layout.alignment, CheckMetadata(metadata));
  BONSAI_ASSIGN(layout.sizes, CheckTensors(metadata, tensors));
  out.Put(std::as_bytes(std::span(gguf::kMagic)));
  out.Number<uint32_t>(3);
  out.Number<uint64_t>(tensors.size());
  out.Number<uint64_t>(metadata.entries().size());
  for (const auto& [key, value] : metadata.entries()) {
    out.String(key);
    PutValue(out, value);
  }
  PutTensorTable(out, tensors, layout.sizes, layout.alignment);
  out.Pad(layout.alignment);
  return layout;
}

}  // namespace

Status EmitExactly(std::string_view name, uint64_t bytes, size_t i, const GgufFill& fill, const GgufSink& sink) {
  uint64_t left = bytes;
  const auto wrong_size = [&](std::string_view how) {
    return Error(ErrorCode::kInvalidArgument, "tensor {}: {} than its {} bytes were given", Quote(name), how, bytes);
  };
  BONSAI_RETURN_IF_ERROR(fill(i, [&](std::span<const std::byte> piece) -> Status {
    if (piece.size() > left) return wrong_size("more");
    left -= piece.size();
    return sink(piece);
  }));
  if (left != 0) return wrong_size("fewer");
  return {};
}

Status WriteGguf(const Metadata& metadata, const std::vector<GgufTensor>& tensors, const GgufFill& fill,
                 const GgufSink& sink) {
  Output out(sink);
  BONSAI_ASSIGN(const Layout layout, PutHeader(out, metadata, tensors));
  const GgufSink put = [&](std::span<const std::byte> piece) { return out.Put(piece), out.status(); };
  for (size_t i = 0; i < tensors.size(); i++) {
    const bool i2s = gguf::IsI2s(*tensors[i].type);
    gguf::I2sWriter i2s_writer;
    const GgufSink emit = [&](std::span<const std::byte> piece) {
      return i2s ? i2s_writer.Put(piece, put) : put(piece);
    };
    BONSAI_RETURN_IF_ERROR(EmitExactly(tensors[i].name, layout.sizes[i], i, fill, emit));
    if (i2s) BONSAI_RETURN_IF_ERROR(i2s_writer.Finish(put));
    out.Pad(layout.alignment);
  }
  out.Flush();
  return out.status();
}

Result<uint64_t> GgufBytes(const Metadata& metadata, const std::vector<GgufTensor>& tensors) {
  uint64_t bytes = 0;
  const GgufSink count = [&](std::span<const std::byte> piece) -> Status { return bytes += piece.size(), Status(); };
  Output out(count);
  BONSAI_ASSIGN(const Layout layout, PutHeader(out, metadata, tensors));
  out.Flush();
  for (size_t i = 0; i < tensors.size(); i++) {
    const uint64_t size = gguf::FileBytes(*tensors[i].type, layout.sizes[i]);
    if (size > (uint64_t{1} << 62) - bytes)
      return Error(ErrorCode::kInvalidArgument, "{}: its tensors have more than 2^62 bytes", metadata.source());
    bytes += gguf::AlignUp(size, layout.alignment);
  }
  return bytes;
}

}  // namespace bonsai::formats
