// Which kernel table runs: what this build has, what this CPU can do, what the user asked for.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kernels/cpu/isa.h"
#include "quant/types.h"

namespace bonsai::kernels {

/// Tables of this build, best first; the last is kPortableKernels.
std::span<const KernelTable* const> AllKernelTables();

/// What CPUID and XGETBV said (0 where a leaf is absent), apart from the machine so that it can be tested.
struct X86Features {
  uint32_t leaf1_ecx = 0;
  uint32_t leaf7_ebx = 0;
  uint32_t leaf7_ecx = 0;
  uint64_t xcr0 = 0;
};
/// The CpuBits that follow from it.
uint32_t CpuBitsOf(const X86Features& features);
/// What this machine says (all 0 on other architectures).
X86Features ReadX86Features();

/// The same for 64-bit ARM: the words that Linux passes to every program.
struct ArmFeatures {
  uint64_t hwcap = 0;   ///< AT_HWCAP.
  uint64_t hwcap2 = 0;  ///< AT_HWCAP2.
};
uint32_t CpuBitsOf(const ArmFeatures& features);
ArmFeatures ReadArmFeatures();

/// CpuBits of this machine (0 on other architectures).
uint32_t DetectCpuBits();

/// The best table that `cpu_bits` can run, or the one called `wanted` when that is not empty. kInvalidArgument when
/// no table has that name or the CPU lacks what it needs; the message lists the names that would work.
Result<const KernelTable*> SelectKernels(std::string_view wanted, uint32_t cpu_bits);

/// The kernels that `table` uses for a format: its own, else portable ones, else the reference kernels of ref/. Both
/// are set, except that `i8` is null for formats that are never multiplied with int8 activations (floats, and blocks
/// that straddle activation groups).
RowKernels KernelsFor(const KernelTable& table, const quant::Type& type);
/// The kernels for the rest of a token: the best that need nothing that `table` does not need.
const TokenKernels& TokenKernelsFor(const KernelTable& table);
/// The tile kernels that are the table's own, at most one for each format.
std::vector<const TileKernels*> TilesOf(const KernelTable& table);
/// The tile kernels that `table` has for a matrix of this format and width, or null.
const TileKernels* TilesFor(const KernelTable& table, const quant::Type& type, int64_t cols);

}  // namespace bonsai::kernels
