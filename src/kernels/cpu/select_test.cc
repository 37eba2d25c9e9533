#include "kernels/cpu/select.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "kernels/ref/ref.h"
#include "kernels/test_util.h"

namespace bonsai::kernels {
namespace {

constexpr uint32_t kAllBits = ~0u;

TEST(CpuBitsTest, Avx2NeedsTheOperatingSystemToo) {
  constexpr uint32_t kOsXsave = 1u << 27, kAvx = 1u << 28, kF16c = 1u << 29, kAvx2 = 1u << 5, kFma = 1u << 12;
  const X86Features all = {kOsXsave | kAvx | kF16c | kFma, kAvx2, 0, 0x7};
  EXPECT_EQ(CpuBitsOf(all), kCpuAvx2);
  EXPECT_EQ(CpuBitsOf(X86Features{}), 0u);
  X86Features f = all;
  f.xcr0 = 0x3;  // x87 and xmm, but not ymm: an OS without AVX support
  EXPECT_EQ(CpuBitsOf(f), 0u);
  f = all, f.xcr0 = 0x5;
  EXPECT_EQ(CpuBitsOf(f), 0u);
  for (const uint32_t bit : {kOsXsave, kAvx, kF16c, kFma}) {
    f = all, f.leaf1_ecx &= ~bit;
    EXPECT_EQ(CpuBitsOf(f), 0u) << bit;
  }
  f = all, f.leaf7_ebx = 0;
  EXPECT_EQ(CpuBitsOf(f), 0u);
}

TEST(CpuBitsTest, VnniIsApartFromTheRestOfAvx512) {
  constexpr uint32_t kLeaf1 = 1u << 27 | 1u << 28 | 1u << 29 | 1u << 12, kAvx2 = 1u << 5, kVnni = 1u << 11;
  constexpr uint32_t kAvx512[] = {1u << 16, 1u << 17, 1u << 30, 1u << 31};  // F, DQ, BW, VL
  X86Features all = {kLeaf1, kAvx2, kVnni, 0xe7};
  for (const uint32_t bit : kAvx512) all.leaf7_ebx |= bit;
  EXPECT_EQ(CpuBitsOf(all), kCpuAvx2 | kCpuAvx512 | kCpuAvx512Vnni);
  X86Features f = all;
  f.leaf7_ecx = 0;  // Skylake-X
  EXPECT_EQ(CpuBitsOf(f), kCpuAvx2 | kCpuAvx512);
  for (const uint32_t bit : kAvx512) {
    f = all, f.leaf7_ebx &= ~bit;
    EXPECT_EQ(CpuBitsOf(f), kCpuAvx2) << bit;
  }
  f = all, f.xcr0 = 0x7;  // the OS does not save zmm
  EXPECT_EQ(CpuBitsOf(f), kCpuAvx2);
}

TEST(CpuBitsTest, ArmBitsComeFromTheKernelsWords) {
  constexpr uint64_t kAsimd = 1u << 1, kAsimdDp = 1u << 20, kI8mm2 = 1u << 13;
  EXPECT_EQ(CpuBitsOf(ArmFeatures{}), 0u);
  EXPECT_EQ(CpuBitsOf(ArmFeatures{~(kAsimdDp), ~kI8mm2}), kCpuNeon);
  EXPECT_EQ(CpuBitsOf(ArmFeatures{kAsimd | kAsimdDp, 0}), kCpuNeon | kCpuDotprod);
  EXPECT_EQ(CpuBitsOf(ArmFeatures{kAsimd | kAsimdDp, kI8mm2}), kCpuNeon | kCpuDotprod | kCpuI8mm);
  EXPECT_EQ(CpuBitsOf(ArmFeatures{~kAsimd, ~uint64_t{0}}), 0u);
}

TEST(SelectTest, PortableIsLastAndNeedsNothing) {
  ASSERT_FALSE(AllKernelTables().empty());
  EXPECT_EQ(AllKernelTables().back(), &kPortableKernels);
  EXPECT_EQ(kPortableKernels.needs, 0u);
}

TEST(SelectTest, BestFirstUnlessNamed) {
  EXPECT_EQ(*SelectKernels("", kAllBits), AllKernelTables().front());
  EXPECT_EQ(*SelectKernels("", 0), &kPortableKernels);
  EXPECT_EQ(*SelectKernels("portable", kAllBits), &kPortableKernels);
  for (const KernelTable* table : AllKernelTables()) EXPECT_EQ(*SelectKernels(table->name, kAllBits), table);
}

TEST(SelectTest, UnknownNameListsWhatExists) {
  const auto chosen = SelectKernels("mmx", kAllBits);
  ASSERT_FALSE(chosen);
  EXPECT_EQ(chosen.error().code(), ErrorCode::kInvalidArgument);
  const std::string& message = chosen.error().message();
  EXPECT_NE(message.find("BONSAI_ISA=mmx"), std::string::npos) << message;
  for (const KernelTable* table : AllKernelTables()) EXPECT_NE(message.find(table->name), std::string::npos) << message;
}

TEST(SelectTest, KnownNameOnALesserCpuIsRefused) {
  for (const KernelTable* table : AllKernelTables()) {
    if (table->needs == 0) continue;
    const auto chosen = SelectKernels(table->name, 0);
    ASSERT_FALSE(chosen);
    EXPECT_EQ(chosen.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(chosen.error().message().find("use one of: portable"), std::string::npos) << chosen.error().message();
  }
}

TEST(SelectTest, KernelsForFallsBack) {
  const quant::Type& q1 = *quant::FindByName("Q1_0");
  const RowKernels portable = KernelsFor(kPortableKernels, q1);
  EXPECT_NE(portable.i8, ref::RowI8);  // Q1_0 has portable kernels of its own
  for (const KernelTable* table : AllKernelTables()) {
    const RowKernels kernels = KernelsFor(*table, q1);
    EXPECT_EQ(kernels.i8, portable.i8) << table->name;  // the others have tiles for it
    EXPECT_EQ(kernels.f32 != portable.f32, (table->needs & kCpuAvx2) != 0) << table->name;
    const RowKernels q8 = KernelsFor(*table, *quant::FindByName("Q8_0"));
    EXPECT_EQ(q8.i8, ref::RowI8) << table->name;  // for widths that have no tiles
    EXPECT_EQ(q8.f32 != ref::RowsF32, (table->needs & kCpuAvx2) != 0) << table->name;
    const RowKernels f16 = KernelsFor(*table, *quant::FindByName("F16"));
    EXPECT_EQ(f16.i8, nullptr) << table->name;
    EXPECT_EQ(f16.f32 != ref::RowsF32, (table->needs & kCpuAvx2) != 0) << table->name;
  }
}

TEST(SelectTest, TilesForTheFormatsOfModelsWhereThereAreVectors) {
  for (const KernelTable* table : AllKernelTables()) {
    std::set<uint32_t> formats;
    for (const TileKernels* tiles : TilesOf(*table)) EXPECT_TRUE(formats.insert(tiles->ggml_id).second) << table->name;
    for (const quant::Type& type : quant::Types()) {
      const std::string_view name = type.name;
      const bool coded = name == "Q1_0" || name == "Q2_0" || name == "PQ2_0" || name == "TQ2_0";
      // Not yet on ARM: Q8_0.
      const bool tiled = (coded && table->needs != 0) || (name == "Q8_0" && (table->needs & kCpuAvx2) != 0);
      EXPECT_EQ(TilesFor(*table, type, 256) != nullptr, tiled) << table->name << ", " << name;
      EXPECT_EQ(TilesFor(*table, type, 160), nullptr) << "not whole groups";
    }
  }
}

TEST(SelectTest, TheDeviceRunsTheTableThatWasForced) {
  for (const KernelTable* table : AllKernelTables()) {
    if ((table->needs & ~DetectCpuBits()) != 0) continue;
    const auto device = test::MakeDevice(2, ActType::kI8, table->name);
    EXPECT_EQ(device->name(), fmt::format("CPU ({}, 2 threads)", table->name));
    // Not only the name: the matrix carries this table's kernels.
    const test::TestMatrix m = test::MakeMatrix(*device, "Q1_0", 1, 128, 1);
    const auto& w = static_cast<const cpu::CpuMatrix&>(*m.w);
    const RowKernels expected = KernelsFor(*table, *w.spec().type);
    EXPECT_EQ(w.kernels().i8, expected.i8);
    EXPECT_EQ(w.kernels().f32, expected.f32);
    EXPECT_EQ(w.tiles(), TilesFor(*table, *w.spec().type, 128));
    EXPECT_EQ(w.tiles() == nullptr, table == &kPortableKernels);
  }
}

TEST(SelectTest, ForcingAnUnknownTableFailsTheDevice) {
  ::setenv("BONSAI_ISA", "itanium", 1);
  const auto device = NewCpuDevice({.threads = 1});
  ::unsetenv("BONSAI_ISA");
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_FALSE(NewCpuDevice({.threads = -1}));
}

}  // namespace
}  // namespace bonsai::kernels
