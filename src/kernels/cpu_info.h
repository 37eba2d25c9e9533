// What the CPU is and which kernels it gets, for people who ask why something is slow.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "quant/types.h"

namespace bonsai::kernels {

/// One kernel table of this build.
struct IsaInfo {
  std::string name;                  ///< As BONSAI_ISA names it.
  bool usable = false;               ///< The CPU and the operating system have all that it needs.
  std::vector<std::string> missing;  ///< What they lack: "avx512_vnni", "zmm state (XCR0)".
};

struct CpuInfo {
  std::string model;                  ///< "AMD EPYC 9B14"; "unknown CPU" when nothing says.
  std::string architecture;           ///< "x86-64", "arm64", …
  std::vector<std::string> features;  ///< Those found that kernels ask for, or could.
  std::vector<IsaInfo> isas;          ///< Best first.
  std::string table;                  ///< The one that runs.
  std::string forced;                 ///< Value of BONSAI_ISA; empty when it is not set.
  uint64_t last_level_cache = 0;      ///< Bytes.
};

/// kInvalidArgument when BONSAI_ISA names a table that this CPU or build does not have, as NewCpuDevice.
Result<CpuInfo> DescribeCpu();

/// How a matrix of a format is multiplied, from fast to slow.
enum class KernelPath {
  kTiles,      ///< Rearranged when loaded, many rows a register.
  kRows,       ///< Row by row, with kernels of an instruction set.
  kPortable,   ///< Row by row, in portable C++.
  kReference,  ///< Decodes every weight: right, and slow.
  kFloat,      ///< (int8 only) the format takes float activations: see the other.
};
std::string_view KernelPathName(KernelPath path);

struct WeightKernels {
  const quant::Type* as;        ///< The format that it runs as: its own, or one with the same numbers (runs_as.h).
  KernelPath i8, f32;           ///< With int8 and with float activations.
  std::string i8_isa, f32_isa;  ///< The table it is from; empty for kReference and kFloat.
  /// Of tiles: up to this many tokens go one by one, by a kernel for one token (0: there is none); more go together, at
  /// most so many at a time.
  int64_t most_singly = 0, most_together = 0;
};
/// For matrices of whole activation groups (128 columns) and blocks, with the kernel table that is called `table` (a
/// name of CpuInfo::isas; the portable one for others).
WeightKernels DescribeKernels(const quant::Type& type, std::string_view table);

/// Largest cache of CPU 0, bytes; 32 MiB when nothing says.
uint64_t LastLevelCacheBytes();

}  // namespace bonsai::kernels
