// Two-bit weights (Q2_0, TQ2_0) and what runs as such: the tile layouts, and products against plain loops over the
// stored codes, with every code, the extreme activations and every instruction set.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "base/half.h"
#include "kernels/cpu/select.h"
#include "kernels/cpu/storage.h"
#include "kernels/cpu/tiles_2bit.h"
#include "kernels/test_util.h"
#include "quant/types/q2_0.h"
#include "quant/types/tq2_0.h"

namespace bonsai::kernels {
namespace {

using namespace test;  // NOLINT(build/namespaces)

/// Writes the scale of a block: fp16 at either end, or of I2_S a float.
void SetScale(const quant::Type& type, float d, std::byte* block) {
  const uint16_t half = FloatToHalf(d);
  const bool last = type.name.find('T') != std::string_view::npos;  // TQ…, PTQ…: all formats of that family
  if (type.name == "I2_S") {
    std::memcpy(block, &d, sizeof(d));
  } else {
    std::memcpy(block + (last ? type.block_bytes - 2 : 0), &half, sizeof(half));
  }
}

/// Stored rows with random codes (all that bytes can mean) and scales of 2^-6..2^-3, either sign.
std::vector<std::byte> RandomRows(const quant::Type& type, int64_t rows, int64_t cols, uint64_t seed) {
  Rng rng(seed);
  std::vector<std::byte> bytes(static_cast<size_t>(rows) * *type.RowBytes(cols));
  for (std::byte& b : bytes) b = static_cast<std::byte>(rng.Next() & 255);
  for (size_t at = 0; at < bytes.size(); at += static_cast<size_t>(type.block_bytes)) {
    SetScale(type, static_cast<float>((rng.Uniform() + 0.1) * 0.1 * (rng.Next() % 2 == 0 ? 1 : -1)), &bytes[at]);
  }
  return bytes;
}

struct Loaded {
  const quant::Type* type;  // as it is stored; the device may keep it as another
  std::unique_ptr<Matrix> w;
  std::vector<std::byte> bytes;
};

Loaded Load(Device& device, const char* name, int64_t rows, int64_t cols, std::vector<std::byte> bytes) {
  const quant::Type* type = quant::FindByName(name);
  const auto row_bytes = static_cast<int64_t>(*type->RowBytes(cols));
  auto w = device.LoadMatrix({type, rows, cols}, [&](int64_t row, int64_t, std::span<std::byte> out) -> Status {
    std::copy_n(bytes.begin() + row * row_bytes, out.size(), out.begin());
    return {};
  });
  EXPECT_TRUE(w);
  return {type, std::move(*w), std::move(bytes)};
}

/// y[t, r] by the contract of kernels/cpu/isa.h, from the stored bytes.
std::vector<float> Expected(const Loaded& m, Act& act, int64_t tokens) {
  const quant::Type& type = *m.type;
  const int64_t rows = m.w->spec().rows, cols = m.w->spec().cols, part = type.dot_weights();
  const auto row_bytes = *type.RowBytes(cols);
  const I8Rows x = CpuActOf(act).i8_rows(0);
  std::vector<int32_t> sums(static_cast<size_t>(cols / part));
  std::vector<float> scales(sums.size()), y;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t r = 0; r < rows; ++r) {
      type.dot_i8(&m.bytes[static_cast<size_t>(r) * row_bytes], x.q + t * x.stride, cols, sums.data(), scales.data());
      float sum = 0;
      for (size_t p = 0; p < sums.size(); ++p) {
        const float dx = x.scales[t * x.scale_stride + static_cast<int64_t>(p) * part / quant::kActGroup];
        sum += (scales[p] * dx) * static_cast<float>(sums[p]);
      }
      y.push_back(sum);
    }
  }
  return y;
}

std::vector<float> Product1(Device& device, const Matrix& w, Act& act, int64_t tokens) {
  const auto y = MakeTensor(device, tokens, w.spec().rows);
  const Product product = {&w, y.get()};
  device.MatMul({&product, 1}, act, tokens);
  return Values(*y, tokens);
}

