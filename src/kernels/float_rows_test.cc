// Kernels for stored rows × float activations, called directly: every table gives the bits of the portable one
// (the reference, but for Q1_0), for all numbers of rows and tokens, widths, alignments, and weights of any bytes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/rng.h"
#include "kernels/cpu/select.h"
#include "kernels/test_util.h"

namespace bonsai::kernels {
namespace {

struct Case {
  const KernelTable* table;
  const quant::Type* type;
};

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const KernelTable* table : AllKernelTables()) {
    for (const quant::Type& type : quant::Types()) {
      if (KernelsFor(*table, type).f32 != KernelsFor(kPortableKernels, type).f32) cases.push_back({table, &type});
    }
  }
  return cases;
}

class FloatRowsTest : public testing::TestWithParam<Case> {};
// A build may have portable kernels only.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(FloatRowsTest);
INSTANTIATE_TEST_SUITE_P(Tables, FloatRowsTest, testing::ValuesIn(Cases()), [](const auto& tested) {
  return std::string(tested.param.table->name) + "_" + std::string(tested.param.type->name);
});

constexpr int64_t kMostTokens = 20;

/// Stored rows in a buffer of exactly their size after `offset` bytes, so that a read beyond their end is one beyond
/// the buffer's.
std::vector<std::byte> StoredRows(const quant::Type& type, int64_t rows, int64_t cols, size_t offset) {
  const size_t row_bytes = *type.RowBytes(cols);
  std::vector<std::byte> bytes(offset + static_cast<size_t>(rows) * row_bytes);
  for (int64_t r = 0; r < rows; ++r) {
    const std::vector<float> row = test::Randoms(cols, static_cast<uint64_t>(r * 1000 + cols));
    type.encode(row.data(), &bytes[offset + static_cast<size_t>(r) * row_bytes], cols);
  }
  return bytes;
}

/// Compares with the portable kernel for each of `counts` tokens. `x_offset` floats precede the activations.
void Check(const Case& c, const WeightRows& w, const std::vector<int64_t>& counts, size_t x_offset) {
  const int64_t stride = quant::ActGroups(w.cols) * quant::kActGroup;
  std::vector<float> x = test::Randoms(static_cast<int64_t>(x_offset) + kMostTokens * stride, 9);
  for (int64_t t = 0; t < kMostTokens; ++t) {
    const auto row = x.begin() + static_cast<int64_t>(x_offset) + t * stride;
    std::fill(row + w.cols, row + stride, 0.0f);
  }
  const F32Rows rows = {x.data() + x_offset, stride};
  for (const int64_t n : counts) {
    std::vector<float> y(static_cast<size_t>(n * kBandRows), -1), expected(y.size(), -2);
    KernelsFor(*c.table, *c.type).f32(*c.type, w, rows, n, y.data());
    KernelsFor(kPortableKernels, *c.type).f32(*c.type, w, rows, n, expected.data());
    for (int64_t t = 0; t < n; ++t) {
      for (int64_t r = 0; r < w.count; ++r) {
        const float got = y[static_cast<size_t>(t * kBandRows + r)];
        const float want = expected[static_cast<size_t>(t * kBandRows + r)];
        ASSERT_TRUE(std::memcmp(&got, &want, sizeof(got)) == 0 || (std::isnan(got) && std::isnan(want)))
            << got << " and not " << want << ": row " << r << " of " << w.count << ", " << w.cols << " columns, token "
            << t << " of " << n;
      }
    }
  }
}

TEST_P(FloatRowsTest, BitsOfThePortableOneForAllShapes) {
  const Case& c = GetParam();
  if ((c.table->needs & ~DetectCpuBits()) != 0) GTEST_SKIP() << "not on this CPU";
  std::vector<int64_t> tokens(kMostTokens);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int64_t>(i) + 1;
  for (const int64_t cols : {1, 31, 64, 127, 128, 129, 256, 1000, 1024, 1152, 2080}) {
    if (cols % c.type->block_weights != 0) continue;
    const auto row_bytes = static_cast<int64_t>(*c.type->RowBytes(cols));
    for (const int64_t rows : {1, 2, 3, 4, 5, 63, 64}) {
      const std::vector<std::byte> bytes = StoredRows(*c.type, rows, cols, 0);
      ASSERT_NO_FATAL_FAILURE(Check(c, {bytes.data(), row_bytes, rows, cols}, tokens, 0));
    }
  }
}

TEST_P(FloatRowsTest, NothingNeedsAlignment) {
  const Case& c = GetParam();
  if ((c.table->needs & ~DetectCpuBits()) != 0) GTEST_SKIP() << "not on this CPU";
  constexpr int64_t kCols = 384;
  const auto row_bytes = static_cast<int64_t>(*c.type->RowBytes(kCols));
  for (const size_t offset : {1, 2, 7, 33}) {
    const std::vector<std::byte> bytes = StoredRows(*c.type, 6, kCols, offset);
    ASSERT_NO_FATAL_FAILURE(Check(c, {bytes.data() + offset, row_bytes, 6, kCols}, {1, 2, 5}, offset));
  }
}

// Any bytes are weights: subnormal and huge ones, both zeros, and in some rows infinities and NaNs.
TEST_P(FloatRowsTest, WeightsOfAnyBytes) {
  const Case& c = GetParam();
  if ((c.table->needs & ~DetectCpuBits()) != 0) GTEST_SKIP() << "not on this CPU";
  constexpr int64_t kRows = 64, kCols = 640;
  const auto row_bytes = static_cast<int64_t>(*c.type->RowBytes(kCols));
  Rng rng(5);
  std::vector<float> values(kCols);
  for (const int fill : {-1, 0x00, 0x80, 0xff}) {
    std::vector<std::byte> bytes(static_cast<size_t>(kRows * row_bytes));
    for (std::byte& b : bytes) b = static_cast<std::byte>(fill < 0 ? rng.Next() & 255 : static_cast<uint64_t>(fill));
    // Most rows finite: blocks that decode to something else become zeros.
    const size_t block_bytes = static_cast<size_t>(c.type->block_bytes);
    for (int64_t r = 0; r < kRows; ++r) {
      std::byte* row = &bytes[static_cast<size_t>(r * row_bytes)];
      c.type->decode(row, values.data(), kCols);
      for (int64_t i = 0; r % 8 != 0 && i < kCols; ++i) {
        if (std::isfinite(values[static_cast<size_t>(i)])) continue;
        std::memset(row + static_cast<size_t>(i / c.type->block_weights) * block_bytes, 0, block_bytes);
      }
    }
    ASSERT_NO_FATAL_FAILURE(Check(c, {bytes.data(), row_bytes, kRows, kCols}, {1, 4, 7}, 0));
  }
}

}  // namespace
}  // namespace bonsai::kernels
