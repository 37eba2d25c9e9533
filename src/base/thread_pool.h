// A fixed set of threads for parallel regions that last microseconds: a token has about 250 of them.
//
//   ThreadPool pool(4);
//   pool.Run([&](int thread, int threads) { DoRows(Slice(rows, thread, threads)); });
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace bonsai {

/// The part [begin, end) of 0..n-1 that `thread` of `threads` works on: contiguous, in units of `grain`, so that the
/// partition depends only on n, grain and threads.
struct Slice {
  size_t begin, end;
};
inline Slice SliceOf(size_t n, int thread, int threads, size_t grain = 1) {
  const size_t units = (n + grain - 1) / grain;
  const auto t = static_cast<size_t>(thread), count = static_cast<size_t>(threads);
  const size_t begin = units * t / count * grain, end = units * (t + 1) / count * grain;
  return {begin < n ? begin : n, end < n ? end : n};
}

/// Runs one function on all threads at once. Workers spin briefly between regions, then sleep. Run() may be called
/// from one thread at a time; it must not be called from inside a region.
class ThreadPool {
 public:
  /// `threads` counts the caller, which takes part as thread 0; at least 1. One thread means no workers at all. Where
  /// the operating system refuses a thread, the pool has fewer: see threads().
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;
  /// Calls fn(thread, threads) once on every thread and returns when all have finished. fn must not throw.
  void Run(const std::function<void(int thread, int threads)>& fn);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bonsai
