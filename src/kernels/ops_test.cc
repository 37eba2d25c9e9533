// The operations between the matrix products, each alone against double precision; bounds are counted roundings
// (kRound = 2^-24 each, 1% added for the second order).
#include "kernels/ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/math.h"
#include "kernels/ref/ref.h"
#include "kernels/test_util.h"

namespace bonsai::kernels {
namespace {

using namespace test;  // NOLINT(build/namespaces)

/// RMSNorm of one row in double.
std::vector<double> ExactRmsNorm(const float* x, const float* gain, double eps, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  std::vector<double> out(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    out[static_cast<size_t>(i)] = x[i] / std::sqrt(sum / static_cast<double>(n) + eps) * gain[i];
  }
  return out;
}

/// The sum of squares is off by n/16 + 5 roundings (lanes.h), division by n and eps add two; the root halves that and
/// rounds, and so do the reciprocal and the two products.
double RmsNormBound(int64_t n) { return 1.01 * ((static_cast<double>(n) / 16 + 7) / 2 + 4) * kRound; }

TEST(RmsNormTest, WithinBound) {
  const auto device = MakeDevice(2, ActType::kF32);
  for (const int64_t n : {1, 64, 172, 4096}) {
    const std::vector<float> gain = Randoms(n, 1), values = Randoms(5 * n, 2);
    const auto x = MakeTensor(*device, 5, n, values);
    const auto act = MakeAct(*device, 5, n, {});
    device->RmsNorm(*x, *MakeVector(*device, gain), 1e-6f, 5, *act);
    for (int64_t t = 0; t < 5; ++t) {
      const std::vector<double> expected = ExactRmsNorm(RowOf(*x, t), gain.data(), 1e-6f, n);
      for (int64_t i = 0; i < n; ++i) {
        const double e = expected[static_cast<size_t>(i)];
        ASSERT_NEAR(RowOf(*act, t)[i], e, RmsNormBound(n) * std::fabs(e)) << n << " row " << t;
      }
    }
    EXPECT_EQ(Values(*x, 5), values);  // the input stays
  }
}

TEST(RmsNormTest, Int8FormIsTheQuantisedFloatForm) {
  const auto device = MakeDevice(3, ActType::kI8);
  constexpr int64_t kCols = 320, kRows = 4;  // the last group is short
  const TestMatrix m = MakeMatrix(*device, "Q8_0", 1, kCols, 1);
  const auto x = MakeTensor(*device, kRows, kCols, Randoms(kRows * kCols, 2));
  const auto act = MakeAct(*device, kRows, kCols, {m.w.get()});
  device->RmsNorm(*x, *MakeVector(*device, Randoms(kCols, 3)), 1e-6f, kRows, *act);
  for (int64_t t = 0; t < kRows; ++t) {
    std::vector<int8_t> q(kCols);
    std::vector<float> scales(3);
    quant::QuantizeRowI8(RowOf(*act, t), kCols, q.data(), scales.data());
    const I8Rows rows = CpuActOf(*act).i8_rows(t);
    EXPECT_EQ(std::memcmp(rows.q, q.data(), q.size()), 0);
    EXPECT_EQ(std::memcmp(rows.scales, scales.data(), 12), 0);
  }
}

TEST(GluTest, WithinBound) {
  const auto device = MakeDevice(2, ActType::kF32);
  constexpr int64_t kCols = 172, kRows = 3;
  std::vector<float> gate = Randoms(kRows * kCols, 1);
  for (float& g : gate) g *= 20;
  const std::vector<float> up = Randoms(kRows * kCols, 2);
  const auto g = MakeTensor(*device, kRows, kCols, gate), u = MakeTensor(*device, kRows, kCols, up);
  const auto act = MakeAct(*device, kRows, kCols, {});
  for (const GateFn fn : {GateFn::kSilu, GateFn::kRelu2}) {
    device->Glu({.fn = fn}, *g, *u, kRows, *act);
    for (size_t i = 0; i < gate.size(); ++i) {
      const double x = gate[i], gated = fn == GateFn::kSilu ? x / (1 + std::exp(-x)) : x > 0 ? x * x : 0;
      const double expected = gated * up[i];
      const float got = RowOf(*act, static_cast<int64_t>(i) / kCols)[static_cast<int64_t>(i) % kCols];
      // silu: four roundings (math_test.cc), a square one; the product one more.
      ASSERT_NEAR(got, expected, 1.01 * 5 * kRound * std::fabs(expected));
    }
  }
}

// A norm behind the gates is the norm of what they give without one, whatever the threads and the width.
TEST(GluTest, NormOverTheRow) {
  for (const int threads : {1, 3}) {
    const auto device = MakeDevice(threads, ActType::kI8);
    for (const int64_t cols : {172, 2048, 4224}) {
      constexpr int64_t kRows = 3;
      const TestMatrix m = MakeMatrix(*device, cols == 172 ? "F32" : "Q8_0", 1, cols, 1);
      const auto gain = MakeVector(*device, Randoms(cols, 4));
      const auto g = MakeTensor(*device, kRows, cols, Randoms(kRows * cols, 1)),
                 u = MakeTensor(*device, kRows, cols, Randoms(kRows * cols, 2));
      const std::vector<const Matrix*> consumers = {m.w.get()};
      const auto plain = MakeAct(*device, kRows, cols, {}), want = MakeAct(*device, kRows, cols, consumers),
                 got = MakeAct(*device, kRows, cols, consumers);
      device->Glu({.fn = GateFn::kRelu2}, *g, *u, kRows, *plain);
      const auto copy = MakeTensor(*device, kRows, cols);
      for (int64_t t = 0; t < kRows; ++t) std::copy_n(RowOf(*plain, t), cols, RowOf(*copy, t));
      device->RmsNorm(*copy, *gain, 1e-5f, kRows, *want);
      device->Glu({.fn = GateFn::kRelu2, .norm = gain.get(), .eps = 1e-5f}, *g, *u, kRows, *got);
      for (int64_t t = 0; t < kRows; ++t) {
        ASSERT_EQ(std::memcmp(RowOf(*got, t), RowOf(*want, t), static_cast<size_t>(cols) * sizeof(float)), 0) << cols;
        if (!CpuActOf(*got).has_i8()) continue;
        const I8Rows a = CpuActOf(*got).i8_rows(t), b = CpuActOf(*want).i8_rows(t);
        ASSERT_EQ(std::memcmp(a.q, b.q, static_cast<size_t>(cols)), 0) << cols;
        ASSERT_EQ(std::memcmp(a.scales, b.scales, static_cast<size_t>(quant::ActGroups(cols)) * sizeof(float)), 0);
      }
    }
  }
}

TEST(EmbedTest, RowsAreTheDecodedTable) {
  const auto device = MakeDevice(2, ActType::kI8);
  for (const char* type : {"F32", "F16", "BF16", "Q8_0", "Q1_0"}) {
    constexpr int64_t kCols = 256;
    const TestMatrix m = MakeMatrix(*device, type, 10, kCols, 1);
    const auto out = MakeTensor(*device, 4, kCols);
    const std::vector<int32_t> tokens = {9, 0, 3, 9};
    device->Embed(*m.w, tokens, *out);
    for (size_t t = 0; t < tokens.size(); ++t) {
      EXPECT_EQ(std::memcmp(RowOf(*out, static_cast<int64_t>(t)), &m.values[static_cast<size_t>(tokens[t] * kCols)],
                            kCols * sizeof(float)),
                0)
          << type;
    }
  }
}

TEST(RopeTest, TableIsRoundedDouble) {
  const auto device = MakeDevice(2, ActType::kF32);
  RopeSpec rope;
  for (int i = 0; i < 32; ++i) rope.inv_freq.push_back(static_cast<float>(std::pow(1e6, -i / 32.0)));
  rope.scale = 1.25f;
  const auto table = MakeTensor(*device, 7, 64);
  // Two sequences, the second first in the batch, one far along.
  const SequenceRows sequences[] = {{.first_row = 4, .rows = 3, .pos = 40000, .blocks = {}},
                                    {.first_row = 0, .rows = 4, .pos = 0, .blocks = {}}};
  device->RopeTable(rope, sequences, *table);
  for (int64_t row = 0; row < 7; ++row) {
    const double pos = row < 4 ? static_cast<double>(row) : static_cast<double>(40000 + row - 4);
    for (int64_t i = 0; i < 32; ++i) {
      const double angle = pos * static_cast<double>(rope.inv_freq[static_cast<size_t>(i)]);
      ASSERT_EQ(RowOf(*table, row)[i], static_cast<float>(std::cos(angle) * 1.25));
      ASSERT_EQ(RowOf(*table, row)[32 + i], static_cast<float>(std::sin(angle) * 1.25));
    }
  }
}

TEST(RopeTest, RotationOfKnownAngles) {
  // A quarter turn: (a, b) becomes (-b, a). Pairs are (0,2), (1,3), or (0,1), (2,3) when interleaved.
  const std::vector<float> quarter = {0, 0, 1, 1};
  std::vector<float> x = {1, 2, 3, 4};
  ref::RopeRotate(quarter.data(), 4, false, x.data());
  EXPECT_EQ(x, (std::vector<float>{-3, -4, 1, 2}));
  x = {1, 2, 3, 4};
  ref::RopeRotate(quarter.data(), 4, true, x.data());
  EXPECT_EQ(x, (std::vector<float>{-2, 1, -4, 3}));
  // Only the second pair turns, by the angle with cosine 0.6 and sine 0.8.
  const std::vector<float> some = {1, 0.5f, 0, 0.25f};
  x = {1, 2, 3, 4};
  ref::RopeRotate(some.data(), 4, false, x.data());
  EXPECT_EQ(x, (std::vector<float>{1, 0.0f, 3, 2.5f}));  // 2·0.5 - 4·0.25, 4·0.5 + 2·0.25
}

TEST(LogitsTest, ChosenRowsAreNormAndProduct) {
  for (const ActType act_type : {ActType::kF32, ActType::kI8}) {
    const auto device = MakeDevice(2, act_type);
    constexpr int64_t kCols = 256, kVocab = 301, kRows = 9;
    const TestMatrix head = MakeMatrix(*device, "Q1_0", kVocab, kCols, 1);
    const auto x = MakeTensor(*device, kRows, kCols, Randoms(kRows * kCols, 2));
    const auto gain = MakeVector(*device, Randoms(kCols, 3));
    const auto all = MakeAct(*device, kRows, kCols, {head.w.get()});
    const auto y = MakeTensor(*device, kRows, kVocab);
    device->RmsNorm(*x, *gain, 1e-5f, kRows, *all);
    const Product product = {head.w.get(), y.get()};
    device->MatMul({&product, 1}, *all, kRows);

    const std::vector<int32_t> rows = {0, 3, 4, 8};
    for (const int64_t scratch_rows : {1, 3, 9}) {  // fewer than are wanted: in several passes
      const auto scratch = MakeAct(*device, scratch_rows, kCols, {head.w.get()});
      std::vector<float> logits(rows.size() * kVocab, -1);
      ASSERT_TRUE(device->Logits(*x, *gain, 1e-5f, rows, *head.w, *scratch, logits));
      for (size_t i = 0; i < rows.size(); ++i) {
        EXPECT_EQ(std::memcmp(&logits[i * kVocab], RowOf(*y, rows[i]), kVocab * sizeof(float)), 0);
      }
    }
  }
}

TEST(StorageTest, LoadMatrixReadsStraightIntoPlaceInBoundedChunks) {
  const auto device = MakeDevice(1, ActType::kI8);
  constexpr int64_t kCols = 1 << 20, kRows = 20;  // 4 MiB a row: 8 rows a read
  int64_t next = 0;
  auto w = device->LoadMatrix({quant::FindByName("F32"), kRows, kCols},
                              [&](int64_t row, int64_t rows, std::span<std::byte> out) -> Status {
                                EXPECT_EQ(row, next);
                                EXPECT_EQ(out.size(), static_cast<size_t>(rows * kCols * 4));
                                EXPECT_LE(out.size(), 32u << 20);
                                for (int64_t r = 0; r < rows; ++r) {
                                  const float value = static_cast<float>(row + r);
                                  std::memcpy(&out[static_cast<size_t>(r * kCols * 4)], &value, 4);
                                }
                                next += rows;
                                return {};
                              });
  ASSERT_TRUE(w);
  EXPECT_EQ(next, kRows);
  const auto out = MakeTensor(*device, 1, kCols);
  const int32_t token = 17;
  device->Embed(**w, {&token, 1}, *out);
  EXPECT_EQ(RowOf(*out, 0)[0], 17.0f);
  EXPECT_EQ(device->MatrixBytes((*w)->spec()), static_cast<uint64_t>(kRows * kCols * 4));
}

TEST(StorageTest, LoadMatrixErrors) {
  const auto device = MakeDevice(1, ActType::kI8);
  const quant::Type* q1 = quant::FindByName("Q1_0");
  const auto never = [](int64_t, int64_t, std::span<std::byte>) -> Status {
    ADD_FAILURE() << "nothing should be read";
    return {};
  };
  EXPECT_EQ(device->LoadMatrix({q1, 4, 100}, never).error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(device->LoadMatrix({q1, 0, 128}, never).error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(device->LoadMatrix({q1, int64_t{1} << 62, 128}, never).error().code(), ErrorCode::kCorrupt);
  const auto fails = [](int64_t, int64_t, std::span<std::byte>) -> Status {
    return Error(ErrorCode::kIo, "disk gone");
  };
  EXPECT_EQ(device->LoadMatrix({q1, 4, 128}, fails).error().message(), "disk gone");
}

TEST(StorageTest, ActKeepsInt8OnlyForThoseWhoTakeIt) {
  const auto i8 = MakeDevice(1, ActType::kI8), f32 = MakeDevice(1, ActType::kF32);
  const TestMatrix q1 = MakeMatrix(*i8, "Q1_0", 1, 128, 1), f16 = MakeMatrix(*i8, "F16", 1, 128, 1);
  EXPECT_TRUE(CpuActOf(*MakeAct(*i8, 1, 128, {f16.w.get(), q1.w.get()})).has_i8());
  EXPECT_FALSE(CpuActOf(*MakeAct(*i8, 1, 128, {f16.w.get()})).has_i8());
  const TestMatrix q1f = MakeMatrix(*f32, "Q1_0", 1, 128, 1);
  EXPECT_FALSE(CpuActOf(*MakeAct(*f32, 1, 128, {q1f.w.get()})).has_i8());
  // 3 rows of 160 columns: two groups of 128 floats, and with int8 one byte a column and one scale a group.
  EXPECT_EQ(f32->ActBytes(3, 160), 3u * 2 * 128 * 4);
  const auto portable = MakeDevice(1, ActType::kI8, "portable");
  EXPECT_EQ(portable->ActBytes(3, 160), 3u * 2 * (128 * 4 + 128 + 4));
  EXPECT_GE(i8->ActBytes(3, 160), portable->ActBytes(3, 160));  // and what tile kernels read, where there are any
  EXPECT_EQ(f32->TensorBytes(3, 160), 3u * 160 * 4);
}

TEST(StorageTest, KvSpec) {
  const KvSpec spec = {
      .layers = 3, .kv_heads = 2, .k_width = 80, .v_width = 64, .k_type = KvType::kF16, .v_type = KvType::kF32};
  EXPECT_EQ(spec.BlockBytes(), 3u * 2 * 64 * (80 * 2 + 64 * 4));
  EXPECT_EQ(KvTypeName(KvType::kF16), "f16");
  EXPECT_EQ(KvTypeName(KvType::kF32), "f32");
}

}  // namespace
}  // namespace bonsai::kernels
