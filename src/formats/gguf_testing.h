// GGUF files built by hand for tests: field by field from the specification, independent of the writer.
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/model_file.h"

namespace bonsai::formats::testing {

/// Bytes in the making. At("x") on the way remembers where field x begins.
struct FileBytes {
  std::string bytes;
  std::map<std::string, size_t> at;

  FileBytes& At(const std::string& field) { return at[field] = bytes.size(), *this; }
  template <class T>
  FileBytes& Put(T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof value);
    bytes.append(raw, sizeof raw);
    return *this;
  }
  FileBytes& U8(uint8_t v) { return Put(v); }
  FileBytes& U32(uint32_t v) { return Put(v); }
  FileBytes& U64(uint64_t v) { return Put(v); }
  FileBytes& Str(std::string_view s) { return U64(s.size()), bytes += s, *this; }
  FileBytes& Header(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
    At("magic").bytes += "GGUF";
    return At("version").U32(version).At("tensors").U64(tensors).At("keys").U64(keys);
  }
  /// A key and its kind; the value follows.
  FileBytes& Key(std::string_view key, ValueKind kind) {
    const std::string k(key);
    At(k + ".key").Str(key).At(k + ".kind").U32(static_cast<uint32_t>(kind));
    return At(k);
  }
  FileBytes& ArrayKey(std::string_view key, ValueKind element, uint64_t count) {
    const std::string k(key);
    Key(key, ValueKind::kArray).At(k + ".element").U32(static_cast<uint32_t>(element)).At(k + ".count").U64(count);
    return At(k + ".items");
  }
  /// `dims` as in the file: fastest first.
  FileBytes& Tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset) {
    const std::string n(name);
    At(n + ".name").Str(name).At(n + ".dims").U32(static_cast<uint32_t>(dims.size()));
    for (size_t i = 0; i < dims.size(); i++) At(n + ".dim" + std::to_string(i)).U64(dims[i]);
    return At(n + ".type").U32(type).At(n + ".offset").U64(offset);
  }
  FileBytes& Pad(size_t alignment) {
    while (bytes.size() % alignment != 0) bytes += '\0';
    return *this;
  }
};

inline constexpr uint32_t kF32Id = 0, kQ1Id = 41;

/// One key of every kind, arrays of numbers and strings, and two tensors: "w", 3 rows of 128 columns in Q1_0, and "n",
/// 4 floats. Ends with the last byte of "n".
inline FileBytes SmallFile(uint32_t version = 3) {
  FileBytes f;
  f.Header(2, 16, version);
  f.Key("general.alignment", ValueKind::kU32).U32(64);
  f.Key("a.u8", ValueKind::kU8).U8(200);
  f.Key("a.i8", ValueKind::kI8).Put(int8_t{-5});
  f.Key("a.u16", ValueKind::kU16).Put(uint16_t{65535});
  f.Key("a.i16", ValueKind::kI16).Put(int16_t{-300});
  f.Key("a.i32", ValueKind::kI32).Put(int32_t{-70000});
  f.Key("a.f32", ValueKind::kF32).Put(1.5f);
  f.Key("a.bool", ValueKind::kBool).U8(1);
  f.Key("a.string", ValueKind::kString).Str("qwen3");
  f.Key("a.u64", ValueKind::kU64).U64(UINT64_MAX);
  f.Key("a.i64", ValueKind::kI64).Put(int64_t{-1} << 40);
  f.Key("a.f64", ValueKind::kF64).Put(-0.1);
  f.ArrayKey("a.bools", ValueKind::kBool, 3).U8(1).U8(0).U8(1);
  f.ArrayKey("a.floats", ValueKind::kF32, 2).Put(0.25f).Put(-2.0f);
  f.ArrayKey("a.strings", ValueKind::kString, 3).Str("x").Str("").Str("\xff\n");  // values need not be UTF-8
  f.Key("split.count", ValueKind::kU16).Put(uint16_t{1});
  f.Tensor("w", {128, 3}, kQ1Id, 0).Tensor("n", {4}, kF32Id, 64);
  f.Pad(64).At("data");
  for (int i = 0; i < 54; i++) f.U8(static_cast<uint8_t>(i));
  f.Pad(64);
  for (const float v : {1.0f, 2.0f, -3.0f, 0.5f}) f.Put(v);
  return f;
}

/// Opens bytes that outlive the file, under the name "small.gguf".
inline Result<std::unique_ptr<ModelFile>> OpenBytes(const std::string& bytes) {
  return OpenModel(MemorySource("small.gguf", std::as_bytes(std::span(bytes))));
}

/// Reads every tensor that is not larger than `cap`, and returns the sum of the bytes so that they are touched.
inline Result<uint64_t> ReadAllTensors(const ModelFile& file, uint64_t cap) {
  uint64_t sum = 0;
  for (const TensorInfo& t : file.tensors()) {
    if (t.bytes > cap) continue;
    std::vector<std::byte> data(t.bytes);
    BONSAI_RETURN_IF_ERROR(file.ReadRows(t, 0, t.rows(), data));
    for (const std::byte b : data) sum += static_cast<uint8_t>(b);
  }
  return sum;
}

}  // namespace bonsai::formats::testing
