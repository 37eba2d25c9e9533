// Layouts of tiles (kernels/cpu/isa.h): how the bits of 64 rows × 128 columns are arranged. Portable code; the kernels
// that read a layout live with their instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bonsai::kernels {

/// Q1_0 for look-ups by word permutation in 64-byte registers (AVX-512 BW). 1,152 bytes: exactly the 1.125 bits a
/// weight of the file, so nothing grows.
///   scale[r]: fp16 of row r.
///   q[w][h][2·i + j], row r = 32·h + 16·j + i: sign bits of columns 16·w to 16·w + 15, as stored.
struct alignas(64) WordTile {
  uint16_t scale[64];
  uint16_t q[8][2][32];
};
static_assert(sizeof(WordTile) == 64 * (2 + 16));

/// TileKernels::pack and unpack between Q1_0 rows and word tiles.
void PackWords(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, std::byte* band);
void UnpackWords(const std::byte* band, int64_t row, int64_t groups, std::byte* out);

}  // namespace bonsai::kernels
