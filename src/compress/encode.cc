#include "compress/encode.h"

#include <algorithm>
#include <cmath>

#include "quant/repack.h"

namespace bonsai::compress {
namespace {

/// Squared differences and squares of a row, in lanes so that compilers vectorise.
void AddErrors(const float* before, const float* after, int64_t n, Change& change) {
  constexpr int kLanes = 8;
  double error[kLanes] = {}, magnitude[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const double b = before[i + l], d = static_cast<double>(after[i + l]) - b;
      error[l] += d * d, magnitude[l] += b * b;
    }
  }
  for (int l = 0; i + l < n; ++l) {
    const double b = before[i + l], d = static_cast<double>(after[i + l]) - b;
    error[l] += d * d, magnitude[l] += b * b;
  }
  for (int l = 0; l < kLanes; ++l) change.error += error[l], change.magnitude += magnitude[l];
}

}  // namespace

bool IsTernary(const quant::Type& type) {
  if (type.pack == nullptr) return false;
  // It holds a block of -1, 0 and +1, and none of -3.
  const auto n = static_cast<size_t>(type.block_weights);
  std::vector<int8_t> codes(n);
  const std::vector<float> scales(n / quant::kScaleRun, 1.0f);
  std::vector<std::byte> block(static_cast<size_t>(type.block_bytes));
  codes[0] = -1, codes[1] = 1;
  if (!type.pack(codes.data(), scales.data(), block.data(), type.block_weights)) return false;
  codes[0] = -3;
  return !type.pack(codes.data(), scales.data(), block.data(), type.block_weights);
}

void Change::Add(const Change& more) {
  weights += more.weights, exact = exact && more.exact;
  error += more.error, magnitude += more.magnitude;
  for (size_t i = 0; i < codes.size(); i++) codes[i] += more.codes[i];
}

double Change::RelativeError() const { return error == 0 ? 0 : std::sqrt(error / magnitude); }

RowEncoder::RowEncoder(const quant::Type& from, const quant::Type& to, quant::TernaryRule rule)
    : from_(from), to_(to), rule_(rule), ternary_(IsTernary(to)) {}

Result<Change> RowEncoder::Encode(std::span<const std::byte> src, std::span<std::byte> dst, int64_t cols,
                                  int64_t rows) {
  Change change;
  change.weights = static_cast<uint64_t>(cols * rows);
  const size_t from_bytes = src.size() / static_cast<size_t>(rows), to_bytes = dst.size() / static_cast<size_t>(rows);
  for (int64_t r = 0; r < rows; r++) {
    const auto row = static_cast<size_t>(r);
    BONSAI_RETURN_IF_ERROR(EncodeRow(src.data() + row * from_bytes, dst.data() + row * to_bytes, cols, change));
  }
  return change;
}

Status RowEncoder::EncodeRow(const std::byte* src, std::byte* dst, int64_t cols, Change& change) {
  if (!quant::Repack(from_, src, to_, dst, cols)) {
    before_.resize(static_cast<size_t>(cols)), after_.resize(before_.size());
    from_.decode(src, before_.data(), cols);
    if (quant::MaxMagnitudeBits(before_.data(), cols) > 0x7f7fffffu)
      return Error(ErrorCode::kUnsupported, "it holds an infinity or NaN, which {} cannot", to_.name);
    if (!ternary_) {
      to_.encode(before_.data(), dst, cols);
    } else if (!quant::EncodeTernary(to_, rule_, before_.data(), dst, cols)) {
      return Error(ErrorCode::kUnsupported, "its weights are too large for the fp16 scale of {}", to_.name);
    }
    to_.decode(dst, after_.data(), cols);
    change.exact = false;
    AddErrors(before_.data(), after_.data(), cols, change);
    if (!std::isfinite(change.error))
      return Error(ErrorCode::kUnsupported, "its weights are too large for {}", to_.name);
  }
  CountCodes(dst, cols, change);
  return {};
}

void RowEncoder::CountCodes(const std::byte* dst, int64_t cols, Change& change) {
  if (to_.unpack == nullptr) return;
  codes_.resize(static_cast<size_t>(cols)), scales_.resize(static_cast<size_t>(cols / quant::kScaleRun));
  to_.unpack(dst, codes_.data(), scales_.data(), cols);
  // In lanes of bytes, added up before they overflow.
  constexpr size_t kLanes = 32, kMost = 255 * kLanes;
  for (size_t first = 0; first < codes_.size(); first += kMost) {
    uint8_t lanes[4][kLanes] = {};
    const size_t end = std::min(codes_.size(), first + kMost);  // a multiple of 32, as rows are
    for (size_t i = first; i < end; i += kLanes) {
      for (int k = 0; k < 4; k++)
        for (size_t l = 0; l < kLanes; l++) lanes[k][l] = static_cast<uint8_t>(lanes[k][l] + (codes_[i + l] == k - 1));
    }
    for (size_t k = 0; k < 4; k++)
      for (const uint8_t count : lanes[k]) change.codes[k] += count;
  }
}

}  // namespace bonsai::compress
