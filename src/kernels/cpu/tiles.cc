#include "kernels/cpu/tiles.h"

#include <cstring>

#include "quant/types/q1_0.h"

namespace bonsai::kernels {
namespace {

using quant::q1_0::Block;

/// Where row r of a tile is within the words of a half.
int64_t LaneOf(int64_t r) { return 2 * (r % 16) + r / 16 % 2; }

}  // namespace

void PackWords(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, std::byte* band) {
  for (int64_t k = 0; k < groups; ++k) {
    WordTile tile = {};
    for (int64_t r = 0; r < count; ++r) {
      Block block;
      std::memcpy(&block, rows + r * row_bytes + k * static_cast<int64_t>(sizeof(Block)), sizeof(Block));
      tile.scale[r] = block.d;
      for (int w = 0; w < 8; ++w) std::memcpy(&tile.q[w][r / 32][LaneOf(r)], block.qs + 2 * w, 2);
    }
    std::memcpy(band + k * static_cast<int64_t>(sizeof(tile)), &tile, sizeof(tile));
  }
}

void UnpackWords(const std::byte* band, int64_t row, int64_t groups, std::byte* out) {
  for (int64_t k = 0; k < groups; ++k) {
    const auto& tile = *reinterpret_cast<const WordTile*>(band + k * static_cast<int64_t>(sizeof(WordTile)));
    Block block;
    block.d = tile.scale[row];
    for (int w = 0; w < 8; ++w) std::memcpy(block.qs + 2 * w, &tile.q[w][row / 32][LaneOf(row)], 2);
    std::memcpy(out + k * static_cast<int64_t>(sizeof(Block)), &block, sizeof(Block));
  }
}

}  // namespace bonsai::kernels
