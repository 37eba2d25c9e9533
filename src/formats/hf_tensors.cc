#include "formats/hf_tensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/half.h"
#include "formats/gguf_format.h"
#include "formats/hf_names.h"
#include "formats/row_readers.h"

namespace bonsai::formats {
namespace {

constexpr std::string_view kWeight = ".weight";

/// Rows that lie in memory: what config.json says and GGUF has a tensor for.
class MemoryRows final : public RowReader {
 public:
  explicit MemoryRows(std::vector<float> row) : row_(std::move(row)) {}
  Status Read(uint64_t, uint64_t rows, std::span<std::byte> out) const override {
    if (rows > 0) std::memcpy(out.data(), row_.data(), out.size());
    return {};
  }

 private:
  const std::vector<float> row_;
};

class Mapper {
 public:
  explicit Mapper(const HfContext& context) : c_(context) {}

  Result<std::vector<TensorInfo>> Map() {
    for (const HfTensor& t : c_.weights.tensors)
      if (!IsLeftOut(t)) BONSAI_RETURN_IF_ERROR(Add(t));
    std::sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) {
      return a.part != b.part ? a.part < b.part : a.offset < b.offset;
    });
    BONSAI_RETURN_IF_ERROR(CheckNamesDiffer());
    if (!c_.model.rope_factors.empty()) AddRopeFactors();
    return std::move(tensors_);
  }

 private:
  const ByteSource& SourceOf(const HfTensor& t) const { return *c_.weights.parts[t.part]; }

  template <class... Args>
  ErrorValue Fail(const HfTensor& t, ErrorCode code, fmt::format_string<Args...> format, Args&&... args) const {
    return Error(code, "{}: tensor {} (byte {}): {}", SourceOf(t).name(), Quote(t.name), t.offset,
                 fmt::format(format, std::forward<Args>(args)...));
  }

  /// The tensor beside "X.weight" that is called "X" + suffix, if there is one.
  const HfTensor* Beside(const HfTensor& weight, std::string_view suffix) const {
    if (!weight.name.ends_with(kWeight)) return nullptr;
    return c_.weights.Find(weight.name.substr(0, weight.name.size() - kWeight.size()) + std::string(suffix));
  }

  /// Scales are read with their matrix; a tied head is the embedding; and some tensors nobody needs.
  bool IsLeftOut(const HfTensor& t) const {
    const auto belongs = [&](std::string_view suffix) {
      return t.name.ends_with(suffix) &&
             c_.weights.Find(t.name.substr(0, t.name.size() - suffix.size()) + std::string(kWeight)) != nullptr;
    };
    if (c_.storage.mlx && (belongs(".scales") || belongs(".biases"))) return true;
    if (c_.storage.bitnet && belongs(".weight_scale")) return true;
    return (c_.model.tied && t.name == "lm_head.weight") || HfIsDerived(t.name);
  }

  Status Add(const HfTensor& t) {
    TensorInfo info;
    info.name = GgufTensorName(t.name);
    if (info.name.empty())
      return Fail(t, ErrorCode::kUnsupported, "not a tensor of the architecture {} that we know", c_.model.arch);
    info.shape = t.shape.empty() ? std::vector<uint64_t>{1} : t.shape;
    info.offset = t.offset;
    info.part = t.part;
    if (const HfTensor* scales = c_.storage.mlx ? Beside(t, ".scales") : nullptr) {
      BONSAI_RETURN_IF_ERROR(SetMlx(t, *scales, info));
    } else if (const HfTensor* scale = c_.storage.bitnet ? Beside(t, ".weight_scale") : nullptr) {
      BONSAI_RETURN_IF_ERROR(SetBitNet(t, *scale, info));
    } else {
      info.type = quant::FindByName(t.dtype->type);
      if (info.type == nullptr)
        return Fail(t, ErrorCode::kUnsupported, "weights stored as {} are not supported", t.dtype->name);
    }
    const Result<uint64_t> bytes = gguf::TensorBytes(*info.type, info.shape);
    if (!bytes) return Fail(t, bytes.error().code(), "{}", bytes.error().message());
    info.bytes = *bytes;
    if (HfPermutes(c_.model.arch, info.name)) BONSAI_RETURN_IF_ERROR(Reorder(t, info));
    tensors_.push_back(std::move(info));
    return {};
  }

  Status SetMlx(const HfTensor& t, const HfTensor& scales, TensorInfo& info) const {
    const MlxQuantization& q = *c_.storage.mlx;
    const HfTensor* biases = Beside(t, ".biases");
    if (biases == nullptr) return Fail(t, ErrorCode::kCorrupt, "it has scales and no biases");
    if (t.dtype->name != "U32" || t.shape.size() != 2)
      return Fail(t, ErrorCode::kCorrupt, "it has scales, but is not a matrix of U32");
    // 2^63 bits at most: the reader of the header has seen to that.
    const uint64_t rows = t.shape[0], cols = t.shape[1] * 32 / q.bits;
    if (cols % q.group != 0)
      return Fail(t, ErrorCode::kCorrupt, "rows of {} weights, not whole groups of {}", cols, q.group);
    const std::vector<uint64_t> groups = {rows, cols / q.group};
    for (const HfTensor* array : {&scales, biases}) {
      if (array->shape != groups)
        return Fail(*array, ErrorCode::kCorrupt, "shape [{}], expected [{}]", fmt::join(array->shape, ", "),
                    fmt::join(groups, ", "));
      if (array->dtype->type.empty())
        return Fail(*array, ErrorCode::kCorrupt, "stored as {}, expected F16, BF16 or F32", array->dtype->name);
    }
    info.shape = {rows, cols};
    info.type = MlxType(q);
    info.stored = fmt::format("MLX {} bit{}, group {}", q.bits, q.bits == 1 ? "" : "s", q.group);
    const auto array = [&](const HfTensor& a) { return MlxMatrix::Array{&SourceOf(a), a.offset, a.dtype}; };
    info.reader = MlxRows({q, cols, array(t), array(scales), array(*biases)});
    return {};
  }

