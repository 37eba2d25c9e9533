// The OpenAI-compatible service: requests in, a model's answers out. It stands between the transport (listener.h) and
// the engine, and knows no sockets.
//
//   Service service({.model_name = "bonsai-8b"});
//   auto listener = Listener::Start({}, [&](const auto& x) { service.Handle(x); });   // answers 503 at first
//   service.Start(*engine, ...);                                                      // ready
//   ...
//   listener->Stop(grace), engine->Shutdown(0), listener->Stop(1s)
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/batch_engine.h"
#include "server/api_error.h"
#include "server/exchange.h"
#include "server/guard.h"
#include "server/metrics.h"
#include "server/request_log.h"
#include "server/workers.h"
#include "text/chat_template.h"

namespace bonsai::server {

struct ServiceOptions {
  std::string model_name = "bonsai";
  std::string version = {};
  GuardOptions guard = {};
  bool metrics = false;  ///< Offer GET /metrics.
  bool slots = true;     ///< Offer GET /slots.
  /// Most tokens of reasoning; -1: no limit, 0: the template is told not to reason.
  int32_t reasoning_budget = -1;
  std::chrono::milliseconds timeout{0};  ///< Of a generation, waiting included; 0: none.
  bool log_content = false;
  std::function<void(const RequestRecord&)> log = {};  ///< Called from any thread, one at a time.
};

/// A model that is ready, and how it generates unless a request says otherwise.
struct ServedModel {
  engine::BatchEngine* engine = nullptr;  ///< Outlives the service's last answer.
  engine::GenerateOptions defaults = {};
  int64_t parameters = 0;
  int32_t trained_context = 0;
  int slots = 1;                   ///< Generations at a time.
  int most_generations = 1 << 20;  ///< With those that may wait.
};

using Clock = std::chrono::steady_clock;
struct Route;

/// A request on its way.
struct Call {
  std::shared_ptr<Exchange> exchange;
  Clock::time_point start;
  Headers headers;  ///< For every answer: CorsHeaders.
  const Request& request() const { return exchange->request(); }
  void Respond(Response response) const;
  void Begin(Response head) const;
  double Seconds() const { return std::chrono::duration<double>(Clock::now() - start).count(); }
};

/// A generation that runs or waits: what GET /slots may show.
struct Live {
  std::string id;
  Clock::time_point start;
  int prompt_tokens = 0;
  std::atomic<int> generated = 0;
};

/// Every function may be called from any thread.
class Service {
 public:
  explicit Service(ServiceOptions options);
  /// Nothing may be on its way any more.
  ~Service();

  /// For ListenOptions::screen: what a request is answered whatever its body is, if that is known.
  std::optional<Response> Screen(const Request& head);
  /// Answers a request, now or later. Does not block.
  void Handle(const std::shared_ptr<Exchange>& exchange);
  /// From now on there is a model. Once. A chat template that we cannot read is no error here: chats are refused with
  /// its message.
  void Start(const ServedModel& model);

  // For routes.
  const ServiceOptions& options() const { return options_; }
  bool ready() const { return ready_.load(std::memory_order_acquire); }
  // Only when ready().
  const ServedModel& model() const { return model_; }
  const text::Tokenizer& tokenizer() const { return model_.engine->tokenizer(); }
  /// The template, or why there is none.
  const Result<std::unique_ptr<text::ChatTemplate>>& chat_template() const { return *chat_; }
  int64_t started_at() const { return started_at_; }  ///< Unix time, seconds.

  Metrics& metrics() { return metrics_; }
  void Reply(const Call& call, Response response);
  void Log(const RequestRecord& record);
  RequestRecord RecordOf(const Call& call) const { return RecordOf(call.request(), call.Seconds()); }
  std::shared_ptr<Live> AddLive(std::string id, int prompt_tokens);
  std::vector<std::shared_ptr<Live>> live() const;
  /// With Retry-After, from how long generations took so far.
  Response Busy(std::string message) const;

 private:
  RequestRecord RecordOf(const Request& request, double seconds) const;
  std::optional<Response> Refusal(const Request& request, const Route*& route) const;

  const ServiceOptions options_;
  const int64_t started_at_;
  Metrics metrics_;
  ServedModel model_;
  std::optional<Result<std::unique_ptr<text::ChatTemplate>>> chat_;
  std::atomic<bool> ready_ = false;
  mutable std::mutex mutex_;  // of the one below
  mutable std::vector<std::weak_ptr<Live>> live_;
  std::mutex log_mutex_;
  Workers workers_;  // last: its jobs use all of the above
};

}  // namespace bonsai::server
