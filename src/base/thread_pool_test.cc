#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <set>
#include <thread>
#include <vector>

namespace bonsai {
namespace {

TEST(ThreadPool, EveryThreadRunsOnceARegion) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    ASSERT_EQ(pool.threads(), threads);
    // Not atomic on purpose: that Run() orders one region's writes before the next region's is part of its contract,
    // and ThreadSanitizer checks it here.
    std::vector<int> calls(static_cast<size_t>(threads), 0);
    int regions = 0;
    for (int i = 0; i < 10000; i++) {
      pool.Run([&](int thread, int count) {
        if (count == threads && regions == i) calls[static_cast<size_t>((thread + i) % threads)]++;
      });
      regions++;
    }
    for (const int n : calls) EXPECT_EQ(n, 10000);
  }
}

TEST(ThreadPool, ThreadsAreDistinctAndTheCallerIsZero) {
  ThreadPool pool(5);
  std::vector<std::thread::id> first(5), again(5);
  pool.Run([&](int thread, int) { first[static_cast<size_t>(thread)] = std::this_thread::get_id(); });
  pool.Run([&](int thread, int) { again[static_cast<size_t>(thread)] = std::this_thread::get_id(); });
  EXPECT_EQ(first[0], std::this_thread::get_id());
  EXPECT_EQ(first, again);
  EXPECT_EQ(std::set<std::thread::id>(first.begin(), first.end()).size(), 5u);
}

TEST(ThreadPool, WakesSleepersAndWaitsForSlowOnes) {
  ThreadPool pool(3);
  for (int slow = 0; slow < 3; slow++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // workers have gone to sleep
    std::vector<int> done(3, 0);
    pool.Run([&](int thread, int) {
      if (thread == slow) std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the others sleep meanwhile
      done[static_cast<size_t>(thread)] = 1;
    });
    EXPECT_EQ(done, std::vector<int>(3, 1));
  }
}

TEST(ThreadPool, DestructionAtAnyMoment) {
  std::atomic<int> calls = 0;
  for (int i = 0; i < 200; i++) {
    ThreadPool unused(1 + i % 5);
    ThreadPool used(1 + i % 5);
    used.Run([&](int, int) { calls++; });
  }
  EXPECT_EQ(calls, 40 * (1 + 2 + 3 + 4 + 5));
}

TEST(ThreadPool, TwoPoolsDoNotMix) {
  ThreadPool a(2), b(3);
  std::atomic<int> calls = 0;
  for (int i = 0; i < 1000; i++) {
    a.Run([&](int, int) { calls += 1; });
    b.Run([&](int, int) { calls += 100; });
  }
  EXPECT_EQ(calls, 1000 * (2 + 300));
}

TEST(SliceOf, CoversExactlyAndInOrder) {
  for (size_t n = 0; n <= 300; n++)
    for (const size_t grain : {size_t{1}, size_t{3}, size_t{8}, size_t{64}, size_t{1000}})
      for (const int threads : {1, 2, 3, 5, 8, 64}) {
        size_t next = 0, largest = 0, smallest = n;
        for (int t = 0; t < threads; t++) {
          const Slice s = SliceOf(n, t, threads, grain);
          ASSERT_EQ(s.begin, next) << n << " " << grain << " " << threads;
          ASSERT_LE(s.begin, s.end);
          ASSERT_TRUE(s.end % grain == 0 || s.end == n);
          next = s.end;
          largest = std::max(largest, s.end - s.begin);
          smallest = std::min(smallest, s.end - s.begin);
        }
        ASSERT_EQ(next, n);
        ASSERT_LE(largest, smallest + 2 * grain);  // one unit more, and the last unit may be cut short
      }
}

TEST(SliceOf, LargeSizesDoNotOverflow) {
  const size_t n = size_t{1} << 40;
  EXPECT_EQ(SliceOf(n, 63, 64, 128).end, n);
  EXPECT_EQ(SliceOf(n, 63, 64, 128).begin, n / 64 * 63);
}

}  // namespace
}  // namespace bonsai
