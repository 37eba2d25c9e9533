// What the tests of the server share: an exchange without a socket, and a service on the script model.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/service.h"
#include "tests/script_model.h"
#include "tests/synthetic.h"

namespace bonsai::server::testing {

using Json = nlohmann::json;

/// Remembers the answer. Waits end after 30 seconds, so that a server that hangs fails its test.
class FakeExchange final : public Exchange {
 public:
  explicit FakeExchange(Request request) : request_(std::move(request)) {}
  const Request& request() const override { return request_; }

  void Respond(Response response) override {
    Change([&] {
      if (!begun_) response_ = std::move(response), begun_ = ended_ = true;
    });
  }
  void Begin(Response head) override {
    Change([&] {
      if (!begun_) response_ = std::move(head), begun_ = streamed_ = true;
    });
  }
  bool Write(std::string bytes) override {
    bool taken = false;
    Change([&] {
      taken = streamed_ && !ended_ && !refuses_;
      if (taken) response_.body += bytes;
    });
    return taken;
  }
  size_t Waiting() const override { return waiting_; }
  void End() override {
    Change([&] { ended_ = ended_ || streamed_; });
  }
  void OnGone(std::function<void()> gone) override {
    {
      const std::lock_guard lock(mutex_);
      if (!gone_) {
        on_gone_ = std::move(gone);
        return;
      }
    }
    gone();
  }

  /// The client goes, as the transport tells it.
  void Leave() {
    std::function<void()> call;
    {
      const std::lock_guard lock(mutex_);
      gone_ = true;
      call = std::exchange(on_gone_, nullptr);
    }
    if (call) call();
  }
  /// From now on the client does not keep up.
  void Stall() { waiting_ = size_t{1} << 20; }
  /// From now on Write says that the client is too slow.
  void RefuseWrites() {
    Change([&] { refuses_ = true; });
  }
  /// The answer, once it has ended; of a stream all of it.
  Response Wait() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(30), [&] { return ended_; })) << request_.path;
    return response_;
  }
  /// Until the stream holds `text`.
  void WaitFor(const std::string& text) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(30), [&] {
      return ended_ || response_.body.find(text) != std::string::npos;
    })) << text;
  }
  bool answered() {
    const std::lock_guard lock(mutex_);
    return begun_;
  }

 private:
  template <class F>
  void Change(F f) {
    const std::lock_guard lock(mutex_);
    if (!gone_) f();
    changed_.notify_all();
  }

  const Request request_;
  std::mutex mutex_;  // of everything below
  std::condition_variable changed_;
  Response response_;
  bool begun_ = false, streamed_ = false, ended_ = false, gone_ = false, refuses_ = false;
  std::function<void()> on_gone_;
  std::atomic<size_t> waiting_ = 0;
};

inline const std::string& ScriptModelBytes() {
  static const std::string bytes = test::BuildScriptModel();
  return bytes;
}

/// Until `condition` holds; false when it does not within 30 seconds.
template <class F>
bool Eventually(F condition) {
  for (int i = 0; i < 3000; i++) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return condition();
}

struct ScriptServerOptions {
  ServiceOptions service = {};
  int32_t parallel = 16, max_queue = 64;
  uint64_t kv_memory = 0;
  bool start = true;
  const std::string& model = ScriptModelBytes();
};

/// Service and engine; generates without chance unless a request says otherwise.
class ScriptServer {
 public:
  explicit ScriptServer(ScriptServerOptions o = {}) : options_(o) {
    const auto file = test::OpenBytes(o.model);
    auto loaded = engine::BatchEngine::Load(**file, {.threads = 1, .parallel = o.parallel, .kv_memory = o.kv_memory},
                                            {.max_queue = o.max_queue});
    EXPECT_TRUE(loaded) << loaded.error().message();
    engine_ = std::move(*loaded);
    o.service.log = [this](const RequestRecord& record) {
      const std::lock_guard lock(mutex_);
      records_.push_back(record);
    };
    service_ = std::make_unique<Service>(std::move(o.service));
    if (o.start) Start();
  }
  ~ScriptServer() { engine_->Shutdown(std::chrono::milliseconds(0)); }

  void Start() {
    ServedModel model{.engine = engine_.get(), .slots = options_.parallel};
    model.defaults.sampling.temperature = 0;
    service_->Start(model);
  }
  std::shared_ptr<FakeExchange> Send(std::string method, std::string path, std::string body = {},
                                     Headers headers = {}) {
    Request request{.method = std::move(method), .path = std::move(path), .headers = std::move(headers)};
    if (request.Header("host").empty()) request.headers.emplace_back("host", "localhost:8080");
    request.body = std::move(body);
    request.remote = "127.0.0.1:1";
    request.id = "req-" + std::to_string(++requests_);
    auto exchange = std::make_shared<FakeExchange>(std::move(request));
    service_->Handle(exchange);
    return exchange;
  }
  Response Get(const std::string& path, const Headers& headers = {}) { return Send("GET", path, "", headers)->Wait(); }
  Response Post(const std::string& path, const Json& body, const Headers& headers = {}) {
    return Send("POST", path, body.dump(), headers)->Wait();
  }
  Json Fetch(const std::string& path) {
    const Response r = Get(path);
    EXPECT_EQ(r.status, 200) << path;
    return Json::parse(r.body);
  }
  /// What POST answers, which must be 200.
  Json Ask(const std::string& path, const Json& body, const Headers& headers = {}) {
    const Response r = Post(path, body, headers);
    EXPECT_EQ(r.status, 200) << r.body;
    return Json::parse(r.body);
  }
  /// Nothing runs or waits, and no block of the cache belongs to anybody.
  bool Idle() {
    return Eventually([&] {
      const engine::SchedulerStats s = engine_->stats();
      return s.running == 0 && s.waiting == 0 && s.kv_blocks_used == 0;
    });
  }

  Service& service() { return *service_; }
  engine::BatchEngine& engine() { return *engine_; }
  /// What was logged so far.
  std::vector<RequestRecord> records() {
    const std::lock_guard lock(mutex_);
    return records_;
  }
  void ForgetRecords() {
    const std::lock_guard lock(mutex_);
    std::vector<RequestRecord>().swap(records_);
  }

 private:
  const ScriptServerOptions options_;
  std::unique_ptr<engine::BatchEngine> engine_;
  std::mutex mutex_;
  std::vector<RequestRecord> records_;
  std::unique_ptr<Service> service_;
  std::atomic<int> requests_ = 0;
};

/// The data of a stream's events, "[DONE]" included.
inline std::vector<std::string> Events(const std::string& stream) {
  std::vector<std::string> events;
  for (size_t at = 0; at < stream.size();) {
    const size_t end = stream.find("\n\n", at);
    if (end == std::string::npos) {
      ADD_FAILURE() << "an unfinished event: " << stream.substr(at);
      break;
    }
    const std::string event = stream.substr(at, end - at);
    at = end + 2;
    if (event.starts_with(':')) continue;  // a comment
    EXPECT_TRUE(event.starts_with("data: ")) << event;
    events.push_back(event.substr(6));
  }
  return events;
}

/// A conversation of one message.
inline Json Chat(const std::string& text, Json more = Json::object()) {
  more["messages"] = Json::array({{{"role", "user"}, {"content", text}}});
  return more;
}

}  // namespace bonsai::server::testing
