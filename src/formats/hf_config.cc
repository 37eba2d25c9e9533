#include "formats/hf_config.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <numbers>
#include <optional>

#include "base/json.h"
#include "formats/hf_names.h"

namespace bonsai::formats {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

Result<Json> ParseObject(std::string_view name, std::string_view text) {
  BONSAI_ASSIGN(Json doc, ParseJson(name, text));
  if (!doc.is_object()) return Error(ErrorCode::kCorrupt, "{}: not a JSON object", name);
  return doc;
}

/// Members of an object of a file, with messages that name both. A null counts as absent.
class Object {
 public:
  Object(std::string_view file, const Json& json) : file_(file), json_(json) {}

  const Json* Find(const char* key) const {
    const auto at = json_.find(key);
    return at == json_.end() || at->is_null() ? nullptr : &*at;
  }
  bool Has(const char* key) const { return Find(key) != nullptr; }
  Result<double> Number(const char* key) const {
    const Json* v = Find(key);
    if (v == nullptr) return Error(ErrorCode::kCorrupt, "{}: '{}' is missing", file_, key);
    if (!v->is_number()) return Wrong(key, "a number");
    return v->get<double>();
  }
  Result<double> NumberOr(const char* key, double fallback) const { return Has(key) ? Number(key) : fallback; }
  /// Exactly an integer of 1..2^32-1; some programs write 16384.0.
  Result<uint32_t> Count(const char* key) const {
    BONSAI_ASSIGN(const double v, Number(key));
    if (!(v >= 1 && v <= std::numeric_limits<uint32_t>::max()) || v != std::floor(v)) return Wrong(key, "a count");
    return static_cast<uint32_t>(v);
  }
  Result<std::string> TextOr(const char* key, std::string_view fallback) const {
    const Json* v = Find(key);
    if (v == nullptr) return std::string(fallback);
    if (!v->is_string()) return Wrong(key, "a string");
    return v->get<std::string>();
  }
  Result<bool> BoolOr(const char* key, bool fallback) const {
    const Json* v = Find(key);
    if (v == nullptr) return fallback;
    if (!v->is_boolean()) return Wrong(key, "true or false");
    return v->get<bool>();
  }
  ErrorValue Wrong(const char* key, std::string_view want) const {
    return Error(ErrorCode::kCorrupt, "{}: '{}' is not {}", file_, key, want);
  }
  ErrorValue Unsupported(const char* key, std::string_view why) const {
    return Error(ErrorCode::kUnsupported, "{}: '{}': {}", file_, key, why);
  }
  std::string_view file() const { return file_; }

