// The neutral view of a model file that the tokenizer and the model read: keys and values, whatever the container.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"

namespace bonsai::formats {

/// Many strings in two allocations: vocabularies hold 151,669 of them.
class StringList {
 public:
  size_t size() const { return ends_.size(); }
  std::string_view operator[](size_t i) const {
    const uint64_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(text_).substr(begin, ends_[i] - begin);
  }
  void Reserve(size_t strings, size_t bytes) { ends_.reserve(strings), text_.reserve(bytes); }
  void Add(std::string_view s) { text_ += s, ends_.push_back(text_.size()); }
  bool operator==(const StringList&) const = default;

 private:
  std::string text_;
  std::vector<uint64_t> ends_;
};

/// A value: integers are widened, but `Value::kind` remembers how the file stored them.
enum class ValueKind : uint32_t {  // numbered as in GGUF
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

/// "u32", "string", "array": for messages and listings. "?" for a number that is none of the above.
std::string_view ValueKindName(ValueKind kind);

/// A key or tensor name from a file, made safe for one line of a message or a terminal: in single quotes, bytes outside
/// printable ASCII as \xNN, cut after 64 bytes.
std::string Quote(std::string_view name);

/// Array elements: all integers (and bools) as int64 — a u64 above INT64_MAX keeps its bits —, floats as double.
using Array = std::variant<std::vector<int64_t>, std::vector<double>, StringList>;

struct Value {
  ValueKind kind = ValueKind::kU32;
  ValueKind element = ValueKind::kU32;  ///< Of an array.
  std::variant<int64_t, double, std::string, Array> data;
  bool operator==(const Value&) const = default;
};

/// Keys in file order. Lookups are by binary search; getters check kind and range and name file and key in errors:
/// kNotFound when absent, kCorrupt when the value has the wrong kind or does not fit. Immutable once built, so thread
/// safe to read.
class Metadata {
 public:
  explicit Metadata(std::string source) : source_(std::move(source)) {}

  /// Where it was read from, for messages.
  const std::string& source() const { return source_; }
  const std::vector<std::pair<std::string, Value>>& entries() const { return entries_; }
  /// Appends a key; kCorrupt when it is already there. Inserts into a sorted index of 4 bytes a key: n keys cost up to
  /// n² bytes of memmove, nothing for the tens of keys of a model; readers of hostile files bound n.
  Status Add(std::string key, Value value);
  /// Null when absent.
  const Value* Find(std::string_view key) const;
  bool Has(std::string_view key) const { return Find(key) != nullptr; }

  Result<uint32_t> GetU32(std::string_view key) const;
  Result<float> GetF32(std::string_view key) const;  ///< Finite, or kCorrupt. Integers are accepted.
  Result<bool> GetBool(std::string_view key) const;
  Result<std::string_view> GetString(std::string_view key) const;
  Result<const StringList*> GetStrings(std::string_view key) const;
  Result<const std::vector<int64_t>*> GetInts(std::string_view key) const;
  Result<const std::vector<double>*> GetFloats(std::string_view key) const;

  /// The value, or `fallback` when the key is absent; a present value of the wrong kind is still an error.
  Result<uint32_t> GetU32Or(std::string_view key, uint32_t fallback) const;
  Result<float> GetF32Or(std::string_view key, float fallback) const;
  Result<bool> GetBoolOr(std::string_view key, bool fallback) const;
  Result<std::string_view> GetStringOr(std::string_view key, std::string_view fallback) const;

 private:
  std::string source_;
  std::vector<std::pair<std::string, Value>> entries_;
  std::vector<uint32_t> by_key_;  // indices into entries_, sorted by key
};

}  // namespace bonsai::formats
