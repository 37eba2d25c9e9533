// Layout of tiles (kernels/cpu/isa.h) of Q8_0. Portable code, as in cpu/tiles.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bonsai::kernels {

/// 64 rows × 128 columns: 8,704 bytes, exactly the 8.5 bits a weight of the file.
///   scale[b][r]: fp16 of row r for columns 32·b to 32·b + 31.
///   q[s][v][4·i + j], row r = 16·v + i: the code of column 4·s + j.
struct alignas(64) Q8Tile {
  uint16_t scale[4][64];
  uint8_t q[32][4][64];
};
static_assert(sizeof(Q8Tile) == 64 * 4 * 34);

/// TileKernels::pack and unpack, with codes as they are stored.
void PackQ8(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, std::byte* band);
void UnpackQ8(const std::byte* band, int64_t row, int64_t groups, std::byte* out);
/// The same with codes plus 128, which dot products of unsigned bytes with int8 want.
void PackQ8Biased(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, std::byte* band);
void UnpackQ8Biased(const std::byte* band, int64_t row, int64_t groups, std::byte* out);

}  // namespace bonsai::kernels
