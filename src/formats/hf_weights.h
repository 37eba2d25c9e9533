// The safetensors files of a directory, as one table of tensors.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "formats/model_dir.h"
#include "formats/safetensors.h"

namespace bonsai::formats {

/// What an index may ask for: a model of 671 B weights has 163 files.
inline constexpr size_t kMaxHfShards = 4096;

struct HfTensor : safetensors::Tensor {
  uint32_t part = 0;  ///< Which of HfWeights::parts.
};

struct HfWeights {
  std::vector<std::unique_ptr<ByteSource>> parts;
  std::vector<HfTensor> tensors;  ///< Sorted by name; no name twice.

  /// Null when there is none of that name.
  const HfTensor* Find(std::string_view name) const;
};

/// Opens the weights: `file` is a .safetensors file or an index (*.safetensors.index.json) of `dir`; empty: what the
/// directory holds (see OpenHfDir). Headers are validated; the index must be an object {"weight_map": {TENSOR: FILE}}
/// whose files hold what it says they do. kNotFound says what the directory holds instead.
Result<HfWeights> OpenHfWeights(const ModelDir& dir, std::string_view file);

/// A line of an index: which file holds a tensor.
struct HfIndexEntry {
  std::string tensor, file;
};
/// The lines of an index, sorted by tensor. `text` is all of it, `name` what messages call it; file names are as they
/// stand there: only ModelDir opens them.
Result<std::vector<HfIndexEntry>> ParseHfIndex(std::string_view name, std::string_view text);

}  // namespace bonsai::formats
