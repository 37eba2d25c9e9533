#include "quant/repack.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"

namespace bonsai::quant {
namespace {

/// Weights a piece: whole blocks of every format.
constexpr int64_t kPiece = 1024;

/// The largest number of which all magnitudes are whole multiples (Euclid; fmod is exact). 0: all are 0, or one is not
/// finite, or some multiple is above 128.
double CommonDivisor(const float* x, int64_t n) {
  double divisor = 0, largest = 0;
  for (int64_t j = 0; j < n; ++j) {
    double a = std::fabs(static_cast<double>(x[j]));
    if (!std::isfinite(a)) return 0;
    largest = std::max(largest, a);
    while (a != 0 && a != divisor) {
      const double rest = std::fmod(divisor, a);
      divisor = a, a = rest;
    }
    if (largest > 128 * divisor) return 0;
  }
  return divisor;
}

/// x as codes times `scale`, of which they are whole multiples; false when a code is out of range.
bool Divide(const float* x, int64_t n, double scale, int8_t* codes) {
  for (int64_t j = 0; j < n; ++j) {
    const double code = x[j] / scale;
    if (code < -128 || code > 127) return false;
    codes[j] = static_cast<int8_t>(code);
  }
  return true;
}

/// One block through codes.
bool PackExactly(const Type& to, const float* src, std::byte* dst) {
  const int64_t n = to.block_weights;
  int8_t codes[kPiece];
  float scales[kPiece / kScaleRun];
  const double divisor = CommonDivisor(src, n);
  for (int k = 1; divisor > 0; ++k) {
    // Formats of asymmetric codes may hold only one sign of the scale.
    const double scale = divisor / k;
    const auto exact = static_cast<float>(scale);
    bool in_range = false;
    for (const double sign : {1.0, -1.0}) {
      if (!Divide(src, n, sign * scale, codes)) continue;
      in_range = true;
      if (double{exact} * k != divisor) continue;
      std::fill_n(scales, n / kScaleRun, static_cast<float>(sign) * exact);
      if (to.pack(codes, scales, dst, n)) return true;
    }
    if (!in_range) break;
  }
  return false;
}

/// Whole blocks, at most kPiece, through the format's encoder: what is all zeros, floats, and Q4_1.
bool EncodeAndCompare(const Type& to, const float* src, std::byte* dst, int64_t n) {
  float back[kPiece];
  to.encode(src, dst, n);
  to.decode(dst, back, n);
  return std::equal(src, src + n, back);
}

}  // namespace

bool EncodeExactly(const Type& to, const float* src, std::byte* dst, int64_t n) {
  BONSAI_CHECK(kPiece % to.block_weights == 0);
  if (n % to.block_weights != 0) return false;
  const int64_t step = to.pack != nullptr ? to.block_weights : kPiece;
  for (int64_t i = 0; i < n; i += step) {
    std::byte* out = dst + i / to.block_weights * to.block_bytes;
    if (to.pack != nullptr && PackExactly(to, src + i, out)) continue;
    if (!EncodeAndCompare(to, src + i, out, std::min(step, n - i))) return false;
  }
  return true;
}

bool Repack(const Type& from, const std::byte* src, const Type& to, std::byte* dst, int64_t n) {
  BONSAI_CHECK(kPiece % from.block_weights == 0 && kPiece % to.block_weights == 0);
  if (n % to.block_weights != 0) return false;
  if (from.ggml_id == to.ggml_id) {
    std::memcpy(dst, src, static_cast<size_t>(n / from.block_weights * from.block_bytes));
    return true;
  }
  int8_t codes[kPiece];
  float scales[kPiece / kScaleRun], values[kPiece];
  for (int64_t i = 0; i < n; i += kPiece) {
    const int64_t count = std::min(kPiece, n - i);
    const std::byte* in = src + i / from.block_weights * from.block_bytes;
    std::byte* out = dst + i / to.block_weights * to.block_bytes;
    if (from.unpack != nullptr && to.pack != nullptr) {
      from.unpack(in, codes, scales, count);
      if (!to.pack(codes, scales, out, count)) return false;
    } else {
      from.decode(in, values, count);
      if (!EncodeExactly(to, values, out, count)) return false;
    }
  }
  return true;
}

}  // namespace bonsai::quant
