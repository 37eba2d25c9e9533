#include "server/service.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <utility>

#include "server/routes.h"

namespace bonsai::server {
namespace {

// Two, so that one huge request does not hold up the others. The transport bounds what may wait here in bytes.
constexpr int kWorkers = 2;
constexpr size_t kMaxJobs = 4096;

/// llama.cpp's body, which clients look for.
Response Loading() {
  return {.status = 503,
          .body = R"({"error":{"code":503,"message":"Loading model","type":"unavailable_error"}})",
          .headers = {{"Retry-After", "1"}}};
}

}  // namespace

void Call::Respond(Response response) const {
  response.headers.insert(response.headers.end(), headers.begin(), headers.end());
  exchange->Respond(std::move(response));
}

void Call::Begin(Response head) const {
  head.headers.insert(head.headers.end(), headers.begin(), headers.end());
  exchange->Begin(std::move(head));
}

Service::Service(ServiceOptions options)
    : options_(std::move(options)), started_at_(std::time(nullptr)), workers_(kWorkers, kMaxJobs) {}

Service::~Service() = default;

void Service::Start(const ServedModel& model) {
  model_ = model;
  const std::string& name = options_.model_name;
  if (const std::string_view source = tokenizer().chat_template(); !source.empty()) {
    chat_ = text::ChatTemplate::Parse(name + ": tokenizer.chat_template", source);
  } else {
    chat_ = Error(ErrorCode::kInvalidArgument, "{} has no chat template; POST /v1/completions continues a text", name);
  }
  ready_.store(true, std::memory_order_release);
}

std::optional<Response> Service::Refusal(const Request& request, const Route*& route) const {
  std::string allowed;
  route = FindRoute(request.method, request.path, allowed);
  const bool preflight = IsPreflight(request, options_.guard);  // browsers send no key with it
  if (auto refusal = Refuse(request, options_.guard, preflight || (route != nullptr && route->open))) return refusal;
  if (preflight) return Response{.status = 204};
  if (route == nullptr && allowed.empty())
    return ToResponse({.status = 404, .message = "there is no such path; GET /health is one"});
  if (route == nullptr) {
    Response r = ToResponse({.status = 405, .message = "this path takes " + allowed});
    r.headers.emplace_back("Allow", allowed);
    return r;
  }
  if (route->needs_model && !ready()) return Loading();
  return std::nullopt;
}

std::optional<Response> Service::Screen(const Request& head) {
  const Route* route = nullptr;
  auto refusal = Refusal(head, route);
  if (refusal) {
    const Headers cors = CorsHeaders(head, options_.guard);
    refusal->headers.insert(refusal->headers.end(), cors.begin(), cors.end());
    RequestRecord record = RecordOf(head, 0);
    record.status = refusal->status;
    Log(record);
  }
  return refusal;
}

void Service::Handle(const std::shared_ptr<Exchange>& exchange) {
  const Call call{exchange, Clock::now(), CorsHeaders(exchange->request(), options_.guard)};
  const Route* route = nullptr;
  if (auto refusal = Refusal(exchange->request(), route)) return Reply(call, std::move(*refusal));
  const auto run = [this, call, route] {
    std::optional<Response> response;
    try {
      response = route->handle(*this, call);
    } catch (const std::exception& e) {  // the end of memory, or a bug: this request's end and nobody else's
      response = ToResponse({.status = 500, .message = fmt::format("the request failed: {}", e.what())});
    }
    if (response) Reply(call, std::move(*response));
  };
  if (!route->slow) return run();
  // Who has left does not keep the workers busy, however many of them there are.
  const auto gone = std::make_shared<std::atomic<bool>>(false);
  exchange->OnGone([gone] { *gone = true; });
  const auto job = [this, call, gone, run] {
    if (!*gone) return run();
    RequestRecord record = RecordOf(call);
    record.status = 499, record.disconnected = true;
    Log(record);
  };
  if (!workers_.Post(job)) Reply(call, Busy("too many requests wait"));
}

Response Service::Busy(std::string message) const {
  Response r = ToResponse({.status = 429, .message = std::move(message)});
  const auto seconds = std::clamp(static_cast<int>(std::lround(metrics_.MeanSeconds())), 1, 30);
  r.headers.emplace_back("Retry-After", std::to_string(seconds));
  return r;
}

RequestRecord Service::RecordOf(const Request& r, double seconds) const {
  RequestRecord record{.id = r.id, .remote = r.remote, .method = r.method, .path = r.path, .seconds = seconds};
  if (options_.log_content && !r.body.empty()) record.asked = r.body;
  return record;
}

void Service::Reply(const Call& call, Response response) {
  RequestRecord record = RecordOf(call);
  record.status = response.status;
  if (options_.log_content) record.answered = response.body;
  call.Respond(std::move(response));
  Log(record);
}

void Service::Log(const RequestRecord& record) {
  if (!options_.log) return;
  const std::lock_guard lock(log_mutex_);
  options_.log(record);
}

std::shared_ptr<Live> Service::AddLive(std::string id, int prompt_tokens) {
  auto live = std::make_shared<Live>();
  live->id = std::move(id), live->start = Clock::now(), live->prompt_tokens = prompt_tokens;
  const std::lock_guard lock(mutex_);
  std::erase_if(live_, [](const auto& l) { return l.expired(); });
  live_.push_back(live);
  return live;
}

std::vector<std::shared_ptr<Live>> Service::live() const {
  std::vector<std::shared_ptr<Live>> out;
  const std::lock_guard lock(mutex_);
  for (const auto& weak : live_)
    if (auto l = weak.lock()) out.push_back(std::move(l));
  return out;
}

}  // namespace bonsai::server
