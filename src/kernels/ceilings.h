// What this machine allows: the two floors under the time of a token. One token reads every weight once, and makes one
// multiply-add a weight; no kernel goes below bytes / bandwidth or multiply-adds / rate of the dot instruction.
//
//   BONSAI_ASSIGN(const auto c, kernels::MeasureCeilings({.threads = 2}));
//   const double share = weight_bytes * tokens_per_second / c.read_bytes_per_s;   // 1 = as fast as memory
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace bonsai::kernels {

struct Ceilings {
  double read_bytes_per_s = 0;  ///< Streaming read of memory that no cache holds, all threads together.
  double int8_macs_per_s = 0;   ///< Multiply-adds of the best int8 dot instruction of the kernel table, all threads.
  std::string dot_instruction;  ///< "vpdpbusd zmm".
  uint64_t read_buffer = 0;     ///< Bytes that were streamed over.
  bool cached = false;          ///< Too little memory for 8 times the last-level cache: the read rate may be too high.
  /// Other programs kept the threads from ever running all at once: both rates may be too low.
  bool busy = false;
  int threads = 0;
};

struct CeilingOptions {
  int threads = 0;       ///< 0: all usable CPUs.
  double seconds = 0.5;  ///< For each of the two. The best of several passes counts: others may use the machine, too.
};

/// Takes 512 MiB (or 8 times the last-level cache if that is more), at most a quarter of the available memory, and
/// gives it back. kInvalidArgument for a bad BONSAI_ISA, kOutOfMemory.
Result<Ceilings> MeasureCeilings(const CeilingOptions& options);

}  // namespace bonsai::kernels
