// What a decoder-only transformer looks like: numbers read from a file's metadata, confirmed by its tensors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/metadata.h"
#include "kernels/ops.h"

namespace bonsai::model {

/// Rotary embedding parameters. YaRN: Peng et al. 2023, arXiv 2309.00071.
struct RopeConfig {
  enum class Scaling { kNone, kLinear, kYarn };
  float base = 10000.0f;
  Scaling scaling = Scaling::kNone;
  float factor = 1.0f;            ///< Context extension, >= 1.
  uint32_t original_context = 0;  ///< Context the model was first trained with (YaRN).
  float attention_factor = 1.0f;  ///< On top of YaRN's own 0.1·ln(factor) + 1.
  float beta_fast = 32.0f;        ///< Pairs that turn more often than this over the original context keep their speed.
  float beta_slow = 1.0f;         ///< Pairs that turn less often than this are slowed by the whole factor.
};

/// Letters as in kernels/ops.h.
struct Config {
  std::string architecture;  ///< "qwen3".
  std::string name;          ///< general.name, or empty.
  int32_t layers = 0;        ///< L
  int32_t d_model = 0;       ///< D
  int32_t heads = 0;         ///< H
  int32_t kv_heads = 0;      ///< Hkv
  int32_t k_width = 0;       ///< Dh of queries and keys.
  int32_t v_width = 0;       ///< Dh of values.
  int32_t d_ff = 0;          ///< F
  int32_t vocab = 0;         ///< V, from the embedding's rows.
  int32_t trained_context = 0;
  float rms_eps = 0;
  kernels::GateFn gate = kernels::GateFn::kSilu;
  RopeConfig rope;
};

/// Reads `<arch>.rope.*`. kUnsupported names a scaling type we do not have; kCorrupt a value out of range.
Result<RopeConfig> ParseRope(const formats::Metadata& metadata, const std::string& arch);

/// The angle speed of each of the `width / 2` pairs, and the factor on sines and cosines.
struct RopeFrequencies {
  std::vector<float> inv_freq;
  float scale = 1.0f;
};
RopeFrequencies ComputeRope(const RopeConfig& rope, int32_t width);

}  // namespace bonsai::model
