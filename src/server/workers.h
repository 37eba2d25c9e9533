// A few threads for what is too slow for the transport's: reading requests, rendering templates, cutting text to
// tokens.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace bonsai::server {

class Workers {
 public:
  /// At most `max_queue` jobs wait.
  Workers(int threads, size_t max_queue);
  /// Drops what waits, and returns when what runs has ended.
  ~Workers();
  /// From any thread. False when too many wait. Jobs do not throw.
  bool Post(std::function<void()> job);

 private:
  void Run();

  const size_t max_queue_;
  std::mutex mutex_;  // of the two below
  std::deque<std::function<void()>> queue_;
  bool stopping_ = false;
  std::condition_variable changed_;
  std::vector<std::thread> threads_;
};

}  // namespace bonsai::server
