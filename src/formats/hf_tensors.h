// The tensors of a Hugging Face directory as a GGUF file would hold them.
#pragma once

#include <string_view>
#include <vector>

#include "formats/hf_config.h"
#include "formats/hf_storage.h"
#include "formats/hf_weights.h"
#include "formats/model_file.h"

namespace bonsai::formats {

/// What MapHfTensors needs to know of a model.
struct HfContext {
  const HfWeights& weights;  ///< Its sources are read by the tensors' readers.
  const HfModel& model;
  const HfStorage& storage;
  uint32_t head_width = 0;  ///< Of queries and keys.
};

/// Tensors under GGUF's names, rows in GGUF's order, in file order; MLX and BitNet matrices in a format that holds
/// exactly their numbers. kUnsupported names a tensor that GGUF has no name for, or whose form is none that we read;
/// kCorrupt one whose parts do not fit each other.
Result<std::vector<TensorInfo>> MapHfTensors(const HfContext& context);

/// Columns of a head's queries and keys, from the keys of AddHfConfig. kCorrupt when there are none.
Result<uint32_t> HeadWidthOf(const Metadata& metadata, std::string_view arch);

}  // namespace bonsai::formats
