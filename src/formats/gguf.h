// GGUF, versions 2 and 3, little-endian: reader and writer.
// Specification: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
//
//   header   "GGUF", u32 version, u64 tensor count, u64 key count
//   keys     string key, u32 kind, value                      (string = u64 length, bytes; array = u32 kind, u64 count)
//   tensors  string name, u32 dimensions (fastest first), u64 each, u32 type id, u64 offset into the data section
//   data     from the next multiple of general.alignment (default 32); each offset is a multiple of it, too
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "formats/model_file.h"

namespace bonsai::formats {

/// Reads and validates the header; no tensor data is read. Treats the file as hostile: counts, lengths and offsets are
/// checked against what the source can hold before anything is allocated, and memory stays within a small multiple of
/// the header's own size (8 for an array of u8, which widens). kCorrupt names file, key or tensor, and byte offset;
/// kUnsupported names version, type or part of a split model, or a header above 256 MiB or 65,536 keys.
Result<std::unique_ptr<ModelFile>> OpenGguf(std::unique_ptr<ByteSource> source, const OpenOptions& options = {});

/// The same for a file at a path. One of a split model (NAME-00002-of-00003.gguf) is opened with the others, which lie
/// in its directory: metadata are the first file's, without the keys `split.*`. A file that is absent, is another's or
/// holds a tensor again is an error that names it. `source` is the file at `path`, opened.
Result<std::unique_ptr<ModelFile>> OpenGgufPath(std::unique_ptr<ByteSource> source, const std::string& path,
                                                const OpenOptions& options = {});

/// A tensor to write: `bytes` must equal what type and shape imply.
struct GgufTensor {
  std::string name;
  std::vector<uint64_t> shape;  ///< Slowest first, as in TensorInfo.
  const quant::Type* type = nullptr;
};

/// Where written bytes go, in order; and what emits the bytes of tensor `i` there, in any number of pieces.
using GgufSink = std::function<Status(std::span<const std::byte>)>;
using GgufFill = std::function<Status(size_t tensor, const GgufSink& emit)>;

/// Hands what fill(i, …) emits to `sink`; kInvalidArgument, naming the tensor, unless it is exactly `bytes`.
Status EmitExactly(std::string_view name, uint64_t bytes, size_t i, const GgufFill& fill, const GgufSink& sink);

/// Writes version 3 to `sink`, in order, in chunks. `fill(i, emit)` is called once for each tensor and must emit
/// exactly its bytes, in any number of pieces. `general.alignment` is taken from the metadata (default 32).
Status WriteGguf(const Metadata& metadata, const std::vector<GgufTensor>& tensors, const GgufFill& fill,
                 const GgufSink& sink);
/// Bytes that WriteGguf writes. The same errors.
Result<uint64_t> GgufBytes(const Metadata& metadata, const std::vector<GgufTensor>& tensors);

}  // namespace bonsai::formats