 private:
  std::string_view file_;
  const Json& json_;
};

Status AddCount(Metadata& m, std::string key, uint32_t v) {
  return m.Add(std::move(key), {.kind = ValueKind::kU32, .data = int64_t{v}});
}
Status AddFloat(Metadata& m, std::string key, double v) {
  if (!(std::abs(v) <= std::numeric_limits<float>::max()))
    return Error(ErrorCode::kCorrupt, "{}: {} for {} is no finite 32-bit float", m.source(), v, Quote(key));
  return m.Add(std::move(key), {.kind = ValueKind::kF32, .data = double{static_cast<float>(v)}});
}
Status AddText(Metadata& m, std::string key, std::string v) {
  return m.Add(std::move(key), {.kind = ValueKind::kString, .data = std::move(v)});
}

/// Keys that are counts in both worlds.
struct CountKey {
  const char* hf;
  std::string_view gguf;
  bool optional = false;
};
constexpr CountKey kCounts[] = {
    {"num_hidden_layers", "block_count"},
    {"max_position_embeddings", "context_length"},
    {"hidden_size", "embedding_length"},
    {"intermediate_size", "feed_forward_length"},
    {"num_attention_heads", "attention.head_count"},
    {"num_key_value_heads", "attention.head_count_kv", true},
    {"head_dim", "attention.key_length", true},
    {"head_dim", "attention.value_length", true},
    {"vocab_size", "vocab_size", true},
};

Result<const HfArch*> ArchOf(const Object& config) {
  std::string name;
  if (const Json* classes = config.Find("architectures")) {
    if (!classes->is_array() || classes->empty() || !classes->front().is_string())
      return config.Wrong("architectures", "an array of strings");
    name = classes->front().get<std::string>();
  } else {
    BONSAI_ASSIGN(name, config.TextOr("model_type", ""));
  }
  if (const HfArch* arch = FindHfArch(name)) return arch;
  std::string known;
  for (const HfArch& a : HfArchs()) known += (known.empty() ? "" : ", ") + std::string(a.model_class);
  return Error(ErrorCode::kUnsupported, "{}: models of class {} are not supported (supported: {})", config.file(),
               Quote(name), known);
}

/// YaRN's factor on sines and cosines when nothing else is said.
double UsualAttentionFactor(double factor) { return 0.1 * std::log(factor) + 1; }

/// What Llama 3.1 divides the speed of each pair by: nothing where a pair turns often over the original context,
/// `factor` where it turns seldom, and a blend between. (meta-llama/llama-models, apply_scaling.)
struct Llama3 {
  double factor = 8, low = 1, high = 4, context = 8192;
};
std::vector<float> Llama3Factors(const Llama3& s, double base, uint32_t width) {
  std::vector<float> factors;
  for (uint32_t i = 0; i < width / 2; i++) {
    const double speed = std::pow(base, -2.0 * i / width);
    const double turns = s.context * speed / (2 * std::numbers::pi);
    const double smooth = std::clamp((turns - s.low) / (s.high - s.low), 0.0, 1.0);
    factors.push_back(static_cast<float>(1 / ((1 - smooth) / s.factor + smooth)));
  }
  return factors;
}

Status AddYarn(const Object& config, const Object& rope, const std::string& prefix, Metadata& m) {
  BONSAI_ASSIGN(const double factor, rope.Number("factor"));
  for (const char* key : {"mscale", "mscale_all_dim", "truncate"})
    if (rope.Has(key)) return rope.Unsupported(key, "this variant of YaRN is not supported");
  const Object& has_context = rope.Has("original_max_position_embeddings") ? rope : config;
  const char* context = has_context.Has("original_max_position_embeddings") ? "original_max_position_embeddings"
                                                                            : "max_position_embeddings";
  BONSAI_ASSIGN(const uint32_t original, has_context.Count(context));
  BONSAI_RETURN_IF_ERROR(AddText(m, prefix + "type", "yarn"));
  BONSAI_RETURN_IF_ERROR(AddFloat(m, prefix + "factor", factor));
  BONSAI_RETURN_IF_ERROR(AddCount(m, prefix + "original_context_length", original));
  if (rope.Has("attention_factor")) {
    BONSAI_ASSIGN(const double attention, rope.Number("attention_factor"));
    if (!(factor >= 1)) return rope.Wrong("factor", "at least 1");
    BONSAI_RETURN_IF_ERROR(AddFloat(m, prefix + "attn_factor", attention / UsualAttentionFactor(factor)));
  }
  for (const char* key : {"beta_fast", "beta_slow"}) {
    if (!rope.Has(key)) continue;
    BONSAI_ASSIGN(const double beta, rope.Number(key));
    BONSAI_RETURN_IF_ERROR(AddFloat(m, prefix + "yarn_" + key, beta));
  }
  return {};
}

Result<std::vector<float>> ReadLlama3(const Object& rope, double base, uint32_t width) {
  Llama3 s;
  BONSAI_ASSIGN(s.factor, rope.NumberOr("factor", s.factor));
  BONSAI_ASSIGN(s.low, rope.NumberOr("low_freq_factor", s.low));
  BONSAI_ASSIGN(s.high, rope.NumberOr("high_freq_factor", s.high));
  BONSAI_ASSIGN(s.context, rope.NumberOr("original_max_position_embeddings", s.context));
  if (!(s.factor > 0)) return rope.Wrong("factor", "positive");
  if (!(s.context > 0)) return rope.Wrong("original_max_position_embeddings", "positive");
  if (!(s.high > s.low)) return rope.Wrong("high_freq_factor", "above low_freq_factor");
  return Llama3Factors(s, base, width);
}

/// Width of a head, which the config gives or implies: 1..65536, so that nobody makes us allocate tables of gigabytes.
Result<uint32_t> HeadWidth(const Object& config) {
  const bool given = config.Has("head_dim");
  uint32_t width = 0, heads = 1;
  BONSAI_ASSIGN(width, config.Count(given ? "head_dim" : "hidden_size"));
  if (!given) {
    BONSAI_ASSIGN(heads, config.Count("num_attention_heads"));
  }
  width /= heads;
  if (width < 1 || width > 65536) return config.Wrong(given ? "head_dim" : "hidden_size", "1 to 65536 a head");
  return width;
}

Status AddRope(const Object& config, const std::string& prefix, Metadata& m, std::vector<float>& factors) {
  const Json none = Json::object();
  const char* key = config.Has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const Json* json = config.Find(key);
  if (json != nullptr && !json->is_object()) return config.Wrong(key, "an object");
  const Object rope(config.file(), json != nullptr ? *json : none);
  const Object& has_base = rope.Has("rope_theta") ? rope : config;
  BONSAI_ASSIGN(const double base, has_base.NumberOr("rope_theta", 10000));
  if (!(base > 1)) return config.Wrong("rope_theta", "above 1");
  BONSAI_RETURN_IF_ERROR(AddFloat(m, prefix + "freq_base", base));
  BONSAI_ASSIGN(const uint32_t width, HeadWidth(config));
  const Object& has_part = rope.Has("partial_rotary_factor") ? rope : config;
  BONSAI_ASSIGN(const double part, has_part.NumberOr("partial_rotary_factor", 1));
  if (!(part > 0 && part <= 1)) return config.Wrong("partial_rotary_factor", "in 0..1");
  BONSAI_RETURN_IF_ERROR(AddCount(m, prefix + "dimension_count", static_cast<uint32_t>(part * width)));

  const char* type_key = rope.Has("rope_type") ? "rope_type" : "type";
  BONSAI_ASSIGN(const std::string type, rope.TextOr(type_key, "default"));
  const std::string scaling = prefix + "scaling.";
  if (type == "default") return {};
  if (type == "yarn") return AddYarn(config, rope, scaling, m);
  if (type == "linear") {
    BONSAI_ASSIGN(const double factor, rope.Number("factor"));
    BONSAI_RETURN_IF_ERROR(AddText(m, scaling + "type", type));
    return AddFloat(m, scaling + "factor", factor);
  }
  if (type != "llama3")
    return Error(ErrorCode::kUnsupported, "{}: '{}' is of type {}; supported are default, linear, yarn and llama3",
                 config.file(), key, Quote(type));
  BONSAI_ASSIGN(factors, ReadLlama3(rope, base, width));
  return {};
}

/// Attention over a window of the past only. (Qwen2 has a window that is switched off.)
Status CheckWindow(const Object& config) {
  BONSAI_ASSIGN(const bool used, config.BoolOr("use_sliding_window", true));
  if (!used || !config.Has("sliding_window")) return {};
  return config.Unsupported("sliding_window", "attention over a window is not supported");
}

}  // namespace

