#include "kernels/cpu/tiles_avx2.h"

#include <cstring>

#include "quant/types/q1_0.h"

namespace bonsai::kernels {
namespace {

using quant::q1_0::Block;
constexpr auto kBlockBytes = static_cast<int64_t>(sizeof(Block));
constexpr auto kTileBytes = static_cast<int64_t>(sizeof(ByteTile));

}  // namespace

void PackBytes(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, std::byte* band) {
  for (int64_t k = 0; k < groups; ++k) {
    ByteTile tile = {};
    for (int64_t r = 0; r < count; ++r) {
      Block block;
      std::memcpy(&block, rows + r * row_bytes + k * kBlockBytes, sizeof(block));
      tile.scale[r] = block.d;
      for (int s = 0; s < 16; ++s) tile.q[s][r] = block.qs[s];
    }
    std::memcpy(band + k * kTileBytes, &tile, sizeof(tile));
  }
}

void UnpackBytes(const std::byte* band, int64_t row, int64_t groups, std::byte* out) {
  for (int64_t k = 0; k < groups; ++k) {
    const auto& tile = *reinterpret_cast<const ByteTile*>(band + k * kTileBytes);
    Block block;
    block.d = tile.scale[row];
    for (int s = 0; s < 16; ++s) block.qs[s] = tile.q[s][row];
    std::memcpy(out + k * kBlockBytes, &block, sizeof(block));
  }
}

}  // namespace bonsai::kernels
