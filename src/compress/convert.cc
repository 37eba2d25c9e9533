#include "compress/convert.h"

#include <fnmatch.h>

#include <algorithm>
#include <optional>

#include "base/atomic_file.h"

namespace bonsai::compress {
namespace {

using formats::Quote;
using formats::TensorInfo;

/// Keys that describe the container and not the model: they are wrong after a conversion.
bool DescribesTheFile(std::string_view key) { return key.starts_with("split.") || key == "general.file_type"; }

Result<formats::Metadata> MetadataOf(const formats::ModelFile& file, bool quantised) {
  formats::Metadata out(file.name());
  constexpr std::string_view kVersion = "general.quantization_version";
  for (const auto& [key, value] : file.metadata().entries()) {
    if (DescribesTheFile(key) || key == kVersion) continue;
    BONSAI_RETURN_IF_ERROR(out.Add(key, value));
  }
  if (quantised) {
    // Version 2 of ggml's block formats: fp16 scales. Readers ask for it.
    BONSAI_RETURN_IF_ERROR(out.Add(std::string(kVersion), {.kind = formats::ValueKind::kU32, .data = int64_t{2}}));
  }
  return out;
}

/// The format for matrices of `type` when the user asked for none: its own, or one with the same numbers that the
/// container holds. What MLX does not hold stays, and is refused by name later.
const quant::Type* AsIs(const quant::Type& type, Container to) {
  if (to == Container::kGguf || type.is_float) return &type;
  if (to == Container::kSafetensors) return quant::FindByName("F16");
  constexpr std::string_view kSame[][2] = {
      {"TQ1_0", "PQ2_0"}, {"TQ2_0", "PQ2_0"}, {"PTQ1_0", "PQ2_0"}, {"TQ2_0_G128", "PQ2_0"}, {"I2_S", "PQ2_0"}};
  for (const auto& [from, same] : kSame)
    if (from == type.name) return quant::FindByName(same);
  return &type;
}

/// Which format a tensor takes; marks the rule that said so.
const quant::Type* TypeFor(const TensorInfo& t, const ConvertOptions& o, std::vector<bool>& used) {
  for (size_t i = 0; i < o.keep.size(); i++) {
    if (::fnmatch(o.keep[i].pattern.c_str(), t.name.c_str(), 0) != 0) continue;
    used[i] = true;
    return o.keep[i].type;
  }
  if (t.shape.size() == 1) return t.type->is_float && o.to == Container::kGguf ? quant::FindByName("F32") : t.type;
  return o.type != nullptr ? o.type : AsIs(*t.type, o.to);
}

/// The encoders of the pieces in flight for one tensor.
class TensorJob {
 public:
  TensorJob(const TensorInfo& from, const quant::Type& to, quant::TernaryRule rule)
      : from_(from),
        row_bytes_(static_cast<uint64_t>(to.block_bytes) * (from.cols() / static_cast<uint64_t>(to.block_weights))),
        encoders_(kPiecesInFlight, RowEncoder(*from.type, to, rule)),
        changes_(kPiecesInFlight) {}

  Status Work(Piece& piece, size_t index) {
    piece.made.resize(piece.rows * row_bytes_);
    BONSAI_ASSIGN(changes_[index], encoders_[index].Encode(piece.stored, piece.made, static_cast<int64_t>(from_.cols()),
                                                           static_cast<int64_t>(piece.rows)));
    return {};
  }

  /// The changes of the pieces so far, in order.
  void Take(size_t index) { total_.Add(changes_[index]); }
  const Change& total() const { return total_; }