Result<HfModel> AddHfConfig(std::string_view name, std::string_view text, Metadata& m) {
  BONSAI_ASSIGN(const Json doc, ParseObject(name, text));
  const Object config(name, doc);
  BONSAI_ASSIGN(const HfArch* arch, ArchOf(config));
  BONSAI_RETURN_IF_ERROR(CheckWindow(config));
  HfModel model;
  model.arch = arch->arch;
  const std::string prefix = model.arch + ".";
  BONSAI_RETURN_IF_ERROR(AddText(m, "general.architecture", model.arch));
  for (const CountKey& key : kCounts) {
    if (key.optional && !config.Has(key.hf)) continue;
    BONSAI_ASSIGN(const uint32_t v, config.Count(key.hf));
    BONSAI_RETURN_IF_ERROR(AddCount(m, prefix + std::string(key.gguf), v));
  }
  BONSAI_ASSIGN(const double eps, config.Number("rms_norm_eps"));
  BONSAI_RETURN_IF_ERROR(AddFloat(m, prefix + "attention.layer_norm_rms_epsilon", eps));
  if (config.Has("hidden_act")) {
    BONSAI_ASSIGN(std::string act, config.TextOr("hidden_act", ""));
    BONSAI_RETURN_IF_ERROR(AddText(m, prefix + "hidden_activation", std::move(act)));
  }
  BONSAI_RETURN_IF_ERROR(AddRope(config, prefix + "rope.", m, model.rope_factors));
  BONSAI_ASSIGN(model.tied, config.BoolOr("tie_word_embeddings", false));
  return model;
}

Status AddHfGenerationConfig(std::string_view name, std::string_view text, Metadata& m) {
  BONSAI_ASSIGN(const Json doc, ParseObject(name, text));
  const Object config(name, doc);
  BONSAI_ASSIGN(const bool sample, config.BoolOr("do_sample", true));
  if (!sample) return AddFloat(m, "general.sampling.temp", 0);
  constexpr std::pair<const char*, const char*> kFloats[] = {
      {"temperature", "temp"}, {"top_p", "top_p"}, {"min_p", "min_p"}, {"repetition_penalty", "penalty_repeat"}};
  for (const auto& [hf, gguf] : kFloats) {
    if (!config.Has(hf)) continue;
    BONSAI_ASSIGN(const double v, config.Number(hf));
    BONSAI_RETURN_IF_ERROR(AddFloat(m, std::string("general.sampling.") + gguf, v));
  }
  if (!config.Has("top_k")) return {};
  BONSAI_ASSIGN(const double top_k, config.Number("top_k"));
  if (!(top_k >= 0 && top_k <= std::numeric_limits<int32_t>::max()) || top_k != std::floor(top_k))
    return config.Wrong("top_k", "an integer of 0 or more");
  return m.Add("general.sampling.top_k", {.kind = ValueKind::kI32, .data = static_cast<int64_t>(top_k)});
}