std::vector<std::string> Isas() {
  std::vector<std::string> names;
  for (const KernelTable* table : AllKernelTables()) {
    if ((table->needs & ~DetectCpuBits()) == 0) names.emplace_back(table->name);
  }
  return names;
}

template <class Tile>
int64_t CodeAt(const std::vector<std::byte>& band, int64_t tile, int64_t row, int64_t column) {
  const auto& t = reinterpret_cast<const Tile*>(band.data())[tile];
  const uint8_t byte = t.q[column / 16][row / 16][4 * (row % 16) + column % 4];
  return (byte >> 2 * (column % 16 / 4) & 3) - 1;
}

TEST(CrumbTileTest, Q2LayoutAndBack) {
  const quant::Type& type = *quant::FindByName("Q2_0");
  for (const int64_t rows : {1, 37, 64}) {
    constexpr int64_t kGroups = 3, kCols = kGroups * 128;
    const std::vector<std::byte> bytes = RandomRows(type, rows, kCols, static_cast<uint64_t>(rows));
    const auto row_bytes = static_cast<int64_t>(*type.RowBytes(kCols));
    std::vector<Q2Tile> tiles(kGroups);
    std::vector<std::byte> band(kGroups * sizeof(Q2Tile)), back(static_cast<size_t>(row_bytes));
    PackQ2(bytes.data(), row_bytes, rows, kGroups, reinterpret_cast<std::byte*>(tiles.data()));
    std::memcpy(band.data(), tiles.data(), band.size());
    for (int64_t r = 0; r < 64; ++r) {
      for (int64_t c = 0; r < rows && c < kCols; ++c) {
        const auto block = quant::q2_0::Load<64>(bytes.data() + r * row_bytes + c / 64 * 18);
        ASSERT_EQ(CodeAt<Q2Tile>(band, c / 128, r, c % 128), quant::q2_0::Code(block, c % 64)) << r << ", " << c;
        ASSERT_EQ(tiles[static_cast<size_t>(c / 128)].scale[c / 64 % 2][r], block.d);
      }
      if (r >= rows) {
        EXPECT_EQ(tiles[0].scale[0][r] | tiles[2].scale[1][r], 0) << "filler rows have no scale";
        continue;
      }
      UnpackQ2(reinterpret_cast<const std::byte*>(tiles.data()), r, kGroups, back.data());
      ASSERT_EQ(std::memcmp(back.data(), bytes.data() + r * row_bytes, back.size()), 0) << r;
    }
  }
}

TEST(CrumbTileTest, Tq2LayoutAndBack) {
  const quant::Type& type = *quant::FindByName("TQ2_0");
  for (const int64_t rows : {1, 37, 64}) {
    constexpr int64_t kGroups = 6, kCols = kGroups * 128;
    const std::vector<std::byte> bytes = RandomRows(type, rows, kCols, static_cast<uint64_t>(rows));
    const auto row_bytes = static_cast<int64_t>(*type.RowBytes(kCols));
    std::vector<Tq2Tile> tiles(kGroups);
    std::vector<std::byte> band(kGroups * sizeof(Tq2Tile)), back(static_cast<size_t>(row_bytes));
    PackTq2(bytes.data(), row_bytes, rows, kGroups, reinterpret_cast<std::byte*>(tiles.data()));
    std::memcpy(band.data(), tiles.data(), band.size());
    for (int64_t r = 0; r < 64; ++r) {
      for (int64_t c = 0; r < rows && c < kCols; ++c) {
        const auto block = quant::tq2_0::Load(bytes.data() + r * row_bytes + c / 256 * 66);
        ASSERT_EQ(CodeAt<Tq2Tile>(band, c / 128, r, c % 128), quant::tq2_0::Code(block, c % 256)) << r << ", " << c;
        ASSERT_EQ(tiles[static_cast<size_t>(c / 128)].scale[0][r], block.d);
      }
      if (r >= rows) {
        EXPECT_EQ(tiles[0].scale[0][r] | tiles[5].scale[0][r], 0) << "filler rows have no scale";
        continue;
      }
      UnpackTq2(reinterpret_cast<const std::byte*>(tiles.data()), r, kGroups, back.data());
      ASSERT_EQ(std::memcmp(back.data(), bytes.data() + r * row_bytes, back.size()), 0) << r;
    }
  }
}

