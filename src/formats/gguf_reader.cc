#include <algorithm>
#include <map>
#include <numeric>

#include "formats/gguf.h"
#include "formats/gguf_format.h"
#include "formats/gguf_types.h"
#include "formats/header_cursor.h"

namespace bonsai::formats {
namespace {

struct Counts {
  uint32_t version;
  uint64_t tensors;
  uint64_t keys;
};

Status CheckVersion(const HeaderCursor& in, uint64_t at, uint32_t version) {
  if (version == 2 || version == 3) return {};
  if (version == 1)
    return in.Fail(ErrorCode::kUnsupported, at, "GGUF version 1 is not supported; convert the original model again");
  if (version != 0 && (version & 0xffff) == 0)
    return in.Fail(ErrorCode::kUnsupported, at, "big-endian GGUF is not supported; convert the file to little-endian");
  return in.Fail(ErrorCode::kUnsupported, at, "GGUF version {} is not supported, only 2 and 3 are", version);
}

/// A count of things that take at least `min_bytes` each: checked against what is left of the file.
Result<uint64_t> ReadCount(HeaderCursor& in, std::string_view what, uint64_t min_bytes) {
  const uint64_t at = in.position();
  BONSAI_ASSIGN(const uint64_t count, in.Number<uint64_t>(what));
  if (count > in.remaining() / min_bytes)
    return in.Fail(ErrorCode::kCorrupt, at, "{} {} needs at least {} bytes each, the file has {} left", what, count,
                   min_bytes, in.remaining());
  return count;
}

Result<Counts> ReadCounts(HeaderCursor& in) {
  BONSAI_ASSIGN(const std::string_view magic, in.Bytes(gguf::kMagic.size(), "magic"));
  if (magic != gguf::kMagic) return in.Fail(ErrorCode::kCorrupt, 0, "not a GGUF file, the magic is {}", Quote(magic));
  Counts counts;
  const uint64_t version_at = in.position();
  BONSAI_ASSIGN(counts.version, in.Number<uint32_t>("version"));
  BONSAI_RETURN_IF_ERROR(CheckVersion(in, version_at, counts.version));
  BONSAI_ASSIGN(counts.tensors, ReadCount(in, "tensor count", gguf::kMinTensorBytes));
  const uint64_t keys_at = in.position();
  BONSAI_ASSIGN(counts.keys, ReadCount(in, "key count", gguf::kMinKeyBytes));
  if (counts.keys > gguf::kMaxKeys)
    return in.Fail(ErrorCode::kUnsupported, keys_at, "{} keys, more than {}", counts.keys, gguf::kMaxKeys);
  return counts;
}

/// The name that begins a key or a tensor; from here on it is the context of errors.
Result<std::string> ReadName(HeaderCursor& in, std::string_view what, uint64_t max) {
  const uint64_t at = in.position();
  BONSAI_ASSIGN(const uint64_t length, in.Number<uint64_t>("length of its name"));
  if (length > max) return in.Fail(ErrorCode::kCorrupt, at, "its name has {} bytes, more than {}", length, max);
  BONSAI_ASSIGN(const std::string_view view, in.Bytes(length, "name"));
  std::string name(view);
  in.SetContext(fmt::format("{} {}", what, Quote(name)));
  if (const std::string problem = gguf::NameProblem(name, max); !problem.empty())
    return in.Fail(ErrorCode::kCorrupt, at + 8, "its name {}", problem);
  return name;
}

/// Appends `count` numbers that the file stores as T.
template <class T, class Wide>
Status ReadNumbers(HeaderCursor& in, ValueKind kind, uint64_t count, std::vector<Wide>& out) {
  constexpr uint64_t kPiece = 4096;  // elements at a time: well inside the cursor's buffer
  out.reserve(count);
  for (uint64_t left = count; left > 0;) {
    const uint64_t n = std::min(left, kPiece), at = in.position();
    BONSAI_ASSIGN(const std::string_view bytes, in.Bytes(n * sizeof(T), "value"));
    for (uint64_t i = 0; i < n; i++) {
      T value;
      std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
      if (kind == ValueKind::kBool && value > T{1})
        return in.Fail(ErrorCode::kCorrupt, at + i, "a bool is {}, neither 0 nor 1", value);
      out.push_back(static_cast<Wide>(value));
    }
    left -= n;
  }
  return {};
}

/// `count` numbers of one kind, `kind_at` being where the file says which.
Result<Array> ReadNumberArray(HeaderCursor& in, uint64_t kind_at, ValueKind kind, uint64_t count) {
  Array out;
  Status status;
  const auto read = [&](auto zero) {
    using T = decltype(zero);
    status = in.Expect(count, sizeof(T), "values");
    if (!status) return;
    if constexpr (std::is_floating_point_v<T>) {
      status = ReadNumbers<T>(in, kind, count, out.emplace<std::vector<double>>());
    } else {
      status = ReadNumbers<T>(in, kind, count, out.emplace<std::vector<int64_t>>());
    }
  };
  if (!gguf::WithNumberType(kind, read))
    return in.Fail(ErrorCode::kCorrupt, kind_at, "unknown value kind {}", static_cast<uint32_t>(kind));
  BONSAI_RETURN_IF_ERROR(status);
  return out;
}

Result<StringList> ReadStrings(HeaderCursor& in, uint64_t count) {
  BONSAI_RETURN_IF_ERROR(in.Expect(count, sizeof(uint64_t), "strings"));
  StringList out;
  out.Reserve(count, 0);
  for (uint64_t i = 0; i < count; i++) {
    BONSAI_ASSIGN(const std::string_view s, in.String("string"));
    out.Add(s);
  }
  return out;
}

Status ReadArray(HeaderCursor& in, Value& value) {
  const uint64_t kind_at = in.position();
  BONSAI_ASSIGN(const uint32_t kind, in.Number<uint32_t>("element kind"));
  value.element = static_cast<ValueKind>(kind);
  if (value.element == ValueKind::kArray)
    return in.Fail(ErrorCode::kUnsupported, kind_at, "arrays of arrays are not supported");
  BONSAI_ASSIGN(const uint64_t count, in.Number<uint64_t>("array length"));
  if (value.element == ValueKind::kString) {
    BONSAI_ASSIGN(value.data, ReadStrings(in, count));
  } else {
    BONSAI_ASSIGN(value.data, ReadNumberArray(in, kind_at, value.element, count));
  }
  return {};
}

Result<Value> ReadValue(HeaderCursor& in) {
  Value value;
  const uint64_t kind_at = in.position();
  BONSAI_ASSIGN(const uint32_t kind, in.Number<uint32_t>("value kind"));
  value.kind = static_cast<ValueKind>(kind);
  if (value.kind == ValueKind::kArray) {
    BONSAI_RETURN_IF_ERROR(ReadArray(in, value));
  } else if (value.kind == ValueKind::kString) {
    BONSAI_ASSIGN(const std::string_view text, in.String("string"));
    value.data = std::string(text);
  } else {
    BONSAI_ASSIGN(const Array one, ReadNumberArray(in, kind_at, value.kind, 1));
    if (const auto* integers = std::get_if<std::vector<int64_t>>(&one)) value.data = integers->front();
    if (const auto* floats = std::get_if<std::vector<double>>(&one)) value.data = floats->front();
  }
  return value;
}

struct Keys {
  Metadata metadata;
  uint64_t alignment = gguf::kDefaultAlignment;
  uint64_t split_at = 0;  // the value of split.count; 0: there is none
};

Result<Keys> ReadKeys(HeaderCursor& in, uint64_t count) {
  Keys keys{Metadata(in.file())};
  for (uint64_t i = 0; i < count; i++) {
    in.SetContext(fmt::format("key {} of {}", i + 1, count));
    const uint64_t key_at = in.position();
    BONSAI_ASSIGN(std::string key, ReadName(in, "key", gguf::kMaxKeyBytes));
    if (keys.metadata.Has(key)) return in.Fail(ErrorCode::kCorrupt, key_at, "appears twice");
    const uint64_t value_at = in.position();
    BONSAI_ASSIGN(Value value, ReadValue(in));
    if (key == gguf::kAlignmentKey) {
      const std::optional<uint64_t> alignment = gguf::AlignmentFrom(value);
      if (!alignment)
        return in.Fail(ErrorCode::kCorrupt, value_at, "not a power of two from 8 to {}", gguf::kMaxAlignment);
      keys.alignment = *alignment;
    }
    if (key == gguf::kSplitCountKey) keys.split_at = value_at;
    BONSAI_RETURN_IF_ERROR(keys.metadata.Add(std::move(key), std::move(value)));
  }
  return keys;
}

/// Which part of a split model the file says it is.
Result<gguf::Split> ReadSplit(HeaderCursor& in, const Keys& keys) {
  gguf::Split split;
  if (keys.split_at == 0) return split;
  split.key_at = keys.split_at;
  in.SetContext(fmt::format("key '{}'", gguf::kSplitCountKey));
  const Result<uint32_t> count = keys.metadata.GetU32(gguf::kSplitCountKey);
  if (!count) return in.Fail(ErrorCode::kCorrupt, keys.split_at, "not a number of files");
  split.count = std::max(*count, 1u);
  if (split.count == 1) return split;
  BONSAI_ASSIGN(split.number, keys.metadata.GetU32Or("split.no", 0));
  if (split.number >= split.count)
    return in.Fail(ErrorCode::kCorrupt, keys.split_at, "this is file {} of {} (key 'split.no')",
                   uint64_t{split.number} + 1, split.count);
  if (!keys.metadata.Has("split.tensors.count")) return split;
  BONSAI_ASSIGN(split.tensors, keys.metadata.GetU32("split.tensors.count"));
  return split;
}

/// The table of tensors as it is read. Beside tensors[i]: the byte at which its entry starts, its type id, and the
/// bytes that it takes in the file (0 as long as its id is ambiguous).
struct TensorTable {
  std::vector<TensorInfo> tensors;
  std::vector<uint64_t> header_at, file_bytes;
  std::vector<uint32_t> ids;
};

Result<uint32_t> ReadType(HeaderCursor& in, TensorInfo& tensor) {
  const uint64_t at = in.position();
  BONSAI_ASSIGN(const uint32_t id, in.Number<uint32_t>("type"));
  if (gguf::IsAmbiguous(id)) return id;
  tensor.type = quant::FindByGgmlId(id);
  if (tensor.type != nullptr) return id;
  const std::string_view name = quant::KnownGgmlName(id);
  return in.Fail(ErrorCode::kUnsupported, at, "weight type {}{} is not supported", id,
                 name.empty() ? " (unknown)" : fmt::format(" ({})", name));
}

Status ReadTensor(HeaderCursor& in, uint64_t alignment, TensorTable& table) {
  TensorInfo tensor;
  BONSAI_ASSIGN(tensor.name, ReadName(in, "tensor", gguf::kMaxNameBytes));
  const uint64_t shape_at = in.position();
  BONSAI_ASSIGN(const uint32_t dimensions, in.Number<uint32_t>("number of dimensions"));
  if (dimensions == 0 || dimensions > gguf::kMaxDimensions)
    return in.Fail(ErrorCode::kCorrupt, shape_at, "{} dimensions, expected 1 to {}", dimensions, gguf::kMaxDimensions);
  tensor.shape.resize(dimensions);
  for (size_t i = dimensions; i-- > 0;) {  // the file has the fastest first
    BONSAI_ASSIGN(tensor.shape[i], in.Number<uint64_t>("dimension"));
  }
  BONSAI_ASSIGN(const uint32_t id, ReadType(in, tensor));
  // Of an ambiguous id only the number of dimensions and weights can be checked yet, as if they were bytes.
  const Result<uint64_t> bytes = tensor.type != nullptr ? gguf::TensorBytes(*tensor.type, tensor.shape)
                                                        : gguf::TensorBytes(*quant::FindByName("F32"), tensor.shape);
  if (!bytes) return in.Fail(bytes.error().code(), shape_at, "{}", bytes.error().message());
  tensor.bytes = tensor.type != nullptr ? *bytes : 0;
  const uint64_t offset_at = in.position();
  BONSAI_ASSIGN(tensor.offset, in.Number<uint64_t>("offset"));
  if (tensor.offset % alignment != 0)
    return in.Fail(ErrorCode::kCorrupt, offset_at, "offset {} is not a multiple of the alignment {}", tensor.offset,
                   alignment);
  table.ids.push_back(id);
  table.file_bytes.push_back(tensor.bytes);
  table.tensors.push_back(std::move(tensor));
  return {};
}

Result<TensorTable> ReadTensors(HeaderCursor& in, uint64_t count, uint64_t alignment) {
  TensorTable table;
  for (uint64_t i = 0; i < count; i++) {
    in.SetContext(fmt::format("tensor {} of {}", i + 1, count));
    table.header_at.push_back(in.position());
    BONSAI_RETURN_IF_ERROR(ReadTensor(in, alignment, table));
  }
  return table;
}

/// Indices of the tensors, sorted.
template <class Less>
std::vector<uint32_t> Sorted(const TensorTable& table, Less less) {
  std::vector<uint32_t> order(table.tensors.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return less(table.tensors[a], table.tensors[b]); });
  return order;
}

Status CheckNamesDiffer(HeaderCursor& in, const TensorTable& table) {
  const std::vector<uint32_t> order =
      Sorted(table, [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  for (size_t i = 1; i < order.size(); i++) {
    const TensorInfo& tensor = table.tensors[order[i]];
    if (tensor.name != table.tensors[order[i - 1]].name) continue;
    in.SetContext(fmt::format("tensor {}", Quote(tensor.name)));
    return in.Fail(ErrorCode::kCorrupt, table.header_at[order[i]], "appears twice");
  }
  return {};
}

/// Turns offsets into positions in the file; each tensor must begin inside it, and lie inside it if its bytes are
/// known.
Status Locate(HeaderCursor& in, TensorTable& table, uint64_t data_begin) {
  const uint64_t size = in.position() + in.remaining();
  for (size_t i = 0; i < table.tensors.size(); i++) {
    TensorInfo& t = table.tensors[i];
    const uint64_t bytes = std::max<uint64_t>(table.file_bytes[i], 1);
    if (data_begin > size || t.offset > size - data_begin || bytes > size - data_begin - t.offset) {
      in.SetContext(fmt::format("tensor {}", Quote(t.name)));
      return in.Fail(ErrorCode::kCorrupt, table.header_at[i],
                     "its {} bytes at {} + {} lie beyond the end of the file ({} bytes); the file is truncated", bytes,
                     data_begin, t.offset, size);
    }
    t.offset += data_begin;
  }
  return {};
}

std::vector<uint32_t> InFileOrder(const TensorTable& table) {
  return Sorted(table, [](const TensorInfo& a, const TensorInfo& b) { return a.offset < b.offset; });
}

/// Decides what ambiguous type ids mean, each id by all tensors that have it.
Status ResolveIds(const ByteSource& source, uint64_t alignment, const OpenOptions& options, TensorTable& table) {
  struct Group {
    std::vector<gguf::Unresolved> tensors;
    std::vector<size_t> index;
  };
  std::map<uint32_t, Group> groups;
  const std::vector<uint32_t> order = InFileOrder(table);
  for (size_t i = 0; i < order.size(); i++) {
    TensorInfo& t = table.tensors[order[i]];
    if (t.type != nullptr) continue;
    const uint64_t next = i + 1 < order.size() ? table.tensors[order[i + 1]].offset : source.size();
    Group& group = groups[table.ids[order[i]]];
    group.tensors.push_back({&t, next - t.offset});
    group.index.push_back(order[i]);
  }
  for (const auto& [id, group] : groups) {
    BONSAI_ASSIGN(const std::vector<uint64_t> bytes,
                  gguf::ResolveTypes(source, id, alignment, options.weight_type, group.tensors));
    for (size_t i = 0; i < bytes.size(); i++) table.file_bytes[group.index[i]] = bytes[i];
  }
  return {};
}

Status CheckDisjoint(HeaderCursor& in, const TensorTable& table) {
  const std::vector<uint32_t> order = InFileOrder(table);
  for (size_t i = 1; i < order.size(); i++) {
    const TensorInfo &before = table.tensors[order[i - 1]], &t = table.tensors[order[i]];
    const uint64_t end = before.offset + table.file_bytes[order[i - 1]];
    if (end <= t.offset) continue;
    in.SetContext(fmt::format("tensor {}", Quote(t.name)));
    return in.Fail(ErrorCode::kCorrupt, table.header_at[order[i]],
                   "its data at byte {} overlap tensor {}, which ends at byte {}", t.offset, Quote(before.name), end);
  }
  return {};
}

}  // namespace

Result<gguf::Header> gguf::ReadHeader(const ByteSource& source, const OpenOptions& options) {
  HeaderCursor in(source, kMaxHeaderBytes);
  BONSAI_ASSIGN(const Counts counts, ReadCounts(in));
  BONSAI_ASSIGN(Keys keys, ReadKeys(in, counts.keys));
  BONSAI_ASSIGN(TensorTable table, ReadTensors(in, counts.tensors, keys.alignment));
  BONSAI_RETURN_IF_ERROR(CheckNamesDiffer(in, table));
  BONSAI_RETURN_IF_ERROR(Locate(in, table, AlignUp(in.position(), keys.alignment)));
  BONSAI_RETURN_IF_ERROR(ResolveIds(source, keys.alignment, options, table));
  BONSAI_RETURN_IF_ERROR(CheckDisjoint(in, table));
  BONSAI_ASSIGN(const Split split, ReadSplit(in, keys));
  return Header{counts.version, std::move(keys.metadata), std::move(table.tensors), split};
}

Result<std::unique_ptr<ModelFile>> OpenGguf(std::unique_ptr<ByteSource> source, const OpenOptions& options) {
  BONSAI_ASSIGN(gguf::Header header, gguf::ReadHeader(*source, options));
  if (header.split.count > 1)
    return Error(ErrorCode::kUnsupported,
                 "{}: key '{}' (byte {}): this is file {} of {} of a split model; open it by its path, with the others "
                 "beside it",
                 source->name(), gguf::kSplitCountKey, header.split.key_at, header.split.number + 1,
                 header.split.count);
  return std::make_unique<ModelFile>(std::move(source), fmt::format("GGUF v{}", header.version),
                                     std::move(header.metadata), std::move(header.tensors));
}

}  // namespace bonsai::formats
