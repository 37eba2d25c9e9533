#include "kernels/cpu/runs_as.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/cpu/select.h"
#include "kernels/cpu_info.h"
#include "kernels/test_util.h"
#include "quant/repack.h"

namespace bonsai::kernels {
namespace {

using namespace test;  // NOLINT(build/namespaces)

struct Pair {
  const char *stored, *as;
};
constexpr Pair kPairs[] = {{"TQ1_0", "TQ2_0"}, {"PTQ1_0", "PQ2_0"}, {"TQ2_0_G128", "PQ2_0"}};

std::unique_ptr<Matrix> Load(Device& device, const quant::Type& type, int64_t rows, int64_t cols,
                             const std::vector<std::byte>& bytes) {
  auto w = device.LoadMatrix({&type, rows, cols}, [&](int64_t row, int64_t, std::span<std::byte> out) -> Status {
    std::copy_n(bytes.begin() + row * static_cast<int64_t>(*type.RowBytes(cols)), out.size(), out.begin());
    return {};
  });
  EXPECT_TRUE(w);
  return w ? std::move(*w) : nullptr;
}

TEST(RunsAsTest, EachFormatIsItselfOrOneThatRunsAsItself) {
  for (const quant::Type& type : quant::Types()) {
    const quant::Type& as = cpu::RunsAs(type, 1024);
    std::string_view expected = type.name;
    for (const Pair& pair : kPairs) {
      if (type.name == pair.stored) expected = pair.as;
    }
    EXPECT_EQ(as.name, expected);
    EXPECT_EQ(&cpu::RunsAs(as, 1024), &as);
    EXPECT_LE(as.bits_per_weight(), type.bits_per_weight() * 1.25) << "about the same space";
    EXPECT_EQ(DescribeKernels(type, "portable").as, &as);
  }
}

TEST(RunsAsTest, RowsThatAreNotWholeBlocksStayAsTheyAre) {
  const quant::Type &tq1 = *quant::FindByName("TQ1_0"), &ptq1 = *quant::FindByName("PTQ1_0");
  EXPECT_EQ(&cpu::RunsAs(tq1, 384), &tq1);
  EXPECT_EQ(&cpu::RunsAs(ptq1, 384), quant::FindByName("PQ2_0"));
  const auto device = MakeDevice(1, ActType::kI8);
  const auto never = [](int64_t, int64_t, std::span<std::byte>) -> Status {
    ADD_FAILURE() << "nothing should be read";
    return {};
  };
  const auto w = device->LoadMatrix({&tq1, 2, 384}, never);
  ASSERT_FALSE(w);
  EXPECT_EQ(w.error().code(), ErrorCode::kCorrupt);
  EXPECT_NE(w.error().message().find("TQ1_0"), std::string::npos) << w.error().message();
  EXPECT_EQ(device->MatrixBytes({&tq1, 2, 384}), 0u);
  EXPECT_FALSE(device->LoadMatrix({&tq1, int64_t{1} << 56, 256}, never));
}

TEST(RunsAsTest, TheSameBitsAsTheOtherFormat) {
  constexpr int64_t kRows = 131, kCols = 768;
  for (const KernelTable* table : AllKernelTables()) {
    if ((table->needs & ~DetectCpuBits()) != 0) continue;
    for (const ActType act_type : {ActType::kI8, ActType::kF32}) {
      const auto device = MakeDevice(2, act_type, table->name);
      for (const Pair& pair : kPairs) {
        const TestMatrix m = MakeMatrix(*device, pair.stored, kRows, kCols, 1);
        const quant::Type &stored = *quant::FindByName(pair.stored), &as = *quant::FindByName(pair.as);
        EXPECT_EQ(m.w->spec().type, &as);
        std::vector<std::byte> bytes(kRows * *as.RowBytes(kCols));
        ASSERT_TRUE(quant::Repack(stored, m.bytes.data(), as, bytes.data(), kRows * kCols));
        const auto other = Load(*device, as, kRows, kCols, bytes);
        EXPECT_EQ(device->MatrixBytes({&stored, kRows, kCols}), device->MatrixBytes({&as, kRows, kCols}));
        for (const int64_t tokens : {1, 3, 9}) {
          const auto act = MakeAct(*device, tokens, kCols, {m.w.get(), other.get()}, Randoms(tokens * kCols, 2));
          const auto y = MakeTensor(*device, tokens, kRows), y2 = MakeTensor(*device, tokens, kRows);
          const Product group[] = {{m.w.get(), y.get()}, {other.get(), y2.get()}};
          device->MatMul(group, *act, tokens);
          EXPECT_EQ(Values(*y, tokens), Values(*y2, tokens)) << table->name << ", " << pair.stored << ", " << tokens;
        }
        const auto row = MakeTensor(*device, 1, kCols);
        const int32_t token = kRows - 1;
        device->Embed(*m.w, {&token, 1}, *row);
        EXPECT_EQ(Values(*row, 1), std::vector<float>(m.values.end() - kCols, m.values.end())) << pair.stored;
      }
    }
  }
}

TEST(RunsAsTest, AScaleThatIsNoNumberIsCorruptAndNamesTheRow) {
  const auto device = MakeDevice(1, ActType::kI8);
  for (const Pair& pair : kPairs) {
    constexpr int64_t kRows = 100, kCols = 512;
    const quant::Type& type = *quant::FindByName(pair.stored);
    const uint64_t row_bytes = *type.RowBytes(kCols);
    TestMatrix m = MakeMatrix(*device, pair.stored, kRows, kCols, 1);
    m.bytes[71 * row_bytes - 1] = std::byte{0x7c};  // the last scale of row 70: infinite or a NaN
    const auto w =
        device->LoadMatrix({&type, kRows, kCols}, [&](int64_t row, int64_t, std::span<std::byte> out) -> Status {
          std::copy_n(m.bytes.begin() + row * static_cast<int64_t>(row_bytes), out.size(), out.begin());
          return {};
        });
    ASSERT_FALSE(w) << pair.stored;
    EXPECT_EQ(w.error().code(), ErrorCode::kCorrupt);
    EXPECT_NE(w.error().message().find("row 70 of a " + std::string(pair.stored)), std::string::npos)
        << w.error().message();
    const auto fails = device->LoadMatrix({&type, kRows, kCols}, [](int64_t, int64_t, std::span<std::byte>) -> Status {
      return Error(ErrorCode::kIo, "disk gone");
    });
    ASSERT_FALSE(fails);
    EXPECT_EQ(fails.error().message(), "disk gone");
  }
}

}  // namespace
}  // namespace bonsai::kernels
