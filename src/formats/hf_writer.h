// A Hugging Face model directory, written: planned first, so that names and sizes are known and what cannot be written
// is refused before a byte is; then streamed.
//
//   BONSAI_ASSIGN(const HfModel model, HfModelOf(file));
//   BONSAI_ASSIGN(const HfPlan plan, PlanHfDir(file.metadata(), model, tensors, {}));    // plan.bytes is the size
//   BONSAI_RETURN_IF_ERROR(WriteHfDir(plan, fill, [&](std::string_view name) { return OpenForWriting(name); }));
//
// Floats become safetensors as they are; Q1_0, Q1_0_G32, Q2_0 and PQ2_0 become MLX's affine quantisation with the same
// numbers (formats/mlx.h). Opened again (formats/hf_dir.h) it is the same model, bit for bit.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf.h"
#include "formats/hf_config.h"
#include "formats/model_file.h"

namespace bonsai::formats {

struct HfWriteOptions {
  /// Weights a file; a larger tensor has a file of its own. Several files come with an index.
  uint64_t shard_bytes = 5'000'000'000;
};

/// What a directory will hold, in the order in which it is written.
struct HfPlan {
  struct File {
    std::string name;  ///< A plain file name.
    uint64_t bytes = 0;
    std::string text = {};      ///< All of a small file; empty: weights.
    size_t first = 0, end = 0;  ///< Those tensors, from first on; of weights.
  };
  std::vector<File> files;
  uint64_t bytes = 0;               ///< Of all files.
  std::vector<GgufTensor> tensors;  ///< As given.
  std::string arch;
  uint32_t head_width = 0;
};

/// What config.json says of a model and its GGUF keys do not: from its tensors. Errors as ReadRows.
Result<HfModel> HfModelOf(const ModelFile& file);

/// `tensors` have GGUF's names. kUnsupported names a tensor that has no name there, a type that safetensors cannot hold
/// (repack or convert it first), or two quantised types in one model, which config.json has one entry for.
Result<HfPlan> PlanHfDir(const Metadata& metadata, const HfModel& model, std::vector<GgufTensor> tensors,
                         const HfWriteOptions& options = {});

/// Opens the directory's next file for writing; what came before is complete. Names are plain and differ.
using OpenSinkFn = std::function<Result<GgufSink>(std::string_view name)>;

/// Writes what is planned. `fill(i, emit)` is called once for each tensor, in order, and must emit exactly the bytes of
/// its rows, as for WriteGguf. Holds the scales of one matrix in memory, 4 bytes for 32 weights or more.
/// kInvalidArgument names a tensor with a scale that MLX's fp16 cannot hold doubled.
Status WriteHfDir(const HfPlan& plan, const GgufFill& fill, const OpenSinkFn& open);

}  // namespace bonsai::formats
