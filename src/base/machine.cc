#include "base/machine.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <thread>

#include "base/machine_internal.h"

namespace bonsai {
namespace {

std::optional<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path);
  if (!in) return std::nullopt;
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::optional<uint64_t> ReadNumber(const std::string& path) {
  const auto text = ReadFile(path);
  if (!text || text->empty() || (*text)[0] < '0' || (*text)[0] > '9') return std::nullopt;  // "max" is no number
  return std::strtoull(text->c_str(), nullptr, 10);
}

/// The value in kB of a "Name:  123 kB" line, as bytes.
std::optional<uint64_t> KilobyteField(const std::string& path, const std::string& field) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);)
    if (line.rfind(field, 0) == 0) return std::strtoull(line.c_str() + field.size(), nullptr, 10) * 1024;
  return std::nullopt;
}

/// A field of a cgroup's "memory.stat".
uint64_t StatField(const std::string& path, const std::string& field) {
  std::ifstream in(path);
  std::string key;
  for (uint64_t value = 0; in >> key >> value;)
    if (key == field) return value;
  return 0;
}

/// Path of this process inside a cgroup hierarchy ("" = v2, else the v1 controller), from /proc/self/cgroup.
std::optional<std::string> CgroupPath(const SystemFiles& files, const std::string& controller) {
  std::ifstream in(files.proc + "/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const size_t a = line.find(':'), b = line.find(':', a + 1);
    if (a == std::string::npos || b == std::string::npos) continue;
    const std::string list = "," + line.substr(a + 1, b - a - 1) + ",";
    if (controller.empty() ? list == ",," : list.find("," + controller + ",") != std::string::npos)
      return line.substr(b + 1);
  }
  return std::nullopt;
}

/// Calls visit(dir) for the cgroup and each of its ancestors: a limit anywhere on the way up holds. In a container the
/// path can be the host's, of which only the root exists here; what does not exist sets no limit.
template <class F>
void VisitCgroups(const std::string& root, std::string path, F visit) {
  for (;;) {
    visit(root + path);
    const size_t slash = path.find_last_of('/');
    if (slash == std::string::npos) return;
    path.resize(slash);
  }
}

/// What one cgroup still allows: its limit, less its use, plus the page cache that the kernel can drop.
uint64_t Headroom(uint64_t limit, uint64_t used, uint64_t reclaimable) {
  const uint64_t held = used > reclaimable ? used - reclaimable : 0;
  return limit > held ? limit - held : 0;
}

}  // namespace

uint64_t CgroupMemory(const SystemFiles& files) {
  uint64_t left = kNoLimit;
  if (const auto v2 = CgroupPath(files, "")) {
    VisitCgroups(files.cgroup, *v2, [&](const std::string& dir) {
      const auto limit = ReadNumber(dir + "/memory.max"), used = ReadNumber(dir + "/memory.current");
      if (limit && used)
        left = std::min(left, Headroom(*limit, *used, StatField(dir + "/memory.stat", "inactive_file")));
    });
  }
  if (const auto v1 = CgroupPath(files, "memory")) {
    VisitCgroups(files.cgroup + "/memory", *v1, [&](const std::string& dir) {
      const auto limit = ReadNumber(dir + "/memory.limit_in_bytes"), used = ReadNumber(dir + "/memory.usage_in_bytes");
      if (limit && used)
        left = std::min(left, Headroom(*limit, *used, StatField(dir + "/memory.stat", "total_inactive_file")));
    });
  }
  return left;
}

double CgroupCpus(const SystemFiles& files) {
  double cpus = std::numeric_limits<double>::infinity();
  if (const auto v2 = CgroupPath(files, "")) {
    VisitCgroups(files.cgroup, *v2, [&](const std::string& dir) {
      std::ifstream in(dir + "/cpu.max");
      std::string quota;
      double period = 0;
      if (in >> quota >> period && quota != "max" && period > 0)
        cpus = std::min(cpus, std::strtod(quota.c_str(), nullptr) / period);
    });
  }
  if (const auto v1 = CgroupPath(files, "cpu")) {
    VisitCgroups(files.cgroup + "/cpu", *v1, [&](const std::string& dir) {
      const auto quota = ReadNumber(dir + "/cpu.cfs_quota_us"), period = ReadNumber(dir + "/cpu.cfs_period_us");
      if (quota && period && *period > 0)
        cpus = std::min(cpus, static_cast<double>(*quota) / static_cast<double>(*period));
    });
  }
  return cpus;
}

int UsableCpus(const SystemFiles& files) {
  int cpus = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) cpus = CPU_COUNT(&set);
  return std::max(1, static_cast<int>(std::min(static_cast<double>(cpus), std::ceil(CgroupCpus(files)))));
}

uint64_t AvailableMemory(const SystemFiles& files) {
  const uint64_t machine = KilobyteField(files.proc + "/meminfo", "MemAvailable:").value_or(kNoLimit);
  const uint64_t left = std::min(machine, CgroupMemory(files));
  return left == kNoLimit ? 0 : left;
}

std::string HugePageMode(const SystemFiles& files) {
  // The chosen one is in brackets: "always [madvise] never".
  const std::string text = ReadFile(files.sys + "/kernel/mm/transparent_hugepage/enabled").value_or("");
  const size_t open = text.find('['), close = text.find(']', open == std::string::npos ? 0 : open);
  if (open == std::string::npos || close == std::string::npos) return "";
  return text.substr(open + 1, close - open - 1);
}

uint64_t TotalMemory(const SystemFiles& files) {
  return KilobyteField(files.proc + "/meminfo", "MemTotal:").value_or(0);
}

CpuCounts CountCpus() {
  CpuCounts counts;
  counts.online = std::max(1, static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)));
  counts.affinity = counts.online;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) counts.affinity = CPU_COUNT(&set);
  counts.quota = CgroupCpus(SystemFiles{});
  return counts;
}

std::string HugePageMode() { return HugePageMode(SystemFiles{}); }

uint64_t TotalMemory() { return TotalMemory(SystemFiles{}); }

int UsableCpus() { return UsableCpus(SystemFiles{}); }

uint64_t AvailableMemory() { return AvailableMemory(SystemFiles{}); }

uint64_t PeakResidentMemory() { return KilobyteField(SystemFiles{}.proc + "/self/status", "VmHWM:").value_or(0); }

}  // namespace bonsai
