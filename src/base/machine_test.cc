#include "base/machine.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "base/buffer.h"
#include "base/machine_internal.h"
#include "tests/support.h"

namespace bonsai {
namespace {

/// A made-up /proc and /sys/fs/cgroup.
class Tree {
 public:
  Tree& Add(const std::string& path, const std::string& text) {
    const std::filesystem::path file = dir_ / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
    return *this;
  }
  SystemFiles files() const { return {dir_ / "proc", dir_ / "cgroup", dir_ / "sys"}; }

 private:
  test::TempDir dir_;
};

TEST(Machine, ThisMachine) {
  EXPECT_GE(UsableCpus(), 1);
  EXPECT_LE(UsableCpus(), static_cast<int>(std::thread::hardware_concurrency()));
  EXPECT_GT(AvailableMemory(), 0u);
}

TEST(Machine, PeakResidentMemoryCountsWhatWasTouched) {
  constexpr size_t kBytes = size_t{64} << 20;
  {
    Buffer b = *Buffer::Allocate(kBytes);
    for (size_t i = 0; i < kBytes; i += 4096) b.data()[i] = std::byte{1};
  }
  EXPECT_GE(PeakResidentMemory(), kBytes);
}

TEST(Machine, RespectsTheAffinityMask) {
  cpu_set_t allowed;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int first = 0;
    while (!CPU_ISSET(first, &allowed)) first++;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    ::_exit(::sched_setaffinity(0, sizeof(one), &one) == 0 ? UsableCpus() : 100);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

TEST(Machine, CountsMakeUsableCpus) {
  const CpuCounts c = CountCpus();
  EXPECT_GE(c.online, 1);
  EXPECT_GE(c.affinity, 1);
  EXPECT_GT(c.quota, 0);
  EXPECT_EQ(UsableCpus(), static_cast<int>(std::min<double>(c.affinity, std::max(1.0, std::ceil(c.quota)))));
}

TEST(Machine, HugePagesAndTotalMemory) {
  Tree tree;
  EXPECT_EQ(HugePageMode(tree.files()), "");
  EXPECT_EQ(TotalMemory(tree.files()), 0u);
  tree.Add("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  tree.Add("proc/meminfo", "MemTotal:       2000 kB\nMemAvailable:   1234 kB\n");
  EXPECT_EQ(HugePageMode(tree.files()), "madvise");
  EXPECT_EQ(TotalMemory(tree.files()), 2000u * 1024);
  for (const char* text : {"", "always madvise never", "]never[", "[never"}) {
    tree.Add("sys/kernel/mm/transparent_hugepage/enabled", text);
    EXPECT_EQ(HugePageMode(tree.files()), "") << text;
  }
}

TEST(Machine, NoCgroupsNoLimits) {
  Tree tree;
  EXPECT_EQ(CgroupMemory(tree.files()), kNoLimit);
  EXPECT_TRUE(std::isinf(CgroupCpus(tree.files())));
  EXPECT_EQ(AvailableMemory(tree.files()), 0u);  // nothing could be read
  EXPECT_GE(UsableCpus(tree.files()), 1);
  tree.Add("proc/meminfo", "MemTotal:       2000 kB\nMemFree:  5 kB\nMemAvailable:   1234 kB\n");
  EXPECT_EQ(AvailableMemory(tree.files()), 1234u * 1024);
}

TEST(Machine, CgroupV2) {
  Tree tree;
  tree.Add("proc/self/cgroup", "0::/a/b\n").Add("proc/meminfo", "MemAvailable: 1000000 kB\n");
  tree.Add("cgroup/a/b/memory.max", "max\n").Add("cgroup/a/b/memory.current", "5000\n");
  tree.Add("cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(CgroupMemory(tree.files()), kNoLimit);
  EXPECT_TRUE(std::isinf(CgroupCpus(tree.files())));
  // A limit on the parent holds for the child; file pages that can be dropped count as free.
  tree.Add("cgroup/a/memory.max", "100000\n").Add("cgroup/a/memory.current", "70000\n");
  EXPECT_EQ(CgroupMemory(tree.files()), 30000u);
  tree.Add("cgroup/a/memory.stat", "anon 50000\ninactive_file 15000\nactive_file 5000\n");
  EXPECT_EQ(CgroupMemory(tree.files()), 45000u);
  EXPECT_EQ(AvailableMemory(tree.files()), 45000u);
  // The child's own limit is lower still.
  tree.Add("cgroup/a/b/memory.max", "20000\n");
  EXPECT_EQ(CgroupMemory(tree.files()), 15000u);
  // More in use than allowed (the limit was lowered): nothing is left.
  tree.Add("cgroup/a/b/memory.current", "30000\n");
  EXPECT_EQ(CgroupMemory(tree.files()), 0u);
}

TEST(Machine, CgroupV2Quotas) {
  const auto quota = [](const std::string& outer, const std::string& inner) {
    Tree tree;
    tree.Add("proc/self/cgroup", "0::/a/b\n").Add("cgroup/a/cpu.max", outer).Add("cgroup/a/b/cpu.max", inner);
    return CgroupCpus(tree.files());
  };
  EXPECT_EQ(quota("max 100000\n", "150000 100000\n"), 1.5);
  EXPECT_EQ(quota("200000 100000\n", "50000 100000\n"), 0.5);
  EXPECT_EQ(quota("50000 100000\n", "200000 100000\n"), 0.5);
  EXPECT_TRUE(std::isinf(quota("", "garbage\n")));
  EXPECT_TRUE(std::isinf(quota("max\n", "100 0\n")));
}

TEST(Machine, QuotaRoundsUpAndNeverBelowOne) {
  const auto cpus = [](const std::string& quota) {
    Tree tree;
    tree.Add("proc/self/cgroup", "0::/\n").Add("cgroup/cpu.max", quota);
    return UsableCpus(tree.files());
  };
  const int all = cpus("max 100000\n");
  EXPECT_EQ(cpus("1000 100000\n"), 1);
  EXPECT_EQ(cpus("100000 100000\n"), 1);
  EXPECT_EQ(cpus("100001 100000\n"), std::min(2, all));
  EXPECT_EQ(cpus("0 100000\n"), 1);
  EXPECT_EQ(cpus("99999999999999999 100000\n"), all);  // more than an int holds
}

TEST(Machine, CgroupV1) {
  Tree tree;
  tree.Add("proc/self/cgroup",
           "12:pids:/x\n5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n");
  // As inside a container: only the root of the hierarchy exists.
  tree.Add("cgroup/memory/memory.limit_in_bytes", "1000000\n").Add("cgroup/memory/memory.usage_in_bytes", "400000\n");
  tree.Add("cgroup/memory/memory.stat", "inactive_file 7\ntotal_inactive_file 100000\n");
  tree.Add("cgroup/cpu/cpu.cfs_quota_us", "-1\n").Add("cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(CgroupMemory(tree.files()), 700000u);
  EXPECT_TRUE(std::isinf(CgroupCpus(tree.files())));
  tree.Add("cgroup/cpu/docker/cpu.cfs_quota_us", "250000\n").Add("cgroup/cpu/docker/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(CgroupCpus(tree.files()), 2.5);
  // Outside of one: the limit of the cgroup itself.
  tree.Add("cgroup/memory/docker/abc/memory.limit_in_bytes", "500000\n");
  tree.Add("cgroup/memory/docker/abc/memory.usage_in_bytes", "400000\n");
  EXPECT_EQ(CgroupMemory(tree.files()), 100000u);
}

TEST(Machine, OddCgroupFiles) {
  for (const char* text : {"", "\n", "0\n", "0:\n", "0::\n", "0::relative\n", "::::\n", "0::/../..\n"}) {
    Tree tree;
    tree.Add("proc/self/cgroup", text).Add("proc/meminfo", "MemAvailable: 10 kB\n");
    EXPECT_EQ(AvailableMemory(tree.files()), 10240u) << text;
    EXPECT_GE(UsableCpus(tree.files()), 1) << text;
  }
}

}  // namespace
}  // namespace bonsai
