// Matrix products: each format and activation type against a double-precision product with a bound from the
// arithmetic, exact equality across instruction sets, threads and batch sizes.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/cpu/select.h"
#include "kernels/test_util.h"

namespace bonsai::kernels {
namespace {

using namespace test;  // NOLINT(build/namespaces)

std::vector<std::string> Isas() {
  std::vector<std::string> names;
  for (const KernelTable* table : AllKernelTables()) {
    if ((table->needs & ~DetectCpuBits()) == 0) names.emplace_back(table->name);
  }
  return names;
}

/// Activations of one row as the product takes them: floats, or the values that the int8 codes stand for.
std::vector<double> Entering(Act& act, int64_t row, bool i8) {
  std::vector<double> x(static_cast<size_t>(act.cols()));
  const I8Rows q = CpuActOf(act).i8_rows(row);
  for (int64_t c = 0; c < act.cols(); ++c) {
    const auto at = static_cast<size_t>(c);
    x[at] = i8 ? static_cast<double>(q.scales[c / quant::kActGroup]) * q.q[c] : double{RowOf(act, row)[c]};
  }
  return x;
}

struct Shape {
  const char* type;
  int64_t rows, cols;
};

// Odd row counts, single rows, widths that are no multiple of anything (floats) or end in a short group (Q8_0), widths
// beyond one decode chunk of 1,024.
constexpr Shape kShapes[] = {
    {"Q2_0", 1, 64},      {"Q2_0", 37, 128},   {"Q2_0", 70, 2240},     {"PQ2_0", 70, 2304}, {"TQ2_0", 1, 256},
    {"TQ2_0", 131, 1280}, {"Q1_0", 1, 128},    {"Q1_0", 37, 256},      {"Q1_0", 130, 1152}, {"Q8_0", 3, 32},
    {"Q8_0", 65, 160},    {"Q8_0", 7, 2176},   {"F32", 1, 1},          {"F32", 5, 64},      {"F32", 33, 172},
    {"F16", 17, 172},     {"F16", 3, 1024},    {"F16", 2, 1031},       {"BF16", 9, 65},     {"BF16", 70, 300},
    {"F32", 2, 2500},     {"Q8_0", 1, 128},    {"Q8_0", 63, 256},      {"Q8_0", 64, 384},   {"Q8_0", 65, 128},
    {"F16", 65, 1280},    {"TQ1_0", 1, 256},   {"TQ1_0", 70, 1280},    {"PTQ1_0", 65, 384}, {"TQ2_0_G128", 37, 128},
    {"I2_S", 65, 384},    {"Q1_0_G32", 3, 32}, {"Q1_0_G32", 65, 2208}, {"Q4_0", 65, 160},   {"Q4_1", 65, 160},
};

class MatMulTest : public testing::TestWithParam<std::tuple<Shape, ActType>> {};
INSTANTIATE_TEST_SUITE_P(Shapes, MatMulTest,
                         testing::Combine(testing::ValuesIn(kShapes), testing::Values(ActType::kF32, ActType::kI8)),
                         [](const auto& tested) {
                           const Shape& s = std::get<0>(tested.param);
                           const char* act = std::get<1>(tested.param) == ActType::kI8 ? "I8" : "F32";
                           return fmt::format("{}_{}x{}_act{}", s.type, s.rows, s.cols, act);
                         });

TEST_P(MatMulTest, WithinBoundOfDouble) {
  const auto& [shape, act_type] = GetParam();
  constexpr int64_t kTokens = 3;
  const auto device = MakeDevice(2, act_type);
  TestMatrix m = MakeMatrix(*device, shape.type, shape.rows, shape.cols, 1);
  const auto act = MakeAct(*device, kTokens, shape.cols, {m.w.get()}, Randoms(kTokens * shape.cols, 2));
  const bool i8 = act_type == ActType::kI8 && m.w->spec().type->dot_i8 != nullptr;
  ASSERT_EQ(CpuActOf(*act).has_i8(), i8);
  const auto y = MakeTensor(*device, kTokens, shape.rows);
  const Product product = {m.w.get(), y.get()};
  device->MatMul({&product, 1}, *act, kTokens);

  // float: a term passes the rounding of its product (or of the scale), at most 8 additions in its lane, 4 in the tree
  // and one for each group. int8: the sum of a block is exact, then come the products dw·dx and ·isum and one addition
  // a block. 1% for the second order.
  const int64_t groups = quant::ActGroups(shape.cols);
  const int64_t blocks = shape.cols / m.w->spec().type->dot_weights();
  const auto roundings = static_cast<double>(i8 ? 2 + blocks : 1 + 8 + 4 + groups);
  for (int64_t t = 0; t < kTokens; ++t) {
    const std::vector<double> x = Entering(*act, t, i8);
    for (int64_t r = 0; r < shape.rows; ++r) {
      double expected = 0, magnitude = 0;
      for (size_t c = 0; c < x.size(); ++c) {
        const double term = m.values[static_cast<size_t>(r * shape.cols) + c] * x[c];
        expected += term, magnitude += std::fabs(term);
      }
      ASSERT_NEAR(RowOf(*y, t)[r], expected, 1.01 * roundings * kRound * magnitude) << "token " << t << " row " << r;
    }
  }
}

TEST_P(MatMulTest, SameBitsForEveryBatchThreadCountAndIsa) {
  const auto& [shape, act_type] = GetParam();
  constexpr int64_t kTokens = 20;
  const std::vector<float> x = Randoms(kTokens * shape.cols, 3);
  std::vector<float> reference;
  for (const std::string& isa : Isas()) {
    for (const int threads : {1, 2, 3}) {
      const auto device = MakeDevice(threads, act_type, isa);
      TestMatrix m = MakeMatrix(*device, shape.type, shape.rows, shape.cols, 1);
      for (const int64_t batch : {1, 2, 3, 7, 16, 20}) {
        std::vector<float> all;
        for (int64_t t = 0; t < kTokens; t += batch) {
          const int64_t n = std::min(batch, kTokens - t);
          const auto act = MakeAct(*device, n, shape.cols, {m.w.get()}, {x.begin() + t * shape.cols, x.end()});
          const auto y = MakeTensor(*device, n, shape.rows);
          const Product product = {m.w.get(), y.get()};
          device->MatMul({&product, 1}, *act, n);
          const std::vector<float> rows = Values(*y, n);
          all.insert(all.end(), rows.begin(), rows.end());
        }
        if (reference.empty()) reference = all;
        ASSERT_EQ(std::memcmp(all.data(), reference.data(), all.size() * sizeof(float)), 0)
            << isa << ", " << threads << " threads, batch " << batch;
      }
    }
  }
}

TEST(MatMulGroupTest, GroupsAndAddEqualSingleProducts) {
  for (const ActType act_type : {ActType::kF32, ActType::kI8}) {
    const auto device = MakeDevice(3, act_type);
    constexpr int64_t kCols = 256, kTokens = 5;
    // Formats may be mixed over one input.
    TestMatrix a = MakeMatrix(*device, "Q1_0", 33, kCols, 1), b = MakeMatrix(*device, "Q8_0", 7, kCols, 2),
               c = MakeMatrix(*device, "F16", 50, kCols, 3);
    const auto act = MakeAct(*device, kTokens, kCols, {a.w.get(), b.w.get(), c.w.get()}, Randoms(kTokens * kCols, 4));
    const auto ya = MakeTensor(*device, kTokens, 33), yb = MakeTensor(*device, kTokens, 7),
               yc = MakeTensor(*device, kTokens, 50);
    const Product group[] = {{a.w.get(), ya.get()}, {b.w.get(), yb.get()}, {c.w.get(), yc.get()}};
    device->MatMul(group, *act, kTokens);
    for (const Product& p : group) {
      const int64_t rows = p.w->spec().rows;
      const auto alone = MakeTensor(*device, kTokens, rows);
      const Product single = {p.w, alone.get()};
      device->MatMul({&single, 1}, *act, kTokens);
      EXPECT_EQ(Values(*p.out, kTokens), Values(*alone, kTokens));
      const std::vector<float> before = Randoms(kTokens * rows, 5);
      const auto sum = MakeTensor(*device, kTokens, rows, before);
      device->MatMulAdd({p.w, sum.get()}, *act, kTokens);
      std::vector<float> expected = Values(*alone, kTokens);
      for (size_t i = 0; i < expected.size(); ++i) expected[i] = before[i] + expected[i];
      EXPECT_EQ(Values(*sum, kTokens), expected);
    }
  }
}

// Scale and bias are one rounding each, behind the sum, on every path that a product can take.
TEST(MatMulGroupTest, ScaleThenBias) {
  for (const std::string& isa : Isas()) {
    for (const ActType act_type : {ActType::kF32, ActType::kI8}) {
      const auto device = MakeDevice(2, act_type, isa);
      for (const char* type : {"Q1_0", "TQ2_0", "Q8_0", "F16"}) {
        constexpr int64_t kRows = 150, kCols = 512;
        const TestMatrix m = MakeMatrix(*device, type, kRows, kCols, 1);
        const std::vector<float> values = Randoms(kRows, 2);
        const auto bias = MakeVector(*device, values);
        for (const int64_t tokens : {1, 3, 40}) {
          const auto act = MakeAct(*device, tokens, kCols, {m.w.get()}, Randoms(tokens * kCols, 3));
          const std::vector<float> before = Randoms(tokens * kRows, 4);
          const auto plain = MakeTensor(*device, tokens, kRows), y = MakeTensor(*device, tokens, kRows),
                     sum = MakeTensor(*device, tokens, kRows, before);
          const Product products[] = {{m.w.get(), plain.get()}, {m.w.get(), y.get(), 0.3f, bias.get()}};
          device->MatMul(products, *act, tokens);
          device->MatMulAdd({m.w.get(), sum.get(), 0.3f, bias.get()}, *act, tokens);
          std::vector<float> want = Values(*plain, tokens), want_sum = before;
          for (size_t i = 0; i < want.size(); ++i) {
            const float scaled = want[i] * 0.3f;
            want[i] = scaled + values[i % kRows];
            want_sum[i] = before[i] + want[i];
          }
          ASSERT_EQ(Values(*y, tokens), want) << isa << " " << type << " " << tokens;
          ASSERT_EQ(Values(*sum, tokens), want_sum) << isa << " " << type << " " << tokens;
        }
      }
    }
  }
}

TEST(MatMulGroupTest, FaultyActivationsReachTheOutput) {
  const auto device = MakeDevice(1, ActType::kI8);
  TestMatrix m = MakeMatrix(*device, "Q1_0", 4, 256, 1);
  std::vector<float> x = Randoms(256, 2);
  x[200] = std::nanf("");
  const auto act = MakeAct(*device, 1, 256, {m.w.get()}, x);
  const auto y = MakeTensor(*device, 1, 4);
  const Product product = {m.w.get(), y.get()};
  device->MatMul({&product, 1}, *act, 1);
  for (const float v : Values(*y, 1)) EXPECT_TRUE(std::isnan(v));
}

/// The int8 contract of kernels/cpu/isa.h, spelled out once more with plain loops.
TEST(MatMulGroupTest, IntegerProductIsTheContractToTheBit) {
  for (const std::string& isa : Isas()) {
    const auto device = MakeDevice(1, ActType::kI8, isa);
    for (const quant::Type& type : quant::Types()) {
      if (type.dot_i8 == nullptr) continue;
      constexpr int64_t kRows = 20, kCols = 768;
      TestMatrix m = MakeMatrix(*device, type.name, kRows, kCols, 8);
      const auto act = MakeAct(*device, 1, kCols, {m.w.get()}, Randoms(kCols, 9));
      const auto y = MakeTensor(*device, 1, kRows);
      const Product product = {m.w.get(), y.get()};
      device->MatMul({&product, 1}, *act, 1);
      const I8Rows x = CpuActOf(*act).i8_rows(0);
      for (int64_t r = 0; r < kRows; ++r) {
        float expected = 0;
        const int64_t part = type.dot_weights();
        const auto row_bytes = static_cast<int64_t>(m.bytes.size()) / kRows;
        int32_t sums[kCols];
        float dw[kCols];
        type.dot_i8(&m.bytes[static_cast<size_t>(r * row_bytes)], x.q, kCols, sums, dw);
        for (int64_t p = 0; p < kCols / part; ++p) {
          const float scale = dw[p] * x.scales[p * part / quant::kActGroup];
          const float term = scale * static_cast<float>(sums[p]);
          expected = expected + term;
        }
        ASSERT_EQ(RowOf(*y, 0)[r], expected) << isa << " " << type.name << " row " << r;
      }
    }
  }
}

}  // namespace
}  // namespace bonsai::kernels
