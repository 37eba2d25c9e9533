// Layout of tiles (kernels/cpu/isa.h) of two-bit weights, Q2_0, PQ2_0 and TQ2_0, for dot products of unsigned bytes
// with int8. Portable code, as in cpu/tiles.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bonsai::kernels {

/// 64 rows × 128 columns of codes 0, 1, 2, 3 (for -1, 0, +1, +2). 32 bits of one row hold 16 columns, such that masking
/// them with 3 << 2i leaves the codes of columns 4i..4i+3, times 4^i, in the four bytes: what one dot-product
/// instruction multiplies with four neighbouring activations.
///   scale[p][r]: fp16 of row r for the p-th 128 / kScales columns.
///   q[s][v][4·i + b], row r = 16·v + i: bits 2j and 2j + 1 are the code of column 16·s + 4·j + b.
template <int kScales>
struct alignas(64) CrumbTile {
  uint16_t scale[kScales][64];
  uint8_t q[8][4][64];
};
/// 2,304 bytes: exactly the 2.25 bits a weight of the file.
using Q2Tile = CrumbTile<2>;
static_assert(sizeof(Q2Tile) == 64 * (4 + 32));
/// 2,176 bytes: exactly the 2.125 bits a weight of PQ2_0. TQ2_0 has 2.0625 in the file: a block fills two tiles, and
/// its scale is in both.
using Tq2Tile = CrumbTile<1>;
static_assert(sizeof(Tq2Tile) == 64 * (2 + 32));

/// One group of activations for the product with one token: the codes, and what `code - 1` subtracts.
struct alignas(64) CrumbInput {
  int8_t q[128];
  int32_t sums[2];  ///< Of columns 0-63 and 64-127.
};
static_assert(sizeof(CrumbInput) == 192);

/// TileKernels::pack and unpack of the three formats.
void PackQ2(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, std::byte* band);
void UnpackQ2(const std::byte* band, int64_t row, int64_t groups, std::byte* out);
void PackPq2(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, std::byte* band);
void UnpackPq2(const std::byte* band, int64_t row, int64_t groups, std::byte* out);
void PackTq2(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, std::byte* band);
void UnpackTq2(const std::byte* band, int64_t row, int64_t groups, std::byte* out);

}  // namespace bonsai::kernels
