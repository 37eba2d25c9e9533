#include "formats/hf_writer.h"

#include <algorithm>

#include "base/check.h"
#include "formats/gguf_format.h"
#include "formats/hf_names.h"
#include "formats/hf_shards.h"

namespace bonsai::formats {
namespace {

using Part = HfShardTensor::Part;

/// Bytes in, whole units of `unit` bytes out, each through `take`.
class Units {
 public:
  Units(size_t unit, std::function<Status(std::span<const std::byte>)> take) : unit_(unit), take_(std::move(take)) {}
  Status Put(std::span<const std::byte> bytes) {
    if (!rest_.empty()) {
      const size_t n = std::min(unit_ - rest_.size(), bytes.size());
      rest_.insert(rest_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n));
      bytes = bytes.subspan(n);
      if (rest_.size() < unit_) return {};
      BONSAI_RETURN_IF_ERROR(take_(rest_));
      rest_.clear();
    }
    const size_t whole = bytes.size() / unit_ * unit_;
    if (whole > 0) BONSAI_RETURN_IF_ERROR(take_(bytes.first(whole)));
    rest_.assign(bytes.begin() + static_cast<ptrdiff_t>(whole), bytes.end());
    return {};
  }

 private:
  const size_t unit_;
  const std::function<Status(std::span<const std::byte>)> take_;
  std::vector<std::byte> rest_;
};

/// Rows of GGUF's order in, Hugging Face's out; rows change places within a head only.
Status EmitHeads(std::span<const std::byte> heads, uint64_t width, size_t row_bytes, const GgufSink& emit) {
  std::vector<std::byte> ordered(heads.size());
  for (uint64_t row = 0; row < heads.size() / row_bytes; row++)
    std::copy_n(heads.begin() + static_cast<ptrdiff_t>(GgufRowOf(row, width) * row_bytes), row_bytes,
                ordered.begin() + static_cast<ptrdiff_t>(row * row_bytes));
  return emit(ordered);
}

/// Writes the tensors of a plan, whichever file they are in.
class Writer {
 public:
  Writer(const HfPlan& plan, const GgufFill& fill) : plan_(plan), fill_(fill) {}

  Status WriteShard(const HfPlan::File& file, const GgufSink& sink) {
    BONSAI_ASSIGN(const std::vector<HfShardTensor> made, HfShardTensors(plan_, file));
    const std::vector<safetensors::Tensor> tensors(made.begin(), made.end());
    BONSAI_RETURN_IF_ERROR(safetensors::Write(
        tensors, [&](size_t j, const GgufSink& emit) { return Fill(made[j], emit); }, sink));
    return SkipTo(file.end);
  }

 private:
  /// Tensors that become no tensor are read all the same: the caller counts on one call for each.
  Status SkipTo(size_t end) {
    for (; next_ < end; next_++) BONSAI_RETURN_IF_ERROR(EmitAll(next_, [](auto) -> Status { return {}; }));
    return {};
  }

  /// All bytes of plan.tensors[i], in Hugging Face's order.
  Status EmitAll(size_t i, const GgufSink& emit) {
    const GgufTensor& t = plan_.tensors[i];
    BONSAI_ASSIGN(const uint64_t bytes, gguf::TensorBytes(*t.type, t.shape));
    if (!HfPermutes(plan_.arch, t.name)) return EmitExactly(t.name, bytes, i, fill_, emit);
    const size_t row_bytes = bytes / t.shape[0];
    Units heads(row_bytes * plan_.head_width,
                [&](std::span<const std::byte> b) { return EmitHeads(b, plan_.head_width, row_bytes, emit); });
    return EmitExactly(t.name, bytes, i, fill_, [&](std::span<const std::byte> b) { return heads.Put(b); });
  }

  Status Fill(const HfShardTensor& t, const GgufSink& emit) {
    switch (t.part) {
      case Part::kMlxScales:
        return emit(std::as_bytes(std::span(scales_)));
      case Part::kMlxBiases:
        return emit(std::as_bytes(std::span(biases_)));
      case Part::kAll:
        BONSAI_RETURN_IF_ERROR(SkipTo(t.from));
        next_++;
        return EmitAll(t.from, emit);
      case Part::kMlxWeight:
        BONSAI_RETURN_IF_ERROR(SkipTo(t.from));
        next_++;
        return EmitMlxWeight(t.from, emit);
    }
    BONSAI_CHECK(false);
    return {};
  }

