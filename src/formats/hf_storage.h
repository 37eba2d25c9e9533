// How a Hugging Face directory stores its matrices: `quantization` (MLX) and `quantization_config` of config.json.
#pragma once

#include <optional>
#include <string_view>

#include "base/status.h"
#include "formats/mlx.h"

namespace bonsai::formats {

/// BitNet as transformers has it: U8 codes and one `weight_scale` a matrix.
struct BitNetStorage {
  bool scale_divides = false;  ///< w = code / weight_scale ("linear_class": "bitlinear"), else code · weight_scale.
};

/// At most one of them; neither: plain floats.
struct HfStorage {
  std::optional<MlxQuantization> mlx;
  std::optional<BitNetStorage> bitnet;
};

/// `text` is config.json, `name` what messages call it. kUnsupported, saying which, for a quantisation that is not MLX
/// in 1 or 2 bits or BitNet, and for layers with parameters of their own.
Result<HfStorage> ReadHfStorage(std::string_view name, std::string_view text);

}  // namespace bonsai::formats