namespace {

/// The number that people would write: 1e-06, not the 9.999999974752427e-07 that the float is.
double Shortest(float v) { return std::strtod(fmt::format("{}", v).c_str(), nullptr); }

Result<OrderedJson> RopeScaling(const Metadata& m, const std::string& prefix, std::string_view type) {
  OrderedJson rope = {{"rope_type", type}};
  BONSAI_ASSIGN(const float factor, m.GetF32(prefix + "factor"));
  rope["factor"] = Shortest(factor);
  if (type != "yarn") return rope;
  BONSAI_ASSIGN(const uint32_t context, m.GetU32(prefix + "original_context_length"));
  rope["original_max_position_embeddings"] = context;
  for (const char* key : {"beta_fast", "beta_slow"}) {
    if (!m.Has(prefix + "yarn_" + key)) continue;
    BONSAI_ASSIGN(const float beta, m.GetF32(prefix + "yarn_" + key));
    rope[key] = Shortest(beta);
  }
  if (!m.Has(prefix + "attn_factor")) return rope;
  BONSAI_ASSIGN(const float attention, m.GetF32(prefix + "attn_factor"));
  rope["attention_factor"] = Shortest(static_cast<float>(attention * UsualAttentionFactor(factor)));
  return rope;
}

/// The parameters behind a table of factors: those of Llama 3.1 with the largest factor that the table has.
Result<OrderedJson> Llama3Scaling(const Metadata& m, std::span<const float> factors, float base) {
  Llama3 s;
  s.factor = *std::max_element(factors.begin(), factors.end());
  const std::vector<float> want = Llama3Factors(s, base, static_cast<uint32_t>(2 * factors.size()));
  for (size_t i = 0; i < want.size(); i++)
    if (!(std::abs(factors[i] - want[i]) <= 1e-5f * want[i]))  // converters compute them in float
      return Error(ErrorCode::kUnsupported, "{}: tensor 'rope_freqs.weight' holds no frequency factors of Llama 3",
                   m.source());
  return OrderedJson{{"rope_type", "llama3"},
                     {"factor", s.factor},
                     {"low_freq_factor", s.low},
                     {"high_freq_factor", s.high},
                     {"original_max_position_embeddings", static_cast<uint32_t>(s.context)}};
}

Status WriteRope(const Metadata& m, const std::string& prefix, std::span<const float> factors, OrderedJson& out) {
  BONSAI_ASSIGN(const float base, m.GetF32Or(prefix + "freq_base", 10000));
  out["rope_theta"] = Shortest(base);
  BONSAI_ASSIGN(const std::string_view type, m.GetStringOr(prefix + "scaling.type", "none"));
  const bool one = std::all_of(factors.begin(), factors.end(), [](float f) { return f == 1; });
  if (!one) {
    BONSAI_ASSIGN(out["rope_scaling"], Llama3Scaling(m, factors, base));
  } else if (type != "none") {
    BONSAI_ASSIGN(out["rope_scaling"], RopeScaling(m, prefix + "scaling.", type));
  }
  return {};
}

}  // namespace

Result<std::string> WriteHfConfig(const Metadata& m, const HfModel& model) {
  BONSAI_ASSIGN(const std::string_view name, m.GetString("general.architecture"));
  const HfArch* arch = HfArchOf(name);
  if (arch == nullptr)
    return Error(ErrorCode::kUnsupported, "{}: architecture {} has no Hugging Face class that we know", m.source(),
                 Quote(name));
  const std::string prefix = std::string(name) + ".";
  OrderedJson out = {{"architectures", {arch->model_class}}, {"model_type", arch->model_type}};
  for (const CountKey& key : kCounts) {
    const std::string gguf = prefix + std::string(key.gguf);
    if (key.optional && !m.Has(gguf)) continue;
    BONSAI_ASSIGN(const uint32_t v, m.GetU32(gguf));
    if (out.contains(key.hf) && out[key.hf] != v)
      return Error(ErrorCode::kUnsupported, "{}: key '{}' is {}, but config.json has one '{}' for keys and values",
                   m.source(), gguf, v, key.hf);
    out[key.hf] = v;
  }
  if (!out.contains("vocab_size") && m.Has("tokenizer.ggml.tokens")) {
    BONSAI_ASSIGN(const StringList* tokens, m.GetStrings("tokenizer.ggml.tokens"));
    out["vocab_size"] = tokens->size();
  }
  BONSAI_ASSIGN(const float eps, m.GetF32(prefix + "attention.layer_norm_rms_epsilon"));
  out["rms_norm_eps"] = Shortest(eps);
  const bool squared = arch->arch == "bitnet-b1.58";
  BONSAI_ASSIGN(const std::string_view act, m.GetStringOr(prefix + "hidden_activation", squared ? "relu2" : "silu"));
  out["hidden_act"] = act;
  BONSAI_RETURN_IF_ERROR(WriteRope(m, prefix + "rope.", model.rope_factors, out));
  out["tie_word_embeddings"] = model.tied;
  return out.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace bonsai::formats
