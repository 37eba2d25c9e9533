// How verbs name tensors and formats in their tables.
#pragma once

#include <string>

#include "formats/model_file.h"

namespace bonsai::cli {

/// "blk.12.attn_q.weight" → "blk.*.attn_q.weight", so that layers fold into one line.
std::string LayerPattern(const std::string& name);

/// The format in which a tensor is stored: what the file says about it, else its type's name.
inline std::string TrueFormat(const formats::TensorInfo& t) {
  return t.stored.empty() ? std::string(t.type->name) : t.stored;
}

}  // namespace bonsai::cli
