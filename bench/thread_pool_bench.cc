// Latency of a parallel region: what a token pays about 250 times.
#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>

#include "base/thread_pool.h"

namespace bonsai {
namespace {

/// An empty region: start, barrier, return. The argument is the number of threads.
void BM_Region(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  std::atomic<int> calls = 0;
  for (auto _ : state) pool.Run([&](int, int) { calls.fetch_add(1, std::memory_order_relaxed); });
}
BENCHMARK(BM_Region)->Arg(1)->Arg(2)->Arg(4)->UseRealTime();

/// The same after a serial gap of the given number of microseconds: shows where workers have gone to sleep.
void BM_RegionAfterGap(benchmark::State& state) {
  using Clock = std::chrono::steady_clock;
  ThreadPool pool(2);
  for (auto _ : state) {
    const auto gap_end = Clock::now() + std::chrono::microseconds(state.range(0));
    while (Clock::now() < gap_end) benchmark::ClobberMemory();
    const auto begin = Clock::now();
    pool.Run([](int, int) { benchmark::ClobberMemory(); });
    state.SetIterationTime(std::chrono::duration<double>(Clock::now() - begin).count());
  }
}
BENCHMARK(BM_RegionAfterGap)->Arg(5)->Arg(20)->Arg(50)->Arg(200)->Arg(1000)->UseManualTime();

}  // namespace
}  // namespace bonsai
