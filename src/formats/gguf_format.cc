#include "formats/gguf_format.h"

#include <algorithm>
#include <limits>

#include "base/utf8.h"

namespace bonsai::formats::gguf {

std::optional<uint64_t> AlignmentFrom(const Value& value) {
  const int64_t* stored = std::get_if<int64_t>(&value.data);
  if (stored == nullptr || value.kind == ValueKind::kBool) return std::nullopt;
  const auto alignment = static_cast<uint64_t>(*stored);
  if (!std::has_single_bit(alignment) || alignment < 8 || alignment > kMaxAlignment) return std::nullopt;
  return alignment;
}

std::string NameProblem(std::string_view name, uint64_t max) {
  if (name.empty()) return "is empty";
  if (name.size() > max) return fmt::format("has {} bytes, more than {}", name.size(), max);
  if (!IsUtf8(name)) return "is not UTF-8";
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; };
  if (std::any_of(name.begin(), name.end(), is_control)) return "has a control character";
  return {};
}

Result<uint64_t> TensorBytes(const quant::Type& type, std::span<const uint64_t> shape) {
  if (shape.empty() || shape.size() > kMaxDimensions)
    return Error(ErrorCode::kCorrupt, "{} dimensions, expected 1 to {}", shape.size(), kMaxDimensions);
  constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
  uint64_t elements = 1;
  for (const uint64_t d : shape) {
    if (d == 0) return Error(ErrorCode::kCorrupt, "a dimension of 0");
    if (d > kMax / elements) return Error(ErrorCode::kCorrupt, "more than 2^63 - 1 weights");
    elements *= d;
  }
  const uint64_t cols = shape.back(), rows = elements / cols;
  if (cols % static_cast<uint64_t>(type.block_weights) != 0)
    return Error(ErrorCode::kCorrupt, "rows of {} weights, not whole blocks of type {} ({} weights each)", cols,
                 type.name, type.block_weights);
  BONSAI_ASSIGN(const uint64_t row_bytes, type.RowBytes(static_cast<int64_t>(cols)));
  if (row_bytes > kMax / rows) return Error(ErrorCode::kCorrupt, "more than 2^63 - 1 bytes");
  return row_bytes * rows;
}

}  // namespace bonsai::formats::gguf