 private:
  const TensorInfo& from_;
  uint64_t row_bytes_;
  std::vector<RowEncoder> encoders_;
  std::vector<Change> changes_;
  Change total_;
};

Status WriteFile(const Plan& plan, const formats::GgufFill& fill, const std::string& out) {
  BONSAI_ASSIGN(AtomicFile target, AtomicFile::Create(out));
  BONSAI_RETURN_IF_ERROR(formats::WriteGguf(plan.metadata, plan.to, fill,
                                            [&](std::span<const std::byte> bytes) { return target.Write(bytes); }));
  return target.Commit();
}

/// Files are complete one by one, in a directory of another name that gets its own at the end.
Status WriteDirectory(const Plan& plan, const formats::GgufFill& fill, const std::string& out) {
  BONSAI_ASSIGN(AtomicDirectory target, AtomicDirectory::Create(out));
  std::optional<AtomicFile> file;
  const auto open = [&](std::string_view name) -> Result<formats::GgufSink> {
    if (file) BONSAI_RETURN_IF_ERROR(file->Commit());
    BONSAI_ASSIGN(AtomicFile next, AtomicFile::Create(target.PathOf(name)));
    file.emplace(std::move(next));
    return formats::GgufSink([&](std::span<const std::byte> bytes) { return file->Write(bytes); });
  };
  BONSAI_RETURN_IF_ERROR(formats::WriteHfDir(plan.directory, fill, open));
  if (file) BONSAI_RETURN_IF_ERROR(file->Commit());
  file.reset();
  return target.Commit();
}

}  // namespace

Result<Plan> PlanConversion(const formats::ModelFile& file, const ConvertOptions& options) {
  Plan plan;
  plan.rule = options.rule;
  std::vector<bool> used(options.keep.size());
  bool quantised = false;
  for (const TensorInfo& t : file.tensors()) {
    const quant::Type* type = TypeFor(t, options, used);
    if (t.cols() % static_cast<uint64_t>(type->block_weights) != 0)
      return Error(ErrorCode::kUnsupported,
                   "{}: tensor {} has rows of {} weights, no multiple of the {} of {}; keep it with --keep '{}=F16'",
                   file.name(), Quote(t.name), t.cols(), type->block_weights, type->name, t.name);
    quantised = quantised || !type->is_float;
    plan.from.push_back(&t);
    plan.to.push_back({.name = t.name, .shape = t.shape, .type = type});
  }
  for (size_t i = 0; i < used.size(); i++)
    if (!used[i])
      return Error(ErrorCode::kInvalidArgument,
                   "{}: no tensor's name matches --keep '{}'; 'bonsai inspect --tensors' "
                   "lists them",
                   file.name(), options.keep[i].pattern);
  BONSAI_ASSIGN(plan.metadata, MetadataOf(file, quantised));
  plan.container = options.to;
  if (options.to == Container::kGguf) {
    BONSAI_ASSIGN(plan.bytes, formats::GgufBytes(plan.metadata, plan.to));
    return plan;
  }
  if (options.to == Container::kSafetensors && quantised)
    return Error(ErrorCode::kUnsupported,
                 "{}: a safetensors directory holds floats; use --type F16, BF16 or F32, or --to mlx", file.name());
  BONSAI_ASSIGN(const formats::HfModel model, formats::HfModelOf(file));
  BONSAI_ASSIGN(plan.directory, formats::PlanHfDir(plan.metadata, model, plan.to));
  plan.bytes = plan.directory.bytes;
  return plan;
}

Result<Report> Convert(const formats::ModelFile& file, const Plan& plan, const std::string& out,
                       const RunOptions& options) {
  RowStreamer streamer(file, options, "the conversion was cancelled; nothing was written");
  Report report;
  const auto fill = [&](size_t i, const formats::GgufSink& emit) -> Status {
    const TensorInfo& from = *plan.from[i];
    TensorJob job(from, *plan.to[i].type, plan.rule);
    const Status status = streamer.Stream(
        from, [&](Piece& piece, size_t index) { return job.Work(piece, index); },
        [&](const Piece& piece, size_t index) { return job.Take(index), emit(piece.made); });
    if (!status) {
      const ErrorValue& error = status.error();
      return error.code() == ErrorCode::kCancelled ? error : error.WithPrefix("tensor " + Quote(from.name));
    }
    report.push_back(job.total());
    return {};
  };
  BONSAI_RETURN_IF_ERROR(plan.container == Container::kGguf ? WriteFile(plan, fill, out)
                                                            : WriteDirectory(plan, fill, out));
  return report;
}

}  // namespace bonsai::compress
