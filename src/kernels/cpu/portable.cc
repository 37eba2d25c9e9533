// Row kernels in portable C++.
#include <array>
#include <bit>

#include "base/half.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/rows_2bit.h"
#include "kernels/lanes.h"
#include "quant/act_i8.h"
#include "quant/types/q1_0.h"

namespace bonsai::kernels {
namespace {

using quant::kActGroup;
using quant::q1_0::Block;
static_assert(quant::q1_0::kWeights == kActGroup, "a block of Q1_0 is one activation group");

// For each byte of sign bits, what turns 8 activations into ±x: a look-up costs one load where shifting and comparing
// costs four operations. Float: the sign bit to flip (8 KiB). int8: 0 or -1, used as (x ^ m) - m (2 KiB).
template <class T>
constexpr std::array<T, 256 * 8> SignMasks(T minus) {
  std::array<T, 256 * 8> masks = {};
  for (size_t byte = 0; byte < 256; ++byte) {
    for (size_t bit = 0; bit < 8; ++bit) masks[byte * 8 + bit] = (byte >> bit & 1) != 0 ? T{0} : minus;
  }
  return masks;
}
alignas(64) constexpr auto kFloatMasks = SignMasks<uint32_t>(0x80000000u);
alignas(64) constexpr auto kInt8Masks = SignMasks<int8_t>(-1);

/// Σ ±x over a block, in lanes.
float SignedSum(const Block& block, const float* x) {
  float lanes[kLanes] = {};
  for (int i = 0; i < kActGroup / kLanes; ++i) {
    for (int half = 0; half < 2; ++half) {
      const uint32_t* mask = &kFloatMasks[size_t{block.qs[2 * i + half]} * 8];
      for (int l = 0; l < 8; ++l) {
        lanes[8 * half + l] += std::bit_cast<float>(std::bit_cast<uint32_t>(x[kLanes * i + 8 * half + l]) ^ mask[l]);
      }
    }
  }
  return TreeSum(lanes);
}

/// Σ ±q over a block, exact. 16 bits hold a lane: 16 values of at most 127.
int32_t SignedSum(const Block& block, const int8_t* q) {
  int16_t lanes[8] = {};
  for (int i = 0; i < kActGroup / 8; ++i) {
    const int8_t* mask = &kInt8Masks[size_t{block.qs[i]} * 8];
    for (int l = 0; l < 8; ++l)
      lanes[l] = static_cast<int16_t>(lanes[l] + static_cast<int8_t>((q[8 * i + l] ^ mask[l]) - mask[l]));
  }
  int32_t sum = 0;
  for (const int16_t lane : lanes) sum += lane;
  return sum;
}

void Q1F32(const quant::Type&, const WeightRows& w, const F32Rows& x, int64_t n, float* y) {
  for (int64_t r = 0; r < w.count; ++r, ++y) {
    for (int64_t t = 0; t < n; ++t) y[t * kBandRows] = 0;
    const std::byte* at = w.w + r * w.row_bytes;
    for (int64_t c = 0; c < w.cols; c += kActGroup, at += sizeof(Block)) {
      const Block block = quant::q1_0::Load(at);
      const float d = HalfToFloat(block.d);
      for (int64_t t = 0; t < n; ++t) y[t * kBandRows] += d * SignedSum(block, x.x + t * x.stride + c);
    }
  }
}

void Q1I8(const quant::Type&, const std::byte* w, int64_t cols, const I8Rows& x, int64_t n, float* y) {
  for (int64_t t = 0; t < n; ++t) y[t] = 0;
  for (int64_t c = 0; c < cols; c += kActGroup, w += sizeof(Block)) {
    const Block block = quant::q1_0::Load(w);
    const float d = HalfToFloat(block.d);
    for (int64_t t = 0; t < n; ++t) {
      const float dx = x.scales[t * x.scale_stride + c / kActGroup];
      y[t] += (d * dx) * static_cast<float>(SignedSum(block, x.q + t * x.stride + c));
    }
  }
}

#include "kernels/cpu/portable_ceiling.inc"

constexpr RowKernels kRows[] = {
    {41, Q1I8, Q1F32}, {42, Q2RowI8, nullptr}, {142, Pq2RowI8, nullptr}, {35, Tq2RowI8, nullptr}};

}  // namespace

const KernelTable kPortableKernels = {"portable", 0, kRows, std::size(kRows), nullptr, 0, nullptr, kDotLoop};

}  // namespace bonsai::kernels
