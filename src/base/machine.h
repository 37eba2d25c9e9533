// What this process may use of the machine: containers and affinity masks count, not only the hardware.
#pragma once

#include <cstdint>
#include <string>

namespace bonsai {

/// CPUs this process may run on: the affinity mask, capped by the cgroup's CPU quota (rounded up). At least 1.
int UsableCpus();

/// What UsableCpus() is made of.
struct CpuCounts {
  int online = 1;    ///< Logical CPUs of the machine.
  int affinity = 1;  ///< Those of them in the affinity mask.
  double quota = 0;  ///< CPUs that the cgroup's quota allows; infinity without one.
};
CpuCounts CountCpus();

/// The state of transparent huge pages: "always", "madvise", "never"; empty when the kernel does not say.
std::string HugePageMode();

/// Bytes of memory of the machine (MemTotal; 0 when unknown).
uint64_t TotalMemory();

/// Bytes of memory that can still be taken: MemAvailable, capped by what the cgroup's limit (v2 or v1) leaves.
/// 0 when neither can be read.
uint64_t AvailableMemory();

/// Largest resident set of this process so far, bytes (VmHWM; 0 when unknown).
uint64_t PeakResidentMemory();

}  // namespace bonsai
