// Tile kernels of every table, called directly: packing loses nothing, and products are the contract of
// kernels/cpu/isa.h to the bit, also where the integer arithmetic inside is at its limits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/rng.h"
#include "kernels/cpu/select.h"
#include "quant/types.h"

namespace bonsai::kernels {
namespace {

struct Case {
  const KernelTable* table;
  const TileKernels* tiles;
};

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const KernelTable* table : AllKernelTables()) {
    for (const TileKernels* tiles : TilesOf(*table)) cases.push_back({table, tiles});
  }
  return cases;
}

std::string Name(const Case& c) {
  return std::string(c.table->name) + "_" + std::string(quant::FindByGgmlId(c.tiles->ggml_id)->name);
}

class TilesTest : public testing::TestWithParam<Case> {};
// A build may have no tile kernels.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TilesTest);
INSTANTIATE_TEST_SUITE_P(Tables, TilesTest, testing::ValuesIn(Cases()),
                         [](const auto& tested) { return Name(tested.param); });

constexpr int64_t kGroups = 6, kCols = kGroups * quant::kActGroup;  // whole blocks of up to 256 columns

Buffer Take(int64_t bytes) {
  Result<Buffer> buffer = Buffer::Allocate(static_cast<size_t>(bytes));
  EXPECT_TRUE(buffer);
  return std::move(*buffer);
}

/// Bytes of any value, or all of value `fill` from 0 on.
std::vector<std::byte> Bytes(int64_t count, int fill, uint64_t seed) {
  std::vector<std::byte> bytes(static_cast<size_t>(count));
  Rng rng(seed);
  for (std::byte& b : bytes) b = static_cast<std::byte>(fill < 0 ? rng.Next() & 255 : static_cast<uint64_t>(fill));
  return bytes;
}

/// Equal to the bit, or both a NaN.
bool Same(float a, float b) { return std::memcmp(&a, &b, sizeof(a)) == 0 || (std::isnan(a) && std::isnan(b)); }

/// Weights and codes by name of their signs: '+', '-', '/' alternating, '?' random.
float Weight(char sign, int64_t i, Rng& rng) {
  if (sign == '?') return static_cast<float>(rng.Uniform() * 2 - 1);
  return sign == '-' || (sign == '/' && i % 2 != 0) ? -0.5f : 0.5f;
}
int8_t Code(char sign, int64_t i, Rng& rng) {
  if (sign == '?') return static_cast<int8_t>(static_cast<int64_t>(rng.Next() % 255) - 127);
  return sign == '-' || (sign == '/' && i % 2 != 0) ? -127 : 127;
}

/// Stored rows by name of the weights' signs (see Weight), '*' for bytes of any value with scales of any size and sign,
/// one row in four also infinities and NaNs, '8' for bytes 0x80: codes of -128 and negative subnormal scales.
std::vector<std::byte> StoredRows(const quant::Type& type, int64_t count, char weights, Rng& rng) {
  const auto row_bytes = static_cast<size_t>(*type.RowBytes(kCols));
  const auto block_bytes = static_cast<size_t>(type.block_bytes);
  if (weights == '8') return Bytes(count * static_cast<int64_t>(row_bytes), 0x80, 0);
  if (weights == '*') {
    std::vector<std::byte> rows = Bytes(count * static_cast<int64_t>(row_bytes), -1, rng.Next());
    const size_t exponent = type.name == "TQ2_0" ? block_bytes - 1 : 1;  // the byte of a block's scale that has it
    for (size_t at = 0; at < rows.size(); at += block_bytes) {
      if (at / row_bytes % 4 != 0) rows[at + exponent] &= std::byte{0xbf};
    }
    return rows;
  }
  std::vector<std::byte> rows(static_cast<size_t>(count) * row_bytes);
  std::vector<float> row(kCols);
  for (int64_t r = 0; r < count; ++r) {
    for (int64_t c = 0; c < kCols; ++c) row[static_cast<size_t>(c)] = Weight(weights, c, rng);
    type.encode(row.data(), &rows[static_cast<size_t>(r) * row_bytes], kCols);
  }
  return rows;
}

// Not every byte is a weight of every format (a ternary code has three values), but all must come back.
TEST_P(TilesTest, UnpackGivesBackWhatWasPacked) {
  const TileKernels& tiles = *GetParam().tiles;
  const auto row_bytes = static_cast<int64_t>(*quant::FindByGgmlId(tiles.ggml_id)->RowBytes(kCols));
  Buffer band = Take(kGroups * tiles.tile_bytes);
  for (const int fill : {-1, 0, 255}) {
    for (int64_t count = 1; count <= kBandRows; ++count) {
      const std::vector<std::byte> rows = Bytes(count * row_bytes, fill, static_cast<uint64_t>(count));
      std::memset(band.data(), 0x5a, static_cast<size_t>(kGroups * tiles.tile_bytes));
      tiles.pack(rows.data(), row_bytes, count, kGroups, band.data());
      std::vector<std::byte> back(static_cast<size_t>(row_bytes));
      for (int64_t r = 0; r < count; ++r) {
        tiles.unpack(band.data(), r, kGroups, back.data());
        ASSERT_EQ(std::memcmp(back.data(), rows.data() + r * row_bytes, back.size()), 0) << count << " rows, row " << r;
      }
    }
  }
}