struct Case {
  const char* type;
  int64_t rows, cols;
};

// Several bands and a last one that is not full; widths of one tile, of many, and for Q2_0 of one and a half, which has
// no tiles.
constexpr Case kCases[] = {{"Q2_0", 1, 128},    {"Q2_0", 130, 640},  {"Q2_0", 20, 192},    {"PQ2_0", 1, 128},
                           {"PQ2_0", 130, 640}, {"TQ2_0", 1, 256},   {"TQ2_0", 130, 768},  {"TQ2_0", 70, 17152},
                           {"TQ1_0", 1, 256},   {"TQ1_0", 130, 768}, {"PTQ1_0", 130, 640}, {"TQ2_0_G128", 130, 640},
                           {"I2_S", 70, 384}};

class TernaryTest : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Cases, TernaryTest, testing::ValuesIn(kCases), [](const auto& tested) {
  return fmt::format("{}_{}x{}", tested.param.type, tested.param.rows, tested.param.cols);
});

TEST_P(TernaryTest, ContractToTheBitForEveryTokenCountAndIsa) {
  const Case& c = GetParam();
  const quant::Type& type = *quant::FindByName(c.type);
  for (const std::string& isa : Isas()) {
    const auto device = MakeDevice(2, ActType::kI8, isa);
    const Loaded m = Load(*device, c.type, c.rows, c.cols, RandomRows(type, c.rows, c.cols, 1));
    for (int64_t tokens = 1; tokens <= 13; ++tokens) {
      const auto act = MakeAct(*device, tokens, c.cols, {m.w.get()}, Randoms(tokens * c.cols, 7));
      ASSERT_EQ(Product1(*device, *m.w, *act, tokens), Expected(m, *act, tokens)) << isa << ", " << tokens;
    }
  }
}

TEST_P(TernaryTest, ExtremeCodesAndActivations) {
  const Case& c = GetParam();
  const quant::Type& type = *quant::FindByName(c.type);
  for (const std::string& isa : Isas()) {
    const auto device = MakeDevice(1, ActType::kI8, isa);
    for (const int code : {0x00, 0x55, 0xaa, 0xff, 0xe4, 0x1b}) {
      std::vector<std::byte> bytes(static_cast<size_t>(c.rows) * *type.RowBytes(c.cols), static_cast<std::byte>(code));
      for (size_t at = 0; at < bytes.size(); at += static_cast<size_t>(type.block_bytes)) SetScale(type, 1, &bytes[at]);
      std::vector<float> row(static_cast<size_t>(c.cols));
      type.decode(bytes.data(), row.data(), c.cols);
      const Loaded m = Load(*device, c.type, c.rows, c.cols, bytes);
      for (const int64_t tokens : {1, 7}) {
        std::vector<float> x(static_cast<size_t>(tokens * c.cols), 127.0f);
        for (size_t i = 0; i < x.size() / 2; ++i) x[i] = -127.0f;
        x.back() = 1;
        const auto act = MakeAct(*device, tokens, c.cols, {m.w.get()}, x);
        const std::vector<float> y = Product1(*device, *m.w, *act, tokens);
        ASSERT_EQ(y, Expected(m, *act, tokens)) << isa << ", code byte " << code << ", " << tokens;
        if (tokens == 7) {  // token 0 is -127 throughout; exact below 2^24
          ASSERT_EQ(y[0], -127 * std::accumulate(row.begin(), row.end(), 0.0f)) << code;
        }
      }
    }
  }
}

TEST_P(TernaryTest, DecodesFromTiles) {
  const Case& c = GetParam();
  const quant::Type& type = *quant::FindByName(c.type);
  const auto device = MakeDevice(2, ActType::kI8);
  const Loaded m = Load(*device, c.type, c.rows, c.cols, RandomRows(type, c.rows, c.cols, 3));
  std::vector<float> expected(static_cast<size_t>(c.cols)), row(expected.size());
  for (int64_t r = 0; r < c.rows; ++r) {
    type.decode(&m.bytes[static_cast<size_t>(r) * *type.RowBytes(c.cols)], expected.data(), c.cols);
    static_cast<const cpu::CpuMatrix&>(*m.w).Decode(r, row.data());
    ASSERT_EQ(row, expected) << r;
  }
}

