// Safetensors files built by hand for tests: a header as text, independent of the writer, and data.
#pragma once

#include <fmt/format.h>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "formats/safetensors.h"

namespace bonsai::formats::testing {

/// The file with this header and these data.
inline std::string Safetensors(std::string_view header, std::string_view data) {
  const uint64_t length = header.size();
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof length);
  bytes += header;
  return bytes.append(data);
}

/// Three tensors: "w", 2 rows of 3 F16; "b", 2 F32; "s", a scalar U8; and an empty one.
inline std::string SmallSafetensors() {
  return Safetensors(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]},)"
      R"("w":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},"e":{"dtype":"I64","shape":[0,7],"data_offsets":[20,20]},)"
      R"("s":{"dtype":"U8","shape":[],"data_offsets":[20,21]}}  )",
      std::string("0123456789ab\0\0\x80\x3f\0\0\0\x40s", 21));
}

inline Result<std::vector<safetensors::Tensor>> HeaderOf(const std::string& bytes) {
  return safetensors::ReadHeader(*MemorySource("small.safetensors", std::as_bytes(std::span(bytes))));
}

/// A tensor with its bytes.
struct StoredTensor {
  std::string name, dtype;
  std::vector<uint64_t> shape;
  std::string data;
};

template <class T>
std::string BytesOf(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

/// The file of these tensors, in this order. Names need no escapes.
inline std::string Safetensors(const std::vector<StoredTensor>& tensors) {
  std::string header = "{", data;
  for (const StoredTensor& t : tensors) {
    header += fmt::format(R"({}"{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", header == "{" ? "" : ",",
                          t.name, t.dtype, fmt::join(t.shape, ","), data.size(), data.size() + t.data.size());
    data += t.data;
  }
  return Safetensors(header + "}", data);
}

}  // namespace bonsai::formats::testing
