#include "kernels/cpu/tiles.h"

#include <cstring>

#include "quant/types/q1_0.h"

namespace bonsai::kernels {
namespace {

using quant::q1_0::Block;

/// Byte g of a step's four holds columns 4g..4g+3 in its low nibble and 16 + 4g.. in its high one; a stored block has
/// column c in bit c % 8 of byte c / 8. So the step's bytes are its 32 stored bits with the nibbles interleaved.
uint32_t Interleave(uint32_t bits) {
  uint32_t out = 0;
  for (uint32_t g = 0; g < 4; ++g) out |= (bits >> 4 * g & 15u) << 8 * g | (bits >> (16 + 4 * g) & 15u) << (8 * g + 4);
  return out;
}

uint32_t Deinterleave(uint32_t bytes) {
  uint32_t out = 0;
  for (uint32_t g = 0; g < 4; ++g)
    out |= (bytes >> 8 * g & 15u) << 4 * g | (bytes >> (8 * g + 4) & 15u) << (16 + 4 * g);
  return out;
}

}  // namespace

void PackNibbles(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, std::byte* band) {
  for (int64_t k = 0; k < groups; ++k) {
    NibbleTile tile = {};
    for (int64_t r = 0; r < count; ++r) {
      Block block;
      std::memcpy(&block, rows + r * row_bytes + k * static_cast<int64_t>(sizeof(Block)), sizeof(Block));
      tile.scale[r] = block.d;
      for (int s = 0; s < 4; ++s) {
        uint32_t bits;
        std::memcpy(&bits, block.qs + 4 * s, 4);
        bits = Interleave(bits);
        std::memcpy(&tile.q[s][r / 16][4 * (r % 16)], &bits, 4);
      }
    }
    std::memcpy(band + k * static_cast<int64_t>(sizeof(tile)), &tile, sizeof(tile));
  }
}

void UnpackNibbles(const std::byte* band, int64_t row, int64_t groups, std::byte* out) {
  for (int64_t k = 0; k < groups; ++k) {
    const auto& tile = *reinterpret_cast<const NibbleTile*>(band + k * static_cast<int64_t>(sizeof(NibbleTile)));
    Block block;
    block.d = tile.scale[row];
    for (int s = 0; s < 4; ++s) {
      uint32_t bits;
      std::memcpy(&bits, &tile.q[s][row / 16][4 * (row % 16)], 4);
      bits = Deinterleave(bits);
      std::memcpy(block.qs + 4 * s, &bits, 4);
    }
    std::memcpy(out + k * static_cast<int64_t>(sizeof(Block)), &block, sizeof(Block));
  }
}

}  // namespace bonsai::kernels
