// Rows of weights from one format to another, and what the way cost.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "quant/ternary.h"
#include "quant/types.h"

namespace bonsai::compress {

/// What became of some weights. Adds up over pieces in any order (sums of doubles differ in their last bits then, so
/// they are added in the order of the rows).
struct Change {
  uint64_t weights = 0;
  bool exact = true;                ///< Every weight has the same value as before.
  double error = 0, magnitude = 0;  ///< Σ (after − before)², Σ before².
  std::array<uint64_t, 4> codes{};  ///< Codes −1, 0, +1, +2 of formats that have no others.
  void Add(const Change& more);
  /// Weights whose code is 0.
  uint64_t zeros() const { return codes[1]; }
  /// sqrt(Σ (after − before)² / Σ before²); 0 for exact ones.
  double RelativeError() const;
};

/// Re-encodes rows. Not thread safe: one for each thread.
class RowEncoder {
 public:
  /// `rule` decides how floats become ternary codes.
  RowEncoder(const quant::Type& from, const quant::Type& to, quant::TernaryRule rule);

  /// `count` weights, whole rows of `cols`: `src` in the one format, `dst` in the other, whose sizes fit. Tries
  /// to keep every number; where that is impossible, encodes by rule. kUnsupported when a row holds an infinity or NaN.
  Result<Change> Encode(std::span<const std::byte> src, std::span<std::byte> dst, int64_t cols, int64_t rows);

 private:
  Status EncodeRow(const std::byte* src, std::byte* dst, int64_t cols, Change& change);
  void CountCodes(const std::byte* dst, int64_t cols, Change& change);

  const quant::Type &from_, &to_;
  quant::TernaryRule rule_;
  bool ternary_;
  std::vector<float> before_, after_, scales_;
  std::vector<int8_t> codes_;
};

/// Whether a format's codes are -1, 0, +1 (and perhaps +2).
bool IsTernary(const quant::Type& type);

}  // namespace bonsai::compress
