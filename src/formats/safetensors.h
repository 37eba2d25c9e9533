// Safetensors: reader of headers, and writer of files.
// Specification: https://github.com/huggingface/safetensors (README, "Format")
//
//   u64      bytes of the header, little-endian
//   header   JSON: {"NAME": {"dtype": "F16", "shape": [rows, cols], "data_offsets": [begin, end]}, …}; slowest
//   dimension
//            first; offsets count from the end of the header; "__metadata__" maps strings to strings
//   data     every tensor's bytes, without holes
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_source.h"
#include "base/status.h"
#include "formats/gguf.h"

namespace bonsai::formats::safetensors {

/// The reference implementation's limit on the header.
inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;

/// The one key of the header that is no tensor.
inline constexpr std::string_view kMetadataKey = "__metadata__";

/// An element type of the specification.
struct Dtype {
  std::string_view name;  ///< "BF16".
  uint32_t bits;          ///< An element.
  std::string_view type;  ///< The weight format with the same bytes (quant::FindByName), or empty.
};
/// Null for a name that is not in the specification.
const Dtype* FindDtype(std::string_view name);

struct Tensor {
  std::string name;
  const Dtype* dtype = nullptr;
  std::vector<uint64_t> shape;  ///< Slowest first; empty for a scalar; may hold zeros.
  uint64_t offset = 0;          ///< From the start of the file (when read).
  uint64_t bytes = 0;           ///< As dtype and shape imply.
};

/// Reads and validates a header; no tensor data is read. Tensors come in the order of their data. kCorrupt when the
/// header is not what the specification says: not JSON, a name twice, a span that is not what dtype and shape imply,
/// that lies outside the file, or on another's bytes, bytes that are no tensor's. kUnsupported for an unknown dtype.
/// The message names file and tensor or byte.
Result<std::vector<Tensor>> ReadHeader(const ByteSource& source);

/// What a tensor takes; nothing when that is 2^60 bytes or more, or no whole number of bytes. A zero dimension: 0.
std::optional<uint64_t> BytesOf(const Dtype& dtype, std::span<const uint64_t> shape);

/// Bytes of the file that Write() writes for these; fails where it would.
Result<uint64_t> FileBytes(std::span<const Tensor> tensors);

/// Writes a file to `sink`, in order, in chunks; `bytes` and `offset` of the tensors are not looked at. `fill(i, emit)`
/// is called once for each tensor and must emit exactly its bytes, in any number of pieces; kInvalidArgument when it
/// does not, or for a name that is empty, given twice, or no UTF-8.
Status Write(std::span<const Tensor> tensors, const GgufFill& fill, const GgufSink& sink);

}  // namespace bonsai::formats::safetensors
