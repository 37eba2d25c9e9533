// The weights of a directory that is written: which tensors a file of a plan holds (hf_plan.cc), and their bytes
// (hf_writer.cc).
#pragma once

#include <vector>

#include "formats/hf_writer.h"
#include "formats/mlx.h"
#include "formats/safetensors.h"

namespace bonsai::formats {

/// GGUF's tensor for what Hugging Face has in config.json.
inline constexpr std::string_view kRopeFactors = "rope_freqs.weight";

/// A tensor of safetensors that is made of plan.tensors[from].
struct HfShardTensor : safetensors::Tensor {
  enum class Part { kAll, kMlxWeight, kMlxScales, kMlxBiases };
  size_t from = 0;
  Part part = Part::kAll;
};

/// What becomes of plan.tensors[i]: itself, the three arrays of MLX, or nothing (kRopeFactors). kUnsupported names it
/// when Hugging Face has no name for it or it has a form that cannot be written.
Result<std::vector<HfShardTensor>> HfTensorsOf(const HfPlan& plan, size_t i);
/// All of a file, in its order.
Result<std::vector<HfShardTensor>> HfShardTensors(const HfPlan& plan, const HfPlan::File& file);
/// Bytes of the file.
Result<uint64_t> HfShardBytes(const HfPlan& plan, const HfPlan::File& file);

}  // namespace bonsai::formats
