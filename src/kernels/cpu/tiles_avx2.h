// A layout of tiles (kernels/cpu/isa.h) for look-ups by byte permutation in 16-byte tables (vpshufb of AVX2, tbl of
// NEON).
#pragma once

#include <cstddef>
#include <cstdint>

namespace bonsai::kernels {

/// Q1_0 with its sign bytes transposed: 1,152 bytes, exactly the 1.125 bits a weight of the file.
///   scale[r]: fp16 of row r.
///   q[s][r]: byte s of row r's stored bits: columns 8·s..8·s+3 in the low nibble and 8·s+4..8·s+7 in the high one.
struct alignas(64) ByteTile {
  uint16_t scale[64];
  uint8_t q[16][64];
};
static_assert(sizeof(ByteTile) == 64 * (2 + 16));

/// TileKernels::pack and unpack between Q1_0 rows and byte tiles.
void PackBytes(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, std::byte* band);
void UnpackBytes(const std::byte* band, int64_t row, int64_t groups, std::byte* out);

}  // namespace bonsai::kernels
