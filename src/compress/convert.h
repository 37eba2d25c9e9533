// From one container and weight format to others: planned first, so that the size is known and every refusal comes
// before a byte is written; then streamed, a bounded part of one tensor at a time.
//
//   BONSAI_ASSIGN(const compress::Plan plan, compress::PlanConversion(*file, {.type = quant::FindByName("Q1_0")}));
//   BONSAI_ASSIGN(const auto report, compress::Convert(*file, plan, "out.gguf", {.threads = 4}));
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "compress/encode.h"
#include "compress/row_stream.h"
#include "formats/gguf.h"
#include "formats/hf_writer.h"
#include "formats/model_file.h"

namespace bonsai::compress {

/// Another format for the tensors whose name a shell pattern matches ("output*", "blk.?.attn_v.weight").
struct KeepRule {
  std::string pattern;
  const quant::Type* type = nullptr;
};

/// What is written: a GGUF file, a Hugging Face directory of floats, or one of MLX's 1 or 2 bits.
enum class Container { kGguf, kSafetensors, kMlx };

struct ConvertOptions {
  Container to = Container::kGguf;
  const quant::Type* type = nullptr;  ///< Of all matrices, embeddings and head included; null: each as it is.
  std::vector<KeepRule> keep;         ///< Exceptions; the first that matches counts.
  quant::TernaryRule rule = quant::TernaryRule::kLeastSquares;
};

/// What will be written. Refers to the file and must not outlive it.
struct Plan {
  Container container = Container::kGguf;
  formats::HfPlan directory;  ///< Unless the container is GGUF.
  formats::Metadata metadata{""};
  std::vector<const formats::TensorInfo*> from;
  std::vector<formats::GgufTensor> to;  ///< Beside `from`.
  quant::TernaryRule rule = quant::TernaryRule::kLeastSquares;
  uint64_t bytes = 0;  ///< Of the output.
};

/// Matrices take the wanted format, or without one the nearest that the container holds with the same numbers; vectors
/// (norms, biases) become F32 in GGUF, as other programs expect. kUnsupported when rows of a tensor are no whole
/// blocks, naming it and --keep, or when the container does not hold a format; kInvalidArgument when a rule matches
/// nothing.
Result<Plan> PlanConversion(const formats::ModelFile& file, const ConvertOptions& options);

/// What became of each tensor, in the order of the plan.
using Report = std::vector<Change>;

/// Writes the file or directory `out`, which appears when everything is written and on the disk, or not at all; a
/// directory must not exist yet. Takes at most 256 MB beside what the file's own header takes. Errors as
/// ModelFile::ReadRows, RowEncoder and AtomicFile, naming the tensor.
Result<Report> Convert(const formats::ModelFile& file, const Plan& plan, const std::string& out,
                       const RunOptions& options);

}  // namespace bonsai::compress