TEST(MixedFormatsTest, EachLayoutReadsItsOwnForm) {
  constexpr int64_t kCols = 512;
  for (const std::string& isa : Isas()) {
    const auto device = MakeDevice(2, ActType::kI8, isa);
    const TestMatrix one = MakeMatrix(*device, "Q1_0", 70, kCols, 1), eight = MakeMatrix(*device, "Q8_0", 9, kCols, 2);
    const Loaded two = Load(*device, "Q2_0", 65, kCols, RandomRows(*quant::FindByName("Q2_0"), 65, kCols, 3));
    const Loaded wide = Load(*device, "TQ2_0", 66, kCols, RandomRows(*quant::FindByName("TQ2_0"), 66, kCols, 4));
    std::vector<const Matrix*> all = {one.w.get(), two.w.get(), wide.w.get(), eight.w.get()};
    for (const int64_t tokens : {1, 2, 8}) {
      const std::vector<float> x = Randoms(tokens * kCols, 5);
      std::vector<std::vector<float>> alone;
      for (const Matrix* w : all) {
        const auto act = MakeAct(*device, tokens, kCols, {w}, x);
        alone.push_back(Product1(*device, *w, *act, tokens));
      }
      // In either order of the consumers, in one group and one by one.
      for (int reversed = 0; reversed < 2; ++reversed) {
        const auto act = MakeAct(*device, tokens, kCols, all, x);
        std::vector<std::unique_ptr<Tensor>> out;
        std::vector<Product> group;
        for (const Matrix* w : all) {
          out.push_back(MakeTensor(*device, tokens, w->spec().rows));
          group.push_back({w, out.back().get()});
        }
        device->MatMul(group, *act, tokens);
        for (size_t i = 0; i < all.size(); ++i) {
          EXPECT_EQ(Values(*out[i], tokens), alone[i]) << isa << ", " << all[i]->spec().type->name << ", " << tokens;
          EXPECT_EQ(Product1(*device, *all[i], *act, tokens), alone[i]) << isa << ", " << all[i]->spec().type->name;
        }
        std::reverse(all.begin(), all.end());
        std::reverse(alone.begin(), alone.end());
      }
    }
  }
}

TEST(MixedFormatsTest, FormsAreSharedWhereLayoutsAgreeAndPlanned) {
  const auto device = MakeDevice(1, ActType::kI8);
  const TestMatrix one = MakeMatrix(*device, "Q1_0", 1, 256, 1), two = MakeMatrix(*device, "Q2_0", 1, 256, 2),
                   wide = MakeMatrix(*device, "TQ2_0", 1, 256, 3);
  std::vector<const TileKernels*> kernels;
  for (const TestMatrix* m : {&one, &two, &wide, &one}) {
    const TileKernels* tiles = static_cast<const cpu::CpuMatrix&>(*m->w).tiles();
    if (tiles != nullptr) kernels.push_back(tiles);
  }
  const auto act = MakeAct(*device, 4, 256, {one.w.get(), two.w.get(), wide.w.get(), one.w.get()});
  for (const TileKernels* tiles : kernels) EXPECT_NE(CpuActOf(*act).FindForm(*tiles), nullptr) << tiles->ggml_id;
  EXPECT_LE(CpuActOf(*act).forms().size(), kernels.size());
  EXPECT_LE(cpu::CpuAct::Bytes(4, 256, true, kernels), device->ActBytes(4, 256));
  if (device->name().find("avx512vnni") == std::string::npos) return;
  EXPECT_EQ(kernels.size(), 4u);
  EXPECT_EQ(CpuActOf(*act).forms().size(), 2u) << "Q2_0 and TQ2_0 read one form";
  // 4 rows of 2 groups: floats, codes and scales; of the two-bit form sums, and inputs for the rows taken singly;
  // tables of one row for Q1_0.
  EXPECT_EQ(cpu::CpuAct::Bytes(4, 256, true, kernels), 8u * (512 + 132 + 4 + 192) + 2u * 1664);
}

}  // namespace
}  // namespace bonsai::kernels
