#include "base/thread_pool.h"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/check.h"

namespace bonsai {
namespace {

// ~20 µs of spinning covers the serial gaps inside a token; after that a sleeping thread costs less than a busy one.
constexpr int kSpins = 2000;

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
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

struct ThreadPool::Impl {
  int threads = 1;
  std::atomic<uint32_t> generation{0};  // bumped to start a region (or to stop, when `fn` is null)
  std::atomic<int> running{0};          // workers that have not finished the current region
  const std::function<void(int, int)>* fn = nullptr;
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
  impl_->threads = threads;
  for (int i = 1; i < threads; i++) impl_->workers.emplace_back([impl = impl_.get(), i] { impl->Work(i); });
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
