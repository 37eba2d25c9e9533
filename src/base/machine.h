// What this process may use of the machine: containers and affinity masks count, not only the hardware.
#pragma once

#include <cstdint>

namespace bonsai {

/// CPUs this process may run on: the affinity mask, capped by the cgroup's CPU quota (rounded up). At least 1.
int UsableCpus();

/// Bytes of memory that can still be taken: MemAvailable, capped by what the cgroup's limit (v2 or v1) leaves.
/// 0 when neither can be read.
uint64_t AvailableMemory();

/// Largest resident set of this process so far, bytes (VmHWM; 0 when unknown).
uint64_t PeakResidentMemory();

}  // namespace bonsai
