// A model file, opened: metadata, a table of tensors, and their bytes on demand. Containers (GGUF; later safetensors,
// MLX) differ only in how this is filled in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_source.h"
#include "base/status.h"
#include "formats/metadata.h"
#include "quant/types.h"

namespace bonsai::formats {

/// One tensor as stored. Validated when the file is opened: the type is known, sizes do not overflow, rows are whole
/// blocks, and [offset, offset + bytes) lies inside the source and overlaps no other tensor.
struct TensorInfo {
  std::string name;
  std::vector<uint64_t> shape;        ///< Slowest dimension first: {rows, cols} = {out, in}. Never empty, no zeros.
  const quant::Type* type = nullptr;  ///< Blocks run along the last dimension.
  uint64_t offset = 0;                ///< From the start of the source, bytes.
  uint64_t bytes = 0;
  uint64_t elements() const {
    uint64_t n = 1;
    for (const uint64_t d : shape) n *= d;
    return n;
  }
  uint64_t cols() const { return shape.back(); }
  uint64_t rows() const { return elements() / cols(); }
};

/// An opened model. Immutable after opening; all const methods are thread safe.
class ModelFile {
 public:
  ModelFile(std::unique_ptr<ByteSource> source, std::string container, Metadata metadata,
            std::vector<TensorInfo> tensors);

  const std::string& name() const { return source_->name(); }
  /// "GGUF v3".
  const std::string& container() const { return container_; }
  const Metadata& metadata() const { return metadata_; }
  /// In file order.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  /// Null when there is none of that name.
  const TensorInfo* FindTensor(std::string_view name) const;
  const ByteSource& source() const { return *source_; }

  /// Reads rows [row, row + rows) of a tensor (all its dimensions but the last flattened to rows) into `out`, whose
  /// size must be exactly their bytes. Errors name the file, the tensor and the byte.
  Status ReadRows(const TensorInfo& tensor, uint64_t row, uint64_t rows, std::span<std::byte> out) const;

 private:
  std::unique_ptr<ByteSource> source_;
  std::string container_;
  Metadata metadata_;
  std::vector<TensorInfo> tensors_;
  std::vector<uint32_t> by_name_;
};

/// Opens a model by its first bytes (formats/open.cc holds the table of containers). kUnsupported names what it found
/// when no container fits.
Result<std::unique_ptr<ModelFile>> OpenModel(std::unique_ptr<ByteSource> source);

}  // namespace bonsai::formats
