// BitNet's I2_S in GGUF files: two-bit codes of a whole tensor, 128 in 32 bytes, then one float scale for all of them
// and 28 bytes of padding. Read in Microsoft's BitNet converter; other programs write other orders under the same id.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/byte_source.h"
#include "base/status.h"
#include "formats/model_file.h"

namespace bonsai::formats::gguf {

/// TensorInfo::stored of such tensors.
inline constexpr std::string_view kI2sStored = "I2_S, layout of the BitNet converter";

/// Whether a type's rows are those of I2_S, which files do not hold as blocks.
inline bool IsI2s(const quant::Type& type) { return type.ggml_id == quant::kPrivateIds + 36; }
/// Bytes in a file of a tensor whose rows have `bytes`.
inline uint64_t FileBytes(const quant::Type& type, uint64_t bytes) {
  return IsI2s(type) ? bytes / 36 * 32 + 32 : bytes;
}

/// Sets type, bytes and reader of a tensor whose name, shape (rows of whole blocks of 128) and offset are set. Its rows
/// come as PQ2_0 when fp16 holds the scale exactly, so that they run on its kernels, else as I2_S with a float scale
/// for each 128. kCorrupt when the scale is not a finite number. The source must outlive the tensor.
Status ReadAsI2s(const ByteSource& source, TensorInfo& tensor);

/// The other way: from blocks with a scale each to the bytes of a file. Not thread safe.
class I2sWriter {
 public:
  using Sink = std::function<Status(std::span<const std::byte>)>;
  /// Passes on the codes of blocks, given in any pieces. kUnsupported when scales differ: the file holds one.
  Status Put(std::span<const std::byte> blocks, const Sink& sink);
  /// The scale and the padding, at the end.
  Status Finish(const Sink& sink) const;

 private:
  std::vector<std::byte> rest_;  // of a block that has not come completely
  std::optional<float> scale_;
};

}  // namespace bonsai::formats::gguf
