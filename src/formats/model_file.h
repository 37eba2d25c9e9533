// A model file, opened: metadata, a table of tensors, and their bytes on demand. Containers (GGUF, Hugging Face
// directories) differ only in how this is filled in.
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

/// Gives rows of a tensor that its file stores in another form than TensorInfo::type (three arrays a matrix, one scale
/// a tensor, rows in another order). Thread safe; lives as long as the ModelFile, whose sources it may read.
class RowReader {
 public:
  virtual ~RowReader() = default;
  /// Fills `out` with rows [row, row + rows), which exist, in the format of TensorInfo::type; sizes are checked
  /// already.
  virtual Status Read(uint64_t row, uint64_t rows, std::span<std::byte> out) const = 0;
};

/// One tensor. Validated when the file is opened: the type is known, sizes do not overflow, rows are whole blocks, and
/// [offset, offset + bytes) lies inside its part of the model and overlaps no other tensor, unless a reader makes it.
struct TensorInfo {
  std::string name;
  std::vector<uint64_t> shape;        ///< Slowest dimension first: {rows, cols} = {out, in}. Never empty, no zeros.
  const quant::Type* type = nullptr;  ///< Of the rows as ReadRows gives them. Blocks run along the last dimension.
  uint64_t offset = 0;                ///< From the start of its part, bytes.
  uint64_t bytes = 0;                 ///< Of all rows as ReadRows gives them.
  uint32_t part = 0;                  ///< Which of ModelFile::parts().
  std::string stored = {};  ///< How it is stored, where `type` does not tell: "I2_S", "MLX 1 bit". Else empty.
  std::shared_ptr<const RowReader> reader = nullptr;  ///< Null: the bytes lie in the part as they are.
  uint64_t elements() const {
    uint64_t n = 1;
    for (const uint64_t d : shape) n *= d;
    return n;
  }
  uint64_t cols() const { return shape.back(); }
  uint64_t rows() const { return elements() / cols(); }
};

/// An opened model: one file, several (split GGUF), or a directory. Immutable after opening; all const methods are
/// thread safe.
class ModelFile {
 public:
  ModelFile(std::unique_ptr<ByteSource> source, std::string container, Metadata metadata,
            std::vector<TensorInfo> tensors);
  /// Of several parts: `name` is what messages call the whole. At least one part.
  ModelFile(std::string name, std::vector<std::unique_ptr<ByteSource>> parts, std::string container, Metadata metadata,
            std::vector<TensorInfo> tensors);

  const std::string& name() const { return name_; }
  /// "GGUF v3".
  const std::string& container() const { return container_; }
  const Metadata& metadata() const { return metadata_; }
  /// In file order.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  /// Null when there is none of that name.
  const TensorInfo* FindTensor(std::string_view name) const;
  /// What a user should know before trusting the output: assumptions that the reader had to make.
  const std::vector<std::string>& warnings() const { return warnings_; }
  /// To be called before anyone else has the file.
  void AddWarning(std::string text) { warnings_.push_back(std::move(text)); }
  /// The files that hold tensors.
  std::span<const std::unique_ptr<ByteSource>> parts() const { return parts_; }
  /// Bytes of all parts.
  uint64_t size() const;

  /// Reads rows [row, row + rows) of a tensor (all its dimensions but the last flattened to rows) into `out`, whose
  /// size must be exactly their bytes. Errors name the file, the tensor and the byte.
  Status ReadRows(const TensorInfo& tensor, uint64_t row, uint64_t rows, std::span<std::byte> out) const;
  /// Tells the operating system that these rows will not be read again (a hint).
  void DropCache(const TensorInfo& tensor, uint64_t row, uint64_t rows) const;

 private:
  std::string name_;
  std::vector<std::unique_ptr<ByteSource>> parts_;
  std::string container_;
  Metadata metadata_;
  std::vector<TensorInfo> tensors_;
  std::vector<uint32_t> by_name_;
  std::vector<std::string> warnings_;
};

struct OpenOptions {
  /// Decides which format an ambiguous type id means ("PQ2_0"), where the file itself does not tell; empty: refuse.
  std::string weight_type = {};
};

/// Opens a model by its first bytes (formats/open.cc holds the table of containers). kUnsupported names what it found
/// when no container fits.
Result<std::unique_ptr<ModelFile>> OpenModel(std::unique_ptr<ByteSource> source, const OpenOptions& options = {});

/// Opens what a user named: a model file, with the other parts when it is one of a split model, or a directory. What
/// else is read lies beside it: names from an index are plain file names, and links may not lead out of the directory
/// (except into the `blobs` of a Hugging Face cache).
Result<std::unique_ptr<ModelFile>> OpenModelPath(const std::string& path, const OpenOptions& options = {});

}  // namespace bonsai::formats