TEST_P(TilesTest, ProductsAreTheContractToTheBit) {
  if ((GetParam().table->needs & ~DetectCpuBits()) != 0) GTEST_SKIP() << "not on this CPU";
  const TileKernels& tiles = *GetParam().tiles;
  const quant::Type& type = *quant::FindByGgmlId(tiles.ggml_id);
  const auto row_bytes = static_cast<int64_t>(*type.RowBytes(kCols));
  constexpr int64_t kBands = 5, kRows = kBands * kBandRows - 3, kMost = 13;
  const int64_t part = std::min(type.block_weights, quant::kActGroup);  // what one integer sum covers
  Rng rng(1);
  for (const char weights : {'?', '+', '-', '/', '*', '8'}) {
    const std::vector<std::byte> rows = StoredRows(type, kRows, weights, rng);
    const int64_t band_bytes = kGroups * tiles.tile_bytes;
    Buffer bands = Take(kBands * band_bytes);
    for (int64_t b = 0; b < kBands; ++b) {
      tiles.pack(&rows[static_cast<size_t>(b * kBandRows * row_bytes)], row_bytes,
                 std::min(kBandRows, kRows - b * kBandRows), kGroups, bands.data() + b * band_bytes);
    }
    for (const char codes : {'?', '+', '-', '/'}) {
      std::vector<int8_t> q(kMost * kCols);
      std::vector<float> scales(kMost * kGroups);
      for (size_t i = 0; i < q.size(); ++i) q[i] = Code(codes, static_cast<int64_t>(i), rng);
      for (float& scale : scales) scale = static_cast<float>(rng.Uniform());
      std::vector<float> expected(kMost * kRows);
      std::vector<int32_t> sums(static_cast<size_t>(kCols / part));
      std::vector<float> dw(sums.size());
      for (int64_t t = 0; t < kMost; ++t) {
        for (int64_t r = 0; r < kRows; ++r) {
          type.dot_i8(&rows[static_cast<size_t>(r * row_bytes)], &q[static_cast<size_t>(t * kCols)], kCols, sums.data(),
                      dw.data());
          float y = 0;
          for (size_t b = 0; b < sums.size(); ++b) {
            const int64_t group = static_cast<int64_t>(b) * part / quant::kActGroup;
            const float scale = dw[b] * scales[static_cast<size_t>(t * kGroups + group)];
            const float term = scale * static_cast<float>(sums[b]);
            y = y + term;
          }
          expected[static_cast<size_t>(t * kRows + r)] = y;
        }
      }
      const auto check = [&](const float* y, int64_t t, int64_t band, const char* kernel, int64_t n) {
        for (int64_t r = band * kBandRows; r < std::min((band + 1) * kBandRows, kRows); ++r) {
          const float got = y[r - band * kBandRows], want = expected[static_cast<size_t>(t * kRows + r)];
          ASSERT_TRUE(Same(got, want)) << got << " and not " << want << ", " << kernel << ", weights " << weights
                                       << ", codes " << codes << ", token " << t << " of " << n << ", row " << r;
        }
      };

      Buffer tables = Take(kGroups * tiles.table_bytes), scratch = Take(tiles.scratch_bytes);
      std::vector<float> y(kMost * kBands * kBandRows);
      if (tiles.most_singly > 0) {
        tiles.make_tables(q.data(), kGroups, tables.data());
        tiles.one(bands.data(), kBands, kGroups, tables.data(), scales.data(), y.data());
        for (int64_t b = 0; b < kBands; ++b) check(&y[static_cast<size_t>(b * kBandRows)], 0, b, "one", 1);
      }

      std::vector<int32_t> group_sums(kMost * kGroups);
      for (int64_t t = 0; t < kMost && tiles.sum_groups != nullptr; ++t) {
        tiles.sum_groups(&q[static_cast<size_t>(t * kCols)], kGroups, &group_sums[static_cast<size_t>(t * kGroups)]);
      }
      const I8Rows x = {q.data(), kCols, scales.data(), kGroups};
      for (int64_t n = 1; n <= kMost; ++n) {
        const int64_t count = std::min(tiles.most_bands, kBands);  // up to the last band, which has fewer rows
        for (int64_t some = 1; some <= count; ++some) {
          const int64_t first = kBands - some;
          tiles.many(bands.data() + first * band_bytes, some, kGroups, x, group_sums.data(), n, scratch.data(),
                     y.data());
          for (int64_t i = 0; i < some * n; ++i) {
            check(&y[static_cast<size_t>(i * kBandRows)], i % n, first + i / n, "many", n);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace bonsai::kernels