  /// The codes go out as they come; scales and biases wait for their turn.
  Status EmitMlxWeight(size_t i, const GgufSink& emit) {
    const GgufTensor& t = plan_.tensors[i];
    scales_.clear(), biases_.clear();
    std::vector<std::byte> codes;
    Units blocks(static_cast<size_t>(t.type->block_bytes), [&](std::span<const std::byte> b) -> Status {
      codes.clear();
      if (const Status split = SplitMlxBlocks(*t.type, b, codes, scales_, biases_); !split)
        return split.error().WithPrefix("tensor " + Quote(t.name));
      return emit(codes);
    });
    return EmitAll(i, [&](std::span<const std::byte> b) { return blocks.Put(b); });
  }

  const HfPlan& plan_;
  const GgufFill& fill_;
  size_t next_ = 0;  // the tensor that fill_ is called with next
  std::vector<uint16_t> scales_, biases_;
};

}  // namespace

Result<std::vector<HfShardTensor>> HfTensorsOf(const HfPlan& plan, size_t i) {
  const GgufTensor& t = plan.tensors[i];
  const auto refuse = [&](std::string_view what) {
    return Error(ErrorCode::kUnsupported, "tensor {} {}", Quote(t.name), what);
  };
  if (t.name == kRopeFactors) return std::vector<HfShardTensor>{};
  const std::string name = HfTensorName(plan.arch, t.name);
  if (name.empty()) return refuse(fmt::format("has no name in a Hugging Face model of architecture {}", plan.arch));
  const Result<uint64_t> bytes = gguf::TensorBytes(*t.type, t.shape);
  if (!bytes) return bytes.error().WithPrefix("tensor " + Quote(t.name));
  if (HfPermutes(plan.arch, t.name) &&
      (t.shape.size() != 2 || plan.head_width % 2 != 0 || t.shape[0] % plan.head_width != 0))
    return refuse(fmt::format("is no matrix of whole heads of {} rows", plan.head_width));
  if (t.type->is_float)
    return std::vector<HfShardTensor>{{{name, safetensors::FindDtype(t.type->name), t.shape}, i, Part::kAll}};
  const std::optional<MlxQuantization> mlx = MlxQuantizationOf(*t.type);
  constexpr std::string_view kWeight = ".weight";
  if (!mlx || t.shape.size() != 2 || !name.ends_with(kWeight))
    return refuse(fmt::format("of type {} is nothing that MLX quantises", t.type->name));
  const std::string base = name.substr(0, name.size() - kWeight.size());
  const uint64_t rows = t.shape[0], cols = t.shape[1];
  const auto* f16 = safetensors::FindDtype("F16");
  return std::vector<HfShardTensor>{
      {{name, safetensors::FindDtype("U32"), {rows, cols * mlx->bits / 32}}, i, Part::kMlxWeight},
      {{base + ".scales", f16, {rows, cols / mlx->group}}, i, Part::kMlxScales},
      {{base + ".biases", f16, {rows, cols / mlx->group}}, i, Part::kMlxBiases}};
}

Result<std::vector<HfShardTensor>> HfShardTensors(const HfPlan& plan, const HfPlan::File& file) {
  std::vector<HfShardTensor> all;
  for (size_t i = file.first; i < file.end; i++) {
    BONSAI_ASSIGN(std::vector<HfShardTensor> made, HfTensorsOf(plan, i));
    std::move(made.begin(), made.end(), std::back_inserter(all));
  }
  return all;
}

Result<uint64_t> HfShardBytes(const HfPlan& plan, const HfPlan::File& file) {
  BONSAI_ASSIGN(const std::vector<HfShardTensor> made, HfShardTensors(plan, file));
  return safetensors::FileBytes(std::vector<safetensors::Tensor>(made.begin(), made.end()));
}

Status WriteHfDir(const HfPlan& plan, const GgufFill& fill, const OpenSinkFn& open) {
  Writer writer(plan, fill);
  for (const HfPlan::File& file : plan.files) {
    BONSAI_ASSIGN(const GgufSink sink, open(file.name));
    BONSAI_RETURN_IF_ERROR(file.text.empty() ? writer.WriteShard(file, sink)
                                             : sink(std::as_bytes(std::span(file.text))));
  }
  return {};
}

}  // namespace bonsai::formats
