#include "formats/mlx.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/half.h"

namespace bonsai::formats {
namespace {

struct Form {
  MlxQuantization mlx;
  std::string_view type;
  bool widened;  ///< 1 bit as two, −1 and +1, because no 1-bit format has groups of 64.
};

constexpr Form kForms[] = {
    {{1, 128}, "Q1_0", false}, {{1, 32}, "Q1_0_G32", false}, {{2, 128}, "PQ2_0", false},
    {{2, 64}, "Q2_0", false},  {{1, 64}, "Q2_0", true},
};

const Form* FindForm(const MlxQuantization& quantization) {
  const auto at =
      std::find_if(std::begin(kForms), std::end(kForms), [&](const Form& f) { return f.mlx == quantization; });
  return at == std::end(kForms) ? nullptr : at;
}

constexpr uint64_t kPiece = uint64_t{1} << 20;  // bytes of codes read at a time

/// Element `i` of an array of one of the three float types.
float FloatAt(const std::vector<std::byte>& bytes, uint32_t bits, bool is_bf16, size_t i) {
  if (bits == 32) {
    float f;
    std::memcpy(&f, bytes.data() + i * 4, sizeof f);
    return f;
  }
  uint16_t h;
  std::memcpy(&h, bytes.data() + i * 2, sizeof h);
  return is_bf16 ? Bf16ToFloat(h) : HalfToFloat(h);
}

/// Bits → codes 0 and 2 of two bits each, low bits first: `bytes` of `in` become twice as many.
void Widen(const std::byte* in, size_t bytes, std::byte* out) {
  for (size_t i = 0; i < bytes; i++) {
    const auto bits = std::to_integer<uint32_t>(in[i]);
    uint32_t wide = 0;
    for (uint32_t b = 0; b < 8; b++) wide |= (bits >> b & 1) << (2 * b + 1);
    out[2 * i] = static_cast<std::byte>(wide & 0xff);
    out[2 * i + 1] = static_cast<std::byte>(wide >> 8);
  }
}

class MlxReader final : public RowReader {
 public:
  explicit MlxReader(const MlxMatrix& matrix) : m_(matrix), form_(*FindForm(matrix.quantization)) {}

  Status Read(uint64_t row, uint64_t rows, std::span<std::byte> out) const override {
    const uint64_t row_codes = m_.cols * m_.quantization.bits / 8;
    const uint64_t piece = std::max<uint64_t>(1, kPiece / row_codes), row_bytes = rows == 0 ? 0 : out.size() / rows;
    for (uint64_t done = 0; done < rows; done += piece) {
      const uint64_t n = std::min(piece, rows - done);
      BONSAI_RETURN_IF_ERROR(ReadPiece(row + done, n, out.subspan(done * row_bytes, n * row_bytes)));
    }
    return {};
  }

 private:
  struct Floats {
    std::vector<std::byte> bytes;
    const safetensors::Dtype* dtype;
    float operator[](size_t i) const { return FloatAt(bytes, dtype->bits, dtype->name == "BF16", i); }
  };

  /// One float a group of these rows.
  Result<Floats> ReadFloats(const MlxMatrix::Array& array, uint64_t row, uint64_t rows) const {
    const uint64_t row_bytes = m_.cols / m_.quantization.group * array.dtype->bits / 8;
    Floats floats{std::vector<std::byte>(rows * row_bytes), array.dtype};
    BONSAI_RETURN_IF_ERROR(array.source->ReadAt(array.offset + row * row_bytes, floats.bytes));
    return floats;
  }

  Status ReadPiece(uint64_t row, uint64_t rows, std::span<std::byte> out) const {
    const uint64_t row_codes = m_.cols * m_.quantization.bits / 8,
                   group_codes = m_.quantization.group * m_.quantization.bits / 8;
    std::vector<std::byte> codes(rows * row_codes);
    BONSAI_RETURN_IF_ERROR(m_.weight.source->ReadAt(m_.weight.offset + row * row_codes, codes));
    BONSAI_ASSIGN(const Floats scales, ReadFloats(m_.scales, row, rows));
    BONSAI_ASSIGN(const Floats biases, ReadFloats(m_.biases, row, rows));
    const uint64_t groups = codes.size() / group_codes, row_groups = m_.cols / m_.quantization.group;
    const uint64_t block = out.size() / std::max<uint64_t>(1, groups);
    for (uint64_t g = 0; g < groups; g++) {
      const std::optional<uint16_t> d = ScaleOf(scales[g], biases[g]);
      if (!d)
        return Error(ErrorCode::kUnsupported,
                     "{}: row {}, group {}: scale {} and bias {} are affine with a general bias, or beyond fp16; "
                     "dequantise the model first",
                     m_.weight.source->name(), row + g / row_groups, g % row_groups, scales[g], biases[g]);
      std::byte* to = out.data() + g * block;
      std::memcpy(to, &*d, sizeof *d);
      if (form_.widened)
        Widen(codes.data() + g * group_codes, group_codes, to + sizeof *d);
      else
        std::memcpy(to + sizeof *d, codes.data() + g * group_codes, group_codes);
    }
    return {};
  }

  /// fp16 bits of our scale, if there is one with exactly these numbers. Halving and doubling are exact, or overflow.
  std::optional<uint16_t> ScaleOf(float scale, float bias) const {
    const float d = m_.quantization.bits == 1 ? scale / 2 : scale;
    const uint16_t half = FloatToHalf(d);
    const bool is_exact =
        std::isfinite(d) && HalfToFloat(half) == d && d * (m_.quantization.bits == 1 ? 2.0f : 1.0f) == scale;
    return is_exact && bias == -d ? std::optional(half) : std::nullopt;
  }

  const MlxMatrix m_;
  const Form& form_;
};

}  // namespace

const quant::Type* MlxType(const MlxQuantization& quantization) {
  const Form* form = FindForm(quantization);
  return form == nullptr ? nullptr : quant::FindByName(form->type);
}

std::optional<MlxQuantization> MlxQuantizationOf(const quant::Type& type) {
  for (const Form& form : kForms)
    if (!form.widened && form.type == type.name) return form.mlx;
  return std::nullopt;
}

std::shared_ptr<const RowReader> MlxRows(const MlxMatrix& matrix) { return std::make_shared<MlxReader>(matrix); }

Status SplitMlxBlocks(const quant::Type& type, std::span<const std::byte> blocks, std::vector<std::byte>& weight,
                      std::vector<uint16_t>& scales, std::vector<uint16_t>& biases) {
  const auto block_bytes = static_cast<size_t>(type.block_bytes);
  const bool one_bit = MlxQuantizationOf(type)->bits == 1;
  for (size_t at = 0; at < blocks.size(); at += block_bytes) {
    uint16_t d;
    std::memcpy(&d, blocks.data() + at, sizeof d);
    const float scale = HalfToFloat(d) * (one_bit ? 2.0f : 1.0f);
    const uint16_t half = FloatToHalf(scale);
    if (!std::isfinite(HalfToFloat(half)))
      return Error(ErrorCode::kInvalidArgument, "block {}: its scale {}{} is beyond fp16", at / block_bytes,
                   HalfToFloat(d), one_bit ? ", doubled," : "");
    scales.push_back(half);
    biases.push_back(d ^ 0x8000);
    weight.insert(weight.end(), blocks.begin() + static_cast<ptrdiff_t>(at + sizeof d),
                  blocks.begin() + static_cast<ptrdiff_t>(at + block_bytes));
  }
  return {};
}

}  // namespace bonsai::formats
