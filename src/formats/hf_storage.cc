#include "formats/hf_storage.h"

#include "base/json.h"
#include "formats/metadata.h"
#include "formats/model_dir.h"

namespace bonsai::formats {
namespace {

using Json = nlohmann::json;

/// The text behind a key; empty when it is absent or no string.
std::string TextOf(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

/// The number behind a key; 0 when it is absent or none.
uint32_t NumberOf(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_number_unsigned() && *at <= 1024u ? at->get<uint32_t>() : 0;
}

Result<MlxQuantization> ReadMlx(std::string_view name, const Json& json) {
  const MlxQuantization q = {NumberOf(json, "bits"), NumberOf(json, "group_size")};
  const std::string mode = TextOf(json, "mode");
  if (!mode.empty() && mode != "affine")
    return Error(ErrorCode::kUnsupported, "{}: 'quantization' in mode {} is not supported, only affine is", name,
                 Quote(mode));
  if (MlxType(q) == nullptr)
    return Error(
        ErrorCode::kUnsupported,
        "{}: 'quantization' of {} bits in groups of {} is not supported (1 bit: groups of 32, 64, 128; 2 bits: "
        "64, 128); dequantise the model first",
        name, q.bits, q.group);
  for (const auto& [key, value] : json.items()) {
    // A layer's own parameters; false leaves it as it is, which its tensors show.
    if (!value.is_object()) continue;
    if (MlxQuantization{NumberOf(value, "bits"), NumberOf(value, "group_size")} == q) continue;
    return Error(ErrorCode::kUnsupported, "{}: 'quantization' has other parameters for {}, which is not supported",
                 name, Quote(key));
  }
  return q;
}

Result<BitNetStorage> ReadBitNet(std::string_view name, const Json& json) {
  const std::string mode = TextOf(json, "quantization_mode"), linear = TextOf(json, "linear_class");
  if (!mode.empty() && mode != "offline")
    return Error(ErrorCode::kUnsupported,
                 "{}: 'quantization_config' with quantization_mode {}: the weights are not ternary yet; get the packed "
                 "model",
                 name, Quote(mode));
  if (!linear.empty() && linear != "bitlinear" && linear != "autobitlinear")
    return Error(ErrorCode::kUnsupported, "{}: 'quantization_config' with linear_class {} is not supported", name,
                 Quote(linear));
  return BitNetStorage{.scale_divides = linear != "autobitlinear"};
}

}  // namespace

Result<HfStorage> ReadHfStorage(std::string_view name, std::string_view text) {
  BONSAI_ASSIGN(const Json config, ParseJson(name, text, {.bytes = ModelDir::kMaxConfigBytes}));
  HfStorage storage;
  // MLX writes the same object under both keys, without a method.
  for (const char* key : {"quantization", "quantization_config"}) {
    const auto at = config.is_object() ? config.find(key) : config.end();
    if (at == config.end() || at->is_null()) continue;
    if (!at->is_object()) return Error(ErrorCode::kCorrupt, "{}: '{}' is no object", name, key);
    const std::string method = TextOf(*at, "quant_method");
    if (method == "bitnet") {
      BONSAI_ASSIGN(storage.bitnet, ReadBitNet(name, *at));
    } else if (method.empty()) {
      BONSAI_ASSIGN(storage.mlx, ReadMlx(name, *at));
    } else {
      return Error(ErrorCode::kUnsupported, "{}: '{}' with quant_method {} is not supported; get the model in floats",
                   name, key, Quote(method));
    }
  }
  if (storage.mlx && storage.bitnet)
    return Error(ErrorCode::kCorrupt, "{}: both MLX's 'quantization' and BitNet's 'quantization_config'", name);
  return storage;
}

}  // namespace bonsai::formats
