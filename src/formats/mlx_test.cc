#include "formats/mlx.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/half.h"
#include "base/rng.h"
#include "formats/safetensors_testing.h"

namespace bonsai::formats {
namespace {

using testing::BytesOf;

constexpr MlxQuantization kAll[] = {{1, 128}, {1, 64}, {1, 32}, {2, 128}, {2, 64}};

/// A matrix in memory, and what it means: w = scale · code + bias.
struct Matrix {
  MlxQuantization q;
  uint64_t rows, cols;
  std::string dtype;
  std::vector<uint32_t> words;
  std::vector<float> scales, biases;

  uint32_t Code(uint64_t i) const {
    const uint64_t bit = i * q.bits;
    return words[bit / 32] >> bit % 32 & ((1u << q.bits) - 1);
  }
  float Value(uint64_t i) const { return scales[i / q.group] * static_cast<float>(Code(i)) + biases[i / q.group]; }
  std::string Stored(const std::vector<float>& floats) const {
    if (dtype == "F32") return BytesOf(floats);
    std::vector<uint16_t> halves;
    for (const float f : floats) halves.push_back(dtype == "F16" ? FloatToHalf(f) : FloatToBf16(f));
    return BytesOf(halves);
  }
};

/// Symmetric groups with scales that all three dtypes hold: 8 significant bits, exponents of fp16.
Matrix Symmetric(MlxQuantization q, const std::string& dtype, uint64_t rows = 5, uint64_t cols = 384) {
  Matrix m{q, rows, cols, dtype, {}, {}, {}};
  Rng rng(q.bits * 1000 + q.group);
  for (uint64_t i = 0; i < rows * cols * q.bits / 32; i++) m.words.push_back(static_cast<uint32_t>(rng.Next()));
  for (uint64_t i = 0; i < rows * cols / q.group; i++) {
    const float d = std::ldexp(static_cast<float>(128 + rng.Next() % 128), -static_cast<int>(rng.Next() % 20)) *
                    (rng.Next() % 2 == 0 ? 1.0f : -1.0f);
    m.scales.push_back(i == 3 ? 0 : q.bits == 1 ? 2 * d : d);
    m.biases.push_back(i == 3 ? -0.0f : -d);
  }
  return m;
}

/// Reads rows of `m`, whose three arrays lie behind each other in one source.
struct Reader {
  explicit Reader(const Matrix& m) {
    const std::string weight = BytesOf(m.words), scales = m.Stored(m.scales), biases = m.Stored(m.biases);
    bytes = "xyz" + weight + scales + biases;
    source = MemorySource("mlx.safetensors", std::as_bytes(std::span(bytes)));
    const auto* dtype = safetensors::FindDtype(m.dtype);
    rows = MlxRows({m.q,
                    m.cols,
                    {source.get(), 3, safetensors::FindDtype("U32")},
                    {source.get(), 3 + weight.size(), dtype},
                    {source.get(), 3 + weight.size() + scales.size(), dtype}});
    type = MlxType(m.q);
  }
  Status Read(uint64_t row, uint64_t n, uint64_t cols, std::vector<float>& out) const {
    std::vector<std::byte> blocks(*type->RowBytes(static_cast<int64_t>(cols)) * n);
    BONSAI_RETURN_IF_ERROR(rows->Read(row, n, blocks));
    out.resize(n * cols);
    type->decode(blocks.data(), out.data(), static_cast<int64_t>(out.size()));
    return {};
  }
  std::string bytes;
  std::unique_ptr<ByteSource> source;
  std::shared_ptr<const RowReader> rows;
  const quant::Type* type;
};

TEST(MlxTest, EveryFormHasTheNumbersThatMlxMeans) {
  for (const MlxQuantization& q : kAll) {
    for (const char* dtype : {"F16", "BF16", "F32"}) {
      const Matrix m = Symmetric(q, dtype);
      const Reader reader(m);
      for (const auto& [row, n] : {std::pair<uint64_t, uint64_t>(0, 5), {0, 1}, {2, 2}, {4, 1}, {5, 0}}) {
        std::vector<float> out;
        ASSERT_TRUE(reader.Read(row, n, m.cols, out)) << q.bits << " " << q.group << dtype;
        for (size_t i = 0; i < out.size(); i++)
          ASSERT_EQ(out[i], m.Value(row * m.cols + i))
              << q.bits << " " << q.group << dtype << " row " << row << " " << i;
      }
    }
  }
}

TEST(MlxTest, RowsAreReadInPieces) {
  const Matrix m = Symmetric({2, 128}, "F16", 3, 4 << 20);  // 1 MiB of codes a row
  const Reader reader(m);
  std::vector<float> out;
  ASSERT_TRUE(reader.Read(1, 2, m.cols, out));
  for (size_t i = 0; i < out.size(); i += 997) ASSERT_EQ(out[i], m.Value(m.cols + i)) << i;
}

TEST(MlxTest, GroupsThatOurFormatsDoNotHold) {
  struct Case {
    float scale, bias;
    const char* dtype;
  };
  const Case cases[] = {
      {2, -1.5f, "F16"},
      {2, 1, "F16"},
      {2, 0, "F32"},
      {0.2f, -0.1f, "F32"},
      {NAN, NAN, "F16"},
      {2, NAN, "F16"},
      {INFINITY, -INFINITY, "F16"},
      {0, 1, "F16"},
      {262144, -131072, "F32"},
      {0x1p-24f, -0x1p-25f, "F32"},
      {3e38f, -1.5e38f, "BF16"},
  };
  for (const Case& c : cases) {
    for (const MlxQuantization& q : kAll) {
      Matrix m = Symmetric(q, c.dtype);
      const uint64_t row_groups = m.cols / q.group, g = 2 * row_groups + 1;  // row 2, group 1
      m.scales[g] = q.bits == 1 ? c.scale : c.scale / 2;
      m.biases[g] = c.bias;
      const Reader reader(m);
      std::vector<float> out;
      EXPECT_TRUE(reader.Read(0, 2, m.cols, out)) << "the rows before it are fine";
      const Status status = reader.Read(1, 4, m.cols, out);
      ASSERT_FALSE(status.ok()) << c.scale << " " << c.bias << " " << q.bits;
      EXPECT_EQ(status.error().code(), ErrorCode::kUnsupported);
      const std::string& message = status.error().message();
      EXPECT_TRUE(message.starts_with("mlx.safetensors: row 2, group 1: ")) << message;
      EXPECT_NE(message.find("dequantise the model first"), std::string::npos) << message;
    }
  }
}

TEST(MlxTest, OtherParametersHaveNoFormat) {
  for (const uint32_t bits : {0u, 3u, 4u, 8u})
    for (const uint32_t group : {32u, 64u, 128u}) EXPECT_EQ(MlxType({bits, group}), nullptr);
  EXPECT_EQ(MlxType({2, 32}), nullptr);
  EXPECT_EQ(MlxType({1, 256}), nullptr);
  for (const char* name : {"F32", "Q8_0", "TQ2_0"})
    EXPECT_EQ(MlxQuantizationOf(*quant::FindByName(name)), std::nullopt) << name;
}

TEST(MlxTest, BlocksComeApartAndTogetherBitForBit) {
  for (const char* name : {"Q1_0", "Q1_0_G32", "Q2_0", "PQ2_0"}) {
    const quant::Type& type = *quant::FindByName(name);
    const MlxQuantization q = MlxQuantizationOf(type).value();
    EXPECT_EQ(MlxType(q), &type);
    // Every fp16 scale whose double is one, with codes at random.
    Rng rng(1);
    std::vector<std::byte> blocks;
    for (uint32_t d = 0; d < 65536; d++) {
      if ((d & 0x7fff) >= (q.bits == 1 ? 0x7800 : 0x7c00)) continue;
      blocks.push_back(static_cast<std::byte>(d & 0xff));
      blocks.push_back(static_cast<std::byte>(d >> 8));
      for (int64_t i = 2; i < type.block_bytes; i++) blocks.push_back(static_cast<std::byte>(rng.Next() & 0xff));
    }
    std::vector<std::byte> weight;
    std::vector<uint16_t> scales, biases;
    ASSERT_TRUE(SplitMlxBlocks(type, blocks, weight, scales, biases));
    std::string bytes(reinterpret_cast<const char*>(weight.data()), weight.size());
    bytes += BytesOf(scales) + BytesOf(biases);
    const auto source = MemorySource("m", std::as_bytes(std::span(bytes)));
    const auto* f16 = safetensors::FindDtype("F16");
    const auto rows = MlxRows({q,
                               scales.size() * q.group,
                               {source.get(), 0, nullptr},
                               {source.get(), weight.size(), f16},
                               {source.get(), weight.size() + 2 * scales.size(), f16}});
    std::vector<std::byte> again(blocks.size());
    const Status read = rows->Read(0, 1, again);
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(again, blocks) << name;
  }
}

TEST(MlxTest, ScalesThatCannotBeDoubled) {
  const quant::Type& type = *quant::FindByName("Q1_0");
  std::vector<std::byte> blocks(3 * 18), weight;
  std::vector<uint16_t> scales, biases;
  EXPECT_TRUE(SplitMlxBlocks(type, blocks, weight, scales, biases));
  for (const int high : {0x78, 0xf8, 0x7c, 0x7e}) {  // 32768, -32768, infinity, NaN
    blocks[18 + 1] = static_cast<std::byte>(high);
    const Status status = SplitMlxBlocks(type, blocks, weight, scales, biases);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(status.error().message().find("block 1"), std::string::npos) << status.error().message();
  }
}

}  // namespace
}  // namespace bonsai::formats
