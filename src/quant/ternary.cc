#include "quant/ternary.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "base/half.h"

namespace bonsai::quant {
namespace {

/// Codes of magnitudes that `keep` keeps.
template <class Keep>
void Threshold(const float* x, int64_t n, Keep keep, int8_t* codes) {
  for (int64_t j = 0; j < n; ++j) codes[j] = static_cast<int8_t>(!keep(std::fabs(x[j])) ? 0 : x[j] > 0 ? 1 : -1);
}

float AbsMean(const float* x, int64_t n, int8_t* codes) {
  double sum = 0;
  for (int64_t j = 0; j < n; ++j) sum += std::fabs(x[j]);
  const double mean = sum / static_cast<double>(n);
  Threshold(
      x, n, [&](float magnitude) { return magnitude > mean / 2; }, codes);
  return static_cast<float>(mean);
}

float LeastSquares(const float* x, int64_t n, int8_t* codes) {
  std::vector<float> sorted(static_cast<size_t>(n));
  std::transform(x, x + n, sorted.begin(), [](float v) { return std::fabs(v); });
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  // Keeping k with their mean d leaves Σx² - (Σ kept)²/k. Equal magnitudes are kept together: (sum + j·m)²/(k + j) is
  // convex in j, so it is largest at one end.
  double sum = 0, best = 0, d = 0;
  float least = std::numeric_limits<float>::infinity();
  for (size_t k = 1; k <= sorted.size() && sorted[k - 1] > 0; ++k) {
    sum += sorted[k - 1];
    const double gain = sum / static_cast<double>(k) * sum;
    if (gain <= best) continue;
    best = gain, d = sum / static_cast<double>(k), least = sorted[k - 1];
  }
  Threshold(
      x, n, [&](float magnitude) { return magnitude >= least; }, codes);
  return static_cast<float>(d);
}

}  // namespace

float ChooseTernary(TernaryRule rule, const float* x, int64_t n, int8_t* codes) {
  if (MaxMagnitudeBits(x, n) > 0x7f7fffffu) {
    std::fill_n(codes, n, int8_t{0});
    return std::numeric_limits<float>::quiet_NaN();
  }
  const auto choose = rule == TernaryRule::kMax ? TernaryMax : rule == TernaryRule::kAbsMean ? AbsMean : LeastSquares;
  return HalfToFloat(FloatToHalf(choose(x, n, codes)));
}

bool EncodeTernary(const Type& to, TernaryRule rule, const float* src, std::byte* dst, int64_t n) {
  if (to.pack == nullptr) return false;
  const int64_t block = to.block_weights;
  std::vector<int8_t> codes(static_cast<size_t>(block));
  std::vector<float> scales(static_cast<size_t>(block / kScaleRun));
  for (int64_t i = 0; i < n; i += block, dst += to.block_bytes) {
    std::fill(scales.begin(), scales.end(), ChooseTernary(rule, src + i, block, codes.data()));
    if (!to.pack(codes.data(), scales.data(), dst, block)) return false;
  }
  return true;
}

}  // namespace bonsai::quant
