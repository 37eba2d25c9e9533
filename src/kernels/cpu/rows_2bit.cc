// Loops of fixed length without branches, which compilers vectorise for whatever the build targets (SSE2 at least).
#include "kernels/cpu/rows_2bit.h"

#include <cstring>

#include "base/half.h"
#include "quant/act_i8.h"
#include "quant/types/q2_0.h"
#include "quant/types/tq2_0.h"

namespace bonsai::kernels {
namespace {

using quant::kActGroup;

/// Σ w·q over N columns, exact. |w·q| ≤ 2·127, so 16 bits hold a lane of N/16 ≤ 8 products.
template <int64_t N>
int32_t CodeSum(const int8_t* w, const int8_t* q) {
  static_assert(N % 16 == 0 && N <= 128);
  int16_t lanes[16] = {};
  for (int64_t i = 0; i < N; i += 16) {
    for (int l = 0; l < 16; ++l) lanes[l] = static_cast<int16_t>(lanes[l] + int16_t{w[i + l]} * int16_t{q[i + l]});
  }
  int32_t sum = 0;
  for (const int16_t lane : lanes) sum += lane;
  return sum;
}

// Codes are read where they are: a block copied to the stack in 16 bytes and 2, then loaded from byte 2 on, waits for
// both stores to leave the store buffer.
const uint8_t* Bytes(const std::byte* block, size_t at) { return reinterpret_cast<const uint8_t*>(block) + at; }

float Scale(const std::byte* block, size_t at) {
  uint16_t d;
  std::memcpy(&d, block + at, sizeof(d));
  return HalfToFloat(d);
}

/// Columns that share both scales, how they are found and expanded to -1, 0, +1, +2.
template <int64_t kWeights>
struct Q2 {
  static constexpr int64_t kColumns = kWeights;

  static float Expand(const std::byte* row, int64_t part, int8_t* w) {
    using Block = quant::q2_0::Block<kWeights>;
    const std::byte* block = row + part * static_cast<int64_t>(sizeof(Block));
    const uint8_t* qs = Bytes(block, offsetof(Block, qs));
    uint32_t spread[kWeights / 4];  // four codes of a byte in four bytes
    for (int m = 0; m < kWeights / 4; ++m) {
      const uint32_t byte = qs[m];
      const uint32_t nibbles = (byte | byte << 12) & 0x000f000fu;
      spread[m] = (nibbles | nibbles << 6) & 0x03030303u;
    }
    // Bytes minus 1, without a borrow from one to the next.
    for (uint32_t& four : spread) four = ((four | 0x80808080u) - 0x01010101u) ^ 0x80808080u;
    std::memcpy(w, spread, sizeof(spread));
    return Scale(block, offsetof(Block, d));
  }
};

struct Tq2 {
  static constexpr int64_t kColumns = kActGroup;

  static float Expand(const std::byte* row, int64_t part, int8_t* w) {
    using Block = quant::tq2_0::Block;
    const std::byte* block = row + part / 2 * static_cast<int64_t>(sizeof(Block));
    const uint8_t* half = Bytes(block, offsetof(Block, qs)) + part % 2 * 32;
    for (int l = 0; l < 4; ++l) {
      for (int m = 0; m < 32; ++m) w[32 * l + m] = static_cast<int8_t>((half[m] >> 2 * l & 3) - 1);
    }
    return Scale(block, offsetof(Block, d));
  }
};

template <class Format>
void RowI8(const std::byte* w, int64_t cols, const I8Rows& x, int64_t n, float* y) {
  for (int64_t t = 0; t < n; ++t) y[t] = 0;
  for (int64_t c = 0; c < cols; c += Format::kColumns) {
    alignas(64) int8_t codes[Format::kColumns];
    const float d = Format::Expand(w, c / Format::kColumns, codes);
    for (int64_t t = 0; t < n; ++t) {
      const float dx = x.scales[t * x.scale_stride + c / kActGroup];
      y[t] += (d * dx) * static_cast<float>(CodeSum<Format::kColumns>(codes, x.q + t * x.stride + c));
    }
  }
}

}  // namespace

void Q2RowI8(const quant::Type&, const std::byte* w, int64_t cols, const I8Rows& x, int64_t n, float* y) {
  RowI8<Q2<64>>(w, cols, x, n, y);
}

void Pq2RowI8(const quant::Type&, const std::byte* w, int64_t cols, const I8Rows& x, int64_t n, float* y) {
  RowI8<Q2<128>>(w, cols, x, n, y);
}

void Tq2RowI8(const quant::Type&, const std::byte* w, int64_t cols, const I8Rows& x, int64_t n, float* y) {
  RowI8<Tq2>(w, cols, x, n, y);
}

}  // namespace bonsai::kernels
