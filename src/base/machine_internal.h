// machine.h with the places of the kernel's files as a parameter: for tests only.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace bonsai {

struct SystemFiles {
  std::string proc = "/proc";
  std::string cgroup = "/sys/fs/cgroup";
  std::string sys = "/sys";
};

inline constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

/// Bytes that the limits of this process's cgroup and its ancestors leave (v2 or v1); kNoLimit without any.
uint64_t CgroupMemory(const SystemFiles& files);

/// CPUs that their quotas allow, not rounded; infinity without any.
double CgroupCpus(const SystemFiles& files);

int UsableCpus(const SystemFiles& files);
uint64_t AvailableMemory(const SystemFiles& files);
std::string HugePageMode(const SystemFiles& files);
uint64_t TotalMemory(const SystemFiles& files);

}  // namespace bonsai
