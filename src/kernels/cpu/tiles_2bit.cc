#include "kernels/cpu/tiles_2bit.h"

#include <cstring>

#include "quant/types/q2_0.h"
#include "quant/types/tq2_0.h"

namespace bonsai::kernels {
namespace {

/// Q2_0 keeps column 4·i + b of 16 in bits 2b of byte i, a tile in bits 2i of byte b: a 4 × 4 matrix of two-bit fields
/// is transposed, first within 2 × 2 blocks, then the blocks. Its own inverse.
uint32_t Transpose(uint32_t x) {
  uint32_t swap = (x ^ x >> 6) & 0x00cc00ccu;
  x ^= swap ^ swap << 6;
  swap = (x ^ x >> 12) & 0x0000f0f0u;
  return x ^ swap ^ swap << 12;
}

uint32_t Word(const uint8_t* bytes) {
  uint32_t word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

/// 16 columns from a 32-byte half of TQ2_0, which keeps column 32·l + m in bits 2l of byte m.
uint32_t GatherTq2(const uint8_t* half, int step) {
  const int l = step / 2;
  uint32_t out = 0;
  for (int i = 0; i < 4; ++i) out |= (Word(half + step % 2 * 16 + 4 * i) >> 2 * l & 0x03030303u) << 2 * i;
  return out;
}

void ScatterTq2(uint32_t word, int step, uint8_t* half) {
  const int l = step / 2;
  for (int i = 0; i < 4; ++i) {
    uint8_t* at = half + step % 2 * 16 + 4 * i;
    const uint32_t merged = Word(at) | (word >> 2 * i & 0x03030303u) << 2 * l;
    std::memcpy(at, &merged, sizeof(merged));
  }
}

template <class Tile>
void PutWord(Tile& tile, int64_t row, int step, uint32_t word) {
  std::memcpy(&tile.q[step][row / 16][4 * (row % 16)], &word, sizeof(word));
}

template <class Tile>
uint32_t GetWord(const Tile& tile, int64_t row, int step) {
  return Word(&tile.q[step][row / 16][4 * (row % 16)]);
}

template <class Tile>
void Store(const Tile& tile, int64_t k, std::byte* band) {
  std::memcpy(band + k * static_cast<int64_t>(sizeof(tile)), &tile, sizeof(tile));
}

// Q2_0 and PQ2_0: blocks of kWeights, two or one a tile and row.

template <int64_t kWeights>
void PackBlocks(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, std::byte* band) {
  constexpr int kParts = 128 / kWeights, kSteps = 8 / kParts;
  constexpr int64_t kBytes = sizeof(quant::q2_0::Block<kWeights>);
  for (int64_t k = 0; k < groups; ++k) {
    CrumbTile<kParts> tile = {};
    for (int64_t r = 0; r < count; ++r) {
      for (int part = 0; part < kParts; ++part) {
        const auto block = quant::q2_0::Load<kWeights>(rows + r * row_bytes + (kParts * k + part) * kBytes);
        tile.scale[part][r] = block.d;
        for (int s = 0; s < kSteps; ++s) PutWord(tile, r, kSteps * part + s, Transpose(Word(block.qs + 4 * s)));
      }
    }
    Store(tile, k, band);
  }
}

template <int64_t kWeights>
void UnpackBlocks(const std::byte* band, int64_t row, int64_t groups, std::byte* out) {
  constexpr int kParts = 128 / kWeights, kSteps = 8 / kParts;
  const auto* tiles = reinterpret_cast<const CrumbTile<kParts>*>(band);
  for (int64_t k = 0; k < groups; ++k) {
    for (int part = 0; part < kParts; ++part) {
      quant::q2_0::Block<kWeights> block;
      block.d = tiles[k].scale[part][row];
      for (int s = 0; s < kSteps; ++s) {
        const uint32_t word = Transpose(GetWord(tiles[k], row, kSteps * part + s));
        std::memcpy(block.qs + 4 * s, &word, sizeof(word));
      }
      std::memcpy(out, &block, sizeof(block));
      out += sizeof(block);
    }
  }
}

}  // namespace

void PackQ2(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, std::byte* band) {
  PackBlocks<64>(rows, row_bytes, count, groups, band);
}

void UnpackQ2(const std::byte* band, int64_t row, int64_t groups, std::byte* out) {
  UnpackBlocks<64>(band, row, groups, out);
}

void PackPq2(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, std::byte* band) {
  PackBlocks<128>(rows, row_bytes, count, groups, band);
}

void UnpackPq2(const std::byte* band, int64_t row, int64_t groups, std::byte* out) {
  UnpackBlocks<128>(band, row, groups, out);
}

void PackTq2(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, std::byte* band) {
  constexpr int64_t kBytes = sizeof(quant::tq2_0::Block);
  for (int64_t k = 0; k < groups; ++k) {
    Tq2Tile tile = {};
    for (int64_t r = 0; r < count; ++r) {
      const quant::tq2_0::Block block = quant::tq2_0::Load(rows + r * row_bytes + k / 2 * kBytes);
      tile.scale[0][r] = block.d;
      for (int s = 0; s < 8; ++s) PutWord(tile, r, s, GatherTq2(block.qs + k % 2 * 32, s));
    }
    Store(tile, k, band);
  }
}

void UnpackTq2(const std::byte* band, int64_t row, int64_t groups, std::byte* out) {
  const auto* tiles = reinterpret_cast<const Tq2Tile*>(band);
  for (int64_t k = 0; k < groups; k += 2, out += sizeof(quant::tq2_0::Block)) {
    quant::tq2_0::Block block = {};
    block.d = tiles[k].scale[0][row];
    for (int half = 0; half < 2; ++half) {
      for (int s = 0; s < 8; ++s) ScatterTq2(GetWord(tiles[k + half], row, s), s, block.qs + 32 * half);
    }
    std::memcpy(out, &block, sizeof(block));
  }
}

}  // namespace bonsai::kernels
