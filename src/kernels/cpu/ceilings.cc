#include "kernels/ceilings.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <vector>

#include "base/buffer.h"
#include "base/machine.h"
#include "base/thread_pool.h"
#include "kernels/cpu/select.h"
#include "kernels/cpu_info.h"

namespace bonsai::kernels {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kReadBytes = uint64_t{512} << 20, kLeastReadBytes = uint64_t{16} << 20;
constexpr uint64_t kCacheMultiple = 8;
constexpr int kLeastPasses = 3;
/// Read by each thread in one timed pass: about a millisecond, so that on a busy machine some passes run undisturbed.
constexpr size_t kPassBytes = size_t{8} << 20;

double Seconds(Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); }

/// 16 bytes, a register of every 64-bit CPU.
using Vec = uint64_t __attribute__((vector_size(16), may_alias));

/// Streams over memory, four sums at a time; lines are asked for 2 KiB ahead, as the kernels over tiles do. Nothing
/// here is for one ISA. It must be far faster from cache than memory is, or it measures itself: words copied to a local
/// array first did not become vector loads, and gave 14 GB/s from L1 and from memory alike.
uint64_t ReadAll(const std::byte* data, size_t bytes) {
  constexpr size_t kStep = 256, kAhead = 2048;
  Vec a = {}, b = {}, c = {}, d = {};
  for (size_t i = 0; i + kStep <= bytes; i += kStep) {
    const auto* v = reinterpret_cast<const Vec*>(data + i);
    for (size_t line = 0; line < kStep; line += 64) __builtin_prefetch(data + i + kAhead + line);
    a += v[0] ^ v[4] ^ v[8] ^ v[12];
    b += v[1] ^ v[5] ^ v[9] ^ v[13];
    c += v[2] ^ v[6] ^ v[10] ^ v[14];
    d += v[3] ^ v[7] ^ v[11] ^ v[15];
  }
  const Vec sum = a + b + c + d;
  return sum[0] + sum[1];
}

double ThreadSeconds() {
  timespec t = {};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// The highest rate of `work`, which every thread does once a pass and which returns how much it did. Passes in which
/// all threads had a CPU of their own nearly all the time are preferred: where other programs take CPUs, two threads
/// can share one for the whole measurement, and half the rate would pass for the ceiling. Takes `seconds`, or four
/// times that while no pass was undisturbed; `busy` is set when none ever was.
template <class Work>
double BestRate(ThreadPool& pool, double seconds, bool& busy, Work work) {
  constexpr double kUndisturbed = 0.9;
  std::mutex mutex;
  double amount = 0, cpu = 0;
  const std::function<void(int, int)> run = [&](int thread, int threads) {
    const double begin = ThreadSeconds();
    const double did = work(thread, threads);
    const double spent = ThreadSeconds() - begin;
    const std::lock_guard lock(mutex);
    amount += did, cpu += spent;
  };
  double best = 0, best_disturbed = 0;
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < kLeastPasses || Seconds(start) < (best > 0 ? seconds : 4 * seconds); ++i) {
    amount = cpu = 0;
    const Clock::time_point begin = Clock::now();
    pool.Run(run);
    const double wall = std::max(Seconds(begin), 1e-9);
    double& rate = cpu >= kUndisturbed * wall * pool.threads() ? best : best_disturbed;
    rate = std::max(rate, amount / wall);
  }
  busy = busy || best == 0;
  return best > 0 ? best : best_disturbed;
}

Status MeasureRead(ThreadPool& pool, double seconds, Ceilings& c) {
  const uint64_t cache = LastLevelCacheBytes(), available = AvailableMemory();
  uint64_t bytes = std::max(kReadBytes, kCacheMultiple * cache);
  if (available != 0) bytes = std::max(std::min(bytes, available / 4), kLeastReadBytes);
  c.read_buffer = bytes;
  c.cached = bytes < kCacheMultiple * cache;
  BONSAI_ASSIGN(Buffer buffer, Buffer::Allocate(bytes));
  // Each thread makes its part resident first, so that on a machine with several memories the part lies near it.
  const std::function<void(int, int)> touch = [&](int thread, int threads) {
    const Slice s = SliceOf(bytes, thread, threads, 4096);
    std::memset(buffer.data() + s.begin, 1, s.end - s.begin);
  };
  pool.Run(touch);
  // Passes move on through each thread's part: what they read is long out of the caches.
  std::vector<size_t> passes(static_cast<size_t>(pool.threads()));
  c.read_bytes_per_s = BestRate(pool, seconds, c.busy, [&](int thread, int threads) {
    const Slice s = SliceOf(bytes, thread, threads, 4096);
    const size_t size = s.end - s.begin, part = std::min(kPassBytes, size);
    const size_t pass = passes[static_cast<size_t>(thread)]++;
    const uint64_t sum = ReadAll(buffer.data() + s.begin + pass % (size / part) * part, part);
    asm volatile("" : : "r"(sum));
    return static_cast<double>(part);
  });
  return {};
}

void MeasureDot(ThreadPool& pool, const KernelTable& table, double seconds, Ceilings& c) {
  const KernelTable* t = &table;
  while (t->dot.run == nullptr) t = t->base;  // the portable one has a loop
  c.dot_instruction = t->dot.instruction;
  int64_t rounds = 1000;
  for (;; rounds *= 2) {  // to passes of about 1 ms: a barrier is little, and an interruption spoils only one
    const Clock::time_point start = Clock::now();
    t->dot.run(rounds);
    if (Seconds(start) > 0.0005) break;
  }
  c.int8_macs_per_s =
      BestRate(pool, seconds, c.busy, [&](int, int) { return static_cast<double>(t->dot.run(rounds * 2)); });
}

}  // namespace

Result<Ceilings> MeasureCeilings(const CeilingOptions& o) {
  if (o.threads < 0) return Error(ErrorCode::kInvalidArgument, "threads: {} is negative", o.threads);
  const char* isa = std::getenv("BONSAI_ISA");
  BONSAI_ASSIGN(const KernelTable* table, SelectKernels(isa != nullptr ? isa : "", DetectCpuBits()));
  ThreadPool pool(o.threads == 0 ? UsableCpus() : o.threads);
  Ceilings c;
  c.threads = pool.threads();
  BONSAI_RETURN_IF_ERROR(MeasureRead(pool, o.seconds, c));
  MeasureDot(pool, *table, o.seconds, c);
  return c;
}

}  // namespace bonsai::kernels
