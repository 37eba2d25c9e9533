// What a type id of a GGUF file means. Several programs gave one id to formats of their own; such ids are told apart by
// the room that their tensors have, and then by what lies there (docs/formats.md).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/byte_source.h"
#include "base/status.h"
#include "formats/model_file.h"

namespace bonsai::formats::gguf {

/// A tensor of an ambiguous id: its place, before anyone knows how many bytes it has.
struct Unresolved {
  TensorInfo* tensor;  ///< Name, shape and offset are set; the rest is to be filled in.
  uint64_t span;       ///< Bytes from its offset to the next tensor or the end of the file.
};

/// Whether several formats in the wild use this id, so that ResolveTypes has to be asked.
bool IsAmbiguous(uint32_t id);

/// Decides what `id` means in this file and sets type, `stored` and, where rows have to be made, `reader` of its
/// tensors; offsets are positions in `source`. Returns the bytes that each tensor takes in the file, in order.
/// `weight_type`, unless empty, decides. kUnsupported names a format that we do not run, or the formats that remain
/// possible; kCorrupt when no format fits, or a scale of the file is not a number. The source must outlive the readers.
Result<std::vector<uint64_t>> ResolveTypes(const ByteSource& source, uint32_t id, uint64_t alignment,
                                           const std::string& weight_type, std::span<const Unresolved> tensors);

}  // namespace bonsai::formats::gguf
