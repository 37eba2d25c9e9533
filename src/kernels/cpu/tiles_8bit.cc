#include "kernels/cpu/tiles_8bit.h"

#include <cstring>

#include "quant/types/q8_0.h"

namespace bonsai::kernels {
namespace {

using quant::q8_0::Block;
constexpr int kBlocks = 4;  // a row and tile

/// Four codes at a time; `bias` is 0 or 0x80808080.
void Pack(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, uint32_t bias, std::byte* band) {
  for (int64_t k = 0; k < groups; ++k, band += sizeof(Q8Tile)) {
    auto& tile = *new (band) Q8Tile{};
    for (int64_t r = 0; r < count; ++r) {
      for (int b = 0; b < kBlocks; ++b) {
        const Block block = quant::q8_0::Load(rows + r * row_bytes + (k * kBlocks + b) * int64_t{sizeof(Block)});
        tile.scale[b][r] = block.d;
        for (int s = 0; s < 8; ++s) {
          uint32_t codes;
          std::memcpy(&codes, block.qs + 4 * s, sizeof(codes));
          codes ^= bias;
          std::memcpy(&tile.q[8 * b + s][r / 16][4 * (r % 16)], &codes, sizeof(codes));
        }
      }
    }
  }
}

void Unpack(const std::byte* band, int64_t row, int64_t groups, uint32_t bias, std::byte* out) {
  const auto* tile = reinterpret_cast<const Q8Tile*>(band);
  for (int64_t k = 0; k < groups; ++k, ++tile) {
    for (int b = 0; b < kBlocks; ++b, out += sizeof(Block)) {
      Block block;
      block.d = tile->scale[b][row];
      for (int s = 0; s < 8; ++s) {
        uint32_t codes;
        std::memcpy(&codes, &tile->q[8 * b + s][row / 16][4 * (row % 16)], sizeof(codes));
        codes ^= bias;
        std::memcpy(block.qs + 4 * s, &codes, sizeof(codes));
      }
      std::memcpy(out, &block, sizeof(block));
    }
  }
}

constexpr uint32_t kBias = 0x80808080u;

}  // namespace

void PackQ8(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, std::byte* band) {
  Pack(rows, row_bytes, count, groups, 0, band);
}

void UnpackQ8(const std::byte* band, int64_t row, int64_t groups, std::byte* out) { Unpack(band, row, groups, 0, out); }

void PackQ8Biased(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, std::byte* band) {
  Pack(rows, row_bytes, count, groups, kBias, band);
}

void UnpackQ8Biased(const std::byte* band, int64_t row, int64_t groups, std::byte* out) {
  Unpack(band, row, groups, kBias, out);
}

}  // namespace bonsai::kernels
