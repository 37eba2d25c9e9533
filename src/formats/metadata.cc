#include "formats/metadata.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace bonsai::formats {
namespace {

constexpr std::array<std::string_view, 13> kKindNames = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                         "bool", "string", "array", "u64", "i64", "f64"};
constexpr size_t kShownName = 64;  // bytes of a name that a message shows

bool IsInteger(ValueKind kind) {
  return kind != ValueKind::kBool && kind != ValueKind::kF32 && kind != ValueKind::kF64 && kind != ValueKind::kString &&
         kind != ValueKind::kArray;
}

/// "array of string" or "u32".
std::string KindOf(const Value& v) {
  if (v.kind != ValueKind::kArray) return std::string(ValueKindName(v.kind));
  return fmt::format("array of {}", ValueKindName(v.element));
}

/// An integer as people write it: a u64 above INT64_MAX is stored as its bits.
std::string Decimal(const Value& v) {
  const int64_t stored = std::get<int64_t>(v.data);
  return v.kind == ValueKind::kU64 ? fmt::format("{}", static_cast<uint64_t>(stored)) : fmt::format("{}", stored);
}

ErrorValue Missing(const Metadata& m, std::string_view key) {
  return Error(ErrorCode::kNotFound, "{}: key {} is missing", m.source(), Quote(key));
}

ErrorValue WrongKind(const Metadata& m, std::string_view key, const Value& v, std::string_view want) {
  return Error(ErrorCode::kCorrupt, "{}: key {} is of kind {}, expected {}", m.source(), Quote(key), KindOf(v), want);
}

/// The alternative T of an array value.
template <class T>
Result<const T*> GetArray(const Metadata& m, std::string_view key, std::string_view want) {
  const Value* v = m.Find(key);
  if (v == nullptr) return Missing(m, key);
  const Array* array = std::get_if<Array>(&v->data);
  const T* elements = array == nullptr ? nullptr : std::get_if<T>(array);
  if (elements == nullptr) return WrongKind(m, key, *v, want);
  return elements;
}

}  // namespace

std::string_view ValueKindName(ValueKind kind) {
  const auto i = static_cast<size_t>(kind);
  return i < kKindNames.size() ? kKindNames[i] : "?";
}

std::string Quote(std::string_view name) {
  std::string out = "'";
  for (const char c : name.substr(0, kShownName)) {
    if (c >= ' ' && c <= '~') {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return out + (name.size() > kShownName ? "...'" : "'");
}

Status Metadata::Add(std::string key, Value value) {
  const auto at = std::lower_bound(by_key_.begin(), by_key_.end(), key,
                                   [&](uint32_t i, const std::string& k) { return entries_[i].first < k; });
  if (at != by_key_.end() && entries_[*at].first == key)
    return Error(ErrorCode::kCorrupt, "{}: key {} appears twice", source_, Quote(key));
  by_key_.insert(at, static_cast<uint32_t>(entries_.size()));
  entries_.emplace_back(std::move(key), std::move(value));
  return {};
}

const Value* Metadata::Find(std::string_view key) const {
  const auto at = std::lower_bound(by_key_.begin(), by_key_.end(), key,
                                   [&](uint32_t i, std::string_view k) { return entries_[i].first < k; });
  return at != by_key_.end() && entries_[*at].first == key ? &entries_[*at].second : nullptr;
}

Result<uint32_t> Metadata::GetU32(std::string_view key) const {
  const Value* v = Find(key);
  if (v == nullptr) return Missing(*this, key);
  if (!IsInteger(v->kind)) return WrongKind(*this, key, *v, "an integer");
  const int64_t stored = std::get<int64_t>(v->data);  // a u64 above INT64_MAX is negative here: out of range, too
  if (stored < 0 || stored > std::numeric_limits<uint32_t>::max())
    return Error(ErrorCode::kCorrupt, "{}: key {} is {}, outside 0..4294967295", source_, Quote(key), Decimal(*v));
  return static_cast<uint32_t>(stored);
}

Result<float> Metadata::GetF32(std::string_view key) const {
  const Value* v = Find(key);
  if (v == nullptr) return Missing(*this, key);
  if (v->kind == ValueKind::kU64) return static_cast<float>(static_cast<uint64_t>(std::get<int64_t>(v->data)));
  if (IsInteger(v->kind)) return static_cast<float>(std::get<int64_t>(v->data));
  const double* number = std::get_if<double>(&v->data);
  if (number == nullptr) return WrongKind(*this, key, *v, "a number");
  if (!(std::abs(*number) <= std::numeric_limits<float>::max()))
    return Error(ErrorCode::kCorrupt, "{}: key {} is {}, not a finite 32-bit float", source_, Quote(key), *number);
  return static_cast<float>(*number);
}

Result<bool> Metadata::GetBool(std::string_view key) const {
  const Value* v = Find(key);
  if (v == nullptr) return Missing(*this, key);
  if (v->kind != ValueKind::kBool) return WrongKind(*this, key, *v, "bool");
  return std::get<int64_t>(v->data) != 0;
}

Result<std::string_view> Metadata::GetString(std::string_view key) const {
  const Value* v = Find(key);
  if (v == nullptr) return Missing(*this, key);
  const std::string* text = std::get_if<std::string>(&v->data);
  if (text == nullptr) return WrongKind(*this, key, *v, "string");
  return std::string_view(*text);
}

Result<const StringList*> Metadata::GetStrings(std::string_view key) const {
  return GetArray<StringList>(*this, key, "array of string");
}

Result<const std::vector<int64_t>*> Metadata::GetInts(std::string_view key) const {
  return GetArray<std::vector<int64_t>>(*this, key, "array of integers");
}

Result<const std::vector<double>*> Metadata::GetFloats(std::string_view key) const {
  return GetArray<std::vector<double>>(*this, key, "array of floats");
}

Result<uint32_t> Metadata::GetU32Or(std::string_view key, uint32_t fallback) const {
  return Has(key) ? GetU32(key) : fallback;
}

Result<float> Metadata::GetF32Or(std::string_view key, float fallback) const {
  return Has(key) ? GetF32(key) : fallback;
}

Result<bool> Metadata::GetBoolOr(std::string_view key, bool fallback) const {
  return Has(key) ? GetBool(key) : fallback;
}

Result<std::string_view> Metadata::GetStringOr(std::string_view key, std::string_view fallback) const {
  return Has(key) ? GetString(key) : fallback;
}

}  // namespace bonsai::formats
