// How verbs name tensors and formats in their tables.
#pragma once

#include <string>

#include "formats/model_file.h"
#include "kernels/cpu_info.h"

namespace bonsai::cli {

/// "blk.12.attn_q.weight" → "blk.*.attn_q.weight", so that layers fold into one line.
std::string LayerPattern(const std::string& name);

/// The format in which a tensor is stored: what the file says about it, else its type's name.
inline std::string TrueFormat(const formats::TensorInfo& t) {
  return t.stored.empty() ? std::string(t.type->name) : t.stored;
}

/// "tiles (avx512)", "reference (slow)": a way to multiply and the instruction set that it is from.
std::string PathText(kernels::KernelPath path, const std::string& isa);

}  // namespace bonsai::cli
