#include "base/thread_pool.h"

#include <atomic>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

#include "base/check.h"

namespace bonsai {
namespace {

// Spinning covers the serial gaps inside a token; after that a sleeping thread costs less than a busy one. A pause
// takes 10 to 45 ns by CPU model, so this is 20 to 90 µs.
constexpr int kSpins = 2000;

// Every so many pauses the core is offered to others: when threads outnumber free cores, the one waited for may be the
// one kept from running. Measured on 2 cores with a load of 10: an empty region of 2 threads takes 6 µs instead of 20
// to 200, one of 4 threads 30 instead of 500. Two threads that both run need 0.3 to 0.5 µs.
constexpr int kSpinsPerYield = 64;

inline void CpuRelax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Returns once `value` no longer equals `old`.
template <class T>
void AwaitChange(const std::atomic<T>& value, T old) {
  for (int i = 0; i < kSpins; i++) {
    if (value.load(std::memory_order_acquire) != old) return;
    CpuRelax();
    if (i % kSpinsPerYield == kSpinsPerYield - 1) std::this_thread::yield();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

// Why this is free of races: `fn` and `threads` are written before `generation` is bumped and read after the bump is
// seen; they are written again only after `running` was seen to be 0, which each worker lowers after its last use of
// them. A worker can miss no bump, because the next one waits for it. No wake-up is lost: wait() compares the value
// again inside the kernel before it sleeps, and both changes that somebody sleeps for are followed by a notification:
// every bump, and `running` reaching 0 (it never rises while the caller waits, so a stale value cannot come back).
struct ThreadPool::Impl {
  int threads = 1;
  const std::function<void(int, int)>* fn = nullptr;
  // Own cache lines: workers spin on the first while the caller spins on the second.
  alignas(64) std::atomic<uint32_t> generation{0};  // bumped to start a region (or to stop, when `fn` is null)
  alignas(64) std::atomic<int> running{0};          // workers that have not finished the current region
  std::vector<std::thread> workers;

  void Work(int index) {
    uint32_t seen = 0;
    for (;;) {
      AwaitChange(generation, seen);
      seen++;
      if (fn == nullptr) return;
      (*fn)(index, threads);
      if (running.fetch_sub(1, std::memory_order_acq_rel) == 1) running.notify_one();
    }
  }

  void Start(const std::function<void(int, int)>* region) {
    fn = region;
    running.store(threads - 1, std::memory_order_relaxed);
    generation.fetch_add(1, std::memory_order_release);
    generation.notify_all();
  }
};

ThreadPool::ThreadPool(int threads) : impl_(std::make_unique<Impl>()) {
  BONSAI_CHECK(threads >= 1);
  try {
    for (int i = 1; i < threads; i++) {
      impl_->workers.emplace_back([impl = impl_.get(), i] { impl->Work(i); });
      impl_->threads++;  // workers look at it only once a region has started
    }
  } catch (const std::system_error&) {  // a limit on threads: fewer must do
  }
}

ThreadPool::~ThreadPool() {
  if (impl_->workers.empty()) return;
  impl_->Start(nullptr);
  for (auto& w : impl_->workers) w.join();
}

int ThreadPool::threads() const { return impl_->threads; }

void ThreadPool::Run(const std::function<void(int, int)>& fn) {
  if (impl_->threads == 1) return fn(0, 1);
  impl_->Start(&fn);
  fn(0, impl_->threads);
  for (int left = impl_->running.load(std::memory_order_acquire); left != 0;
       left = impl_->running.load(std::memory_order_acquire))
    AwaitChange(impl_->running, left);
}

}  // namespace bonsai
