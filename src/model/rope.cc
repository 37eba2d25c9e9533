#include <algorithm>
#include <cmath>
#include <numbers>

#include "model/config.h"

namespace bonsai::model {
namespace {

ErrorValue BadValue(const formats::Metadata& m, const std::string& key, double value, const char* want) {
  return Error(ErrorCode::kCorrupt, "{}: key '{}' is {}, which must be {}", m.source(), key, value, want);
}

/// The (fractional) pair index that turns `turns` times over the original context.
double PairOfTurns(const RopeConfig& r, int32_t width, double turns) {
  return width * std::log(r.original_context / (turns * 2 * std::numbers::pi)) / (2 * std::log(double{r.base}));
}

}  // namespace

Result<RopeConfig> ParseRope(const formats::Metadata& m, const std::string& arch) {
  const std::string prefix = arch + ".rope.";
  RopeConfig r;
  BONSAI_ASSIGN(r.base, m.GetF32Or(prefix + "freq_base", r.base));
  if (!(r.base > 1)) return BadValue(m, prefix + "freq_base", r.base, "above 1");
  const std::string scaling = prefix + "scaling.";
  BONSAI_ASSIGN(const std::string_view type, m.GetStringOr(scaling + "type", "none"));
  if (type == "none") return r;
  BONSAI_ASSIGN(r.factor, m.GetF32(scaling + "factor"));
  if (!(r.factor >= 1)) return BadValue(m, scaling + "factor", r.factor, "at least 1");
  if (type == "linear") {
    r.scaling = RopeConfig::Scaling::kLinear;
    return r;
  }
  if (type != "yarn")
    return Error(ErrorCode::kUnsupported, "{}: key '{}type' is '{}'; supported are none, linear and yarn", m.source(),
                 scaling, type);
  r.scaling = RopeConfig::Scaling::kYarn;
  BONSAI_ASSIGN(r.original_context, m.GetU32(scaling + "original_context_length"));
  BONSAI_ASSIGN(r.attention_factor, m.GetF32Or(scaling + "attn_factor", r.attention_factor));
  BONSAI_ASSIGN(r.beta_fast, m.GetF32Or(scaling + "yarn_beta_fast", r.beta_fast));
  BONSAI_ASSIGN(r.beta_slow, m.GetF32Or(scaling + "yarn_beta_slow", r.beta_slow));
  if (r.original_context == 0) return BadValue(m, scaling + "original_context_length", 0, "positive");
  if (!(r.attention_factor > 0)) return BadValue(m, scaling + "attn_factor", r.attention_factor, "positive");
  if (!(r.beta_slow > 0) || !(r.beta_fast >= r.beta_slow))
    return BadValue(m, scaling + "yarn_beta_fast", r.beta_fast, "at least yarn_beta_slow, both positive");
  return r;
}

RopeFrequencies ComputeRope(const RopeConfig& r, int32_t width) {
  RopeFrequencies f;
  double low = 0, high = 0;  // YaRN blends between these pair indices
  if (r.scaling == RopeConfig::Scaling::kYarn) {
    low = std::max(0.0, std::floor(PairOfTurns(r, width, r.beta_fast)));
    high = std::min(width - 1.0, std::ceil(PairOfTurns(r, width, r.beta_slow)));
    f.scale = static_cast<float>(r.attention_factor * (1 + 0.1 * std::log(double{r.factor})));
  }
  for (int32_t i = 0; i < width / 2; i++) {
    const double speed = std::pow(double{r.base}, -2.0 * i / width), slowed = speed / r.factor;
    double value = speed;
    if (r.scaling == RopeConfig::Scaling::kLinear) value = slowed;
    if (r.scaling == RopeConfig::Scaling::kYarn) {
      const double ramp = std::clamp((i - low) / std::max(0.001, high - low), 0.0, 1.0);  // 0: keep, 1: slow down
      value = speed * (1 - ramp) + slowed * ramp;
    }
    f.inv_freq.push_back(static_cast<float>(value));
  }
  return f;
}

}  // namespace bonsai::model
