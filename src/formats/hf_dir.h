// A Hugging Face model directory: config.json, tokenizer files, and weights in safetensors, plain or quantised as MLX
// (1 and 2 bits) or BitNet do. What it opens to looks like a GGUF file: names, keys, order of rows
// (formats/hf_names.h).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "formats/model_file.h"

namespace bonsai::formats {

inline constexpr std::string_view kHfIndexSuffix = ".safetensors.index.json";

/// Opens a directory. `file` names the weights in it, a .safetensors file or an index; empty: model.safetensors, else
/// model.safetensors.index.json, else the only .safetensors file. Everything is checked as for a GGUF file: names from
/// an index are plain file names, a tensor that maps to nothing is an error that names it. kUnsupported names what
/// quantisation or architecture it found; kNotFound what is missing.
Result<std::unique_ptr<ModelFile>> OpenHfDir(const std::string& path, std::string_view file,
                                             const OpenOptions& options = {});

}  // namespace bonsai::formats