  /// The one float of a tensor.
  Result<float> ReadScale(const HfTensor& t) const {
    const quant::Type* type = quant::FindByName(t.dtype->type);
    if (type == nullptr || !(t.shape.empty() || t.shape == std::vector<uint64_t>{1}))
      return Fail(t, ErrorCode::kCorrupt, "not one F16, BF16 or F32");
    std::vector<std::byte> bytes(t.bytes);
    BONSAI_RETURN_IF_ERROR(SourceOf(t).ReadAt(t.offset, bytes));
    float scale = 0;
    type->decode(bytes.data(), &scale, 1);
    return scale;
  }

  Status SetBitNet(const HfTensor& t, const HfTensor& scale_tensor, TensorInfo& info) const {
    if (t.dtype->name != "U8" || t.shape.size() != 2)
      return Fail(t, ErrorCode::kUnsupported, "it has a weight_scale, but is not a matrix of U8");
    BONSAI_ASSIGN(const float scale, ReadScale(scale_tensor));
    const bool divides = c_.storage.bitnet->scale_divides;
    // The quotient is judged in double: exact for a power of two, and only then.
    const double exact = divides ? 1.0 / static_cast<double>(scale) : scale;
    const uint16_t half = FloatToHalf(static_cast<float>(exact));
    if (!std::isfinite(exact) || HalfToFloat(half) != exact || (divides && exact * scale != 1.0))
      return Fail(t, ErrorCode::kUnsupported, "its scale, {}{}, is no fp16 number; get the model in floats",
                  divides ? "1 / " : "", scale);
    const uint64_t cols = t.shape[1];
    info.shape = {4 * t.shape[0], cols};
    info.type = quant::FindByName(cols % 128 == 0 ? "PQ2_0" : "Q2_0");
    info.stored = "BitNet U8";
    if (cols % static_cast<uint64_t>(info.type->block_weights) == 0 && t.shape[0] > 0)
      info.reader = PackedTernaryRows({&SourceOf(t), t.offset, 4 * t.shape[0], cols, half}, *info.type);
    return {};  // what is no whole block is refused with the size
  }

  Status Reorder(const HfTensor& t, TensorInfo& info) const {
    const uint64_t width = c_.head_width;
    if (info.shape.size() != 2)
      return Fail(t, ErrorCode::kUnsupported, "biases of queries and keys are not supported in {}", c_.model.arch);
    if (width == 0 || width % 2 != 0 || info.shape[0] % width != 0)
      return Fail(t, ErrorCode::kCorrupt, "{} rows are not whole heads of {}", info.shape[0], width);
    const uint64_t row_bytes = info.bytes / info.shape[0];
    if (info.reader == nullptr) info.reader = PlainRows(SourceOf(t), t.offset, row_bytes);
    info.reader = ReorderedRows(std::move(info.reader), row_bytes, [width](uint64_t r) { return HfRowOf(r, width); });
    return {};
  }

  void AddRopeFactors() {
    const std::vector<float>& factors = c_.model.rope_factors;
    TensorInfo info;
    info.name = "rope_freqs.weight";
    info.shape = {factors.size()};
    info.type = quant::FindByName("F32");
    info.bytes = factors.size() * sizeof(float);
    info.stored = "config.json";
    info.reader = std::make_shared<MemoryRows>(factors);
    tensors_.push_back(std::move(info));
  }

  Status CheckNamesDiffer() const {
    std::vector<std::string_view> names;
    for (const TensorInfo& t : tensors_) names.push_back(t.name);
    std::sort(names.begin(), names.end());
    const auto twin = std::adjacent_find(names.begin(), names.end());
    if (twin == names.end()) return {};
    return Error(ErrorCode::kCorrupt, "{}: two tensors are {} under different names", c_.weights.parts[0]->name(),
                 Quote(*twin));
  }

  const HfContext& c_;
  std::vector<TensorInfo> tensors_;
};

}  // namespace

Result<std::vector<TensorInfo>> MapHfTensors(const HfContext& context) { return Mapper(context).Map(); }

Result<uint32_t> HeadWidthOf(const Metadata& metadata, std::string_view arch) {
  const std::string prefix = std::string(arch) + ".";
  uint32_t width = 0, heads = 1;
  if (metadata.Has(prefix + "attention.key_length")) {
    BONSAI_ASSIGN(width, metadata.GetU32(prefix + "attention.key_length"));
  } else {
    BONSAI_ASSIGN(width, metadata.GetU32(prefix + "embedding_length"));
    BONSAI_ASSIGN(heads, metadata.GetU32(prefix + "attention.head_count"));
  }
  if (heads == 0 || width / heads == 0)
    return Error(ErrorCode::kCorrupt, "{}: {} heads share {} columns", metadata.source(), heads, width);
  return width / heads;
}

}  // namespace bonsai::formats
