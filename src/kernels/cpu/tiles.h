// Layouts of tiles (kernels/cpu/isa.h): how the bits of 64 rows × 128 columns are arranged. Portable code; the kernels
// that read a layout live with their instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bonsai::kernels {

/// Q1_0 for look-ups by byte permutation in 64-byte registers (AVX-512 VBMI). 1,152 bytes: exactly the 1.125 bits a
/// weight of the file, so nothing grows.
///   scale[r]: fp16 of row r.
///   q[s][v][4·i + g], row r = 16·v + i: low nibble = sign bits of columns 32·s + 4·g + 0..3 (column + b in bit b),
///   high nibble = the same of columns 32·s + 16 + 4·g + 0..3.
struct alignas(64) NibbleTile {
  uint16_t scale[64];
  uint8_t q[4][4][64];
};
static_assert(sizeof(NibbleTile) == 64 * (2 + 16));

/// TileKernels::pack and unpack between Q1_0 rows and nibble tiles.
void PackNibbles(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, std::byte* band);
void UnpackNibbles(const std::byte* band, int64_t row, int64_t groups, std::byte* out);

}  // namespace bonsai::kernels
