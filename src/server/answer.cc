#include "server/answer.h"

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <random>
#include <utility>

namespace bonsai::server {
namespace {

using Json = nlohmann::json;
using engine::FinishReason;
using engine::GenerateResult;

constexpr size_t kMaxLogprobs = 1 << 18;
constexpr size_t kPlenty = 64 << 10;  // bytes of events

/// Owned by the callbacks of its generations. They come from the engine's thread, the client's end from the transport's
/// and the start from a worker's, so one lock guards all of it.
class Answer : public std::enable_shared_from_this<Answer> {
 public:
  Answer(Service& service, const Call& call, AnswerPlan plan)
      : service_(service), call_(call), plan_(std::move(plan)), created_(std::time(nullptr)) {}

  void Start() {
    {
      const std::lock_guard lock(mutex_);
      for (size_t p = 0; p < plan_.prompts.size() && !done_; p++)
        for (int k = 0; k < plan_.generation.choices && !done_; k++) Submit(p);
      if (!done_ && plan_.generation.stream) BeginStream();
    }
    // Without the lock: it may be called at once.
    call_.exchange->OnGone([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->Disconnected();
    });
  }

 private:
  struct Part {
    std::unique_ptr<Choice> choice;
    engine::RequestId id = 0;
    std::shared_ptr<Live> live;
    std::optional<Clock::time_point> last_token;
    bool enough = false;  // it was we who ended it
    bool finished = false;
    GenerateResult result;
  };

  void Submit(size_t prompt) {
    const size_t index = parts_.size();
    Part& part = parts_.emplace_back();
    part.choice = plan_.make_choice(static_cast<int>(index), prompt);
    engine::Request request{.prompt = plan_.prompts[prompt], .options = plan_.generation.options};
    request.options.sampling.seed += index;
    if (plan_.make_processor) request.options.processor = plan_.make_processor();
    request.cache_salt = Salt();
    if (service_.options().timeout.count() > 0) request.deadline = call_.start + service_.options().timeout;
    request.on_token = [self = shared_from_this(), index](const engine::Token& t) { return self->OnToken(index, t); };
    request.on_finish = [self = shared_from_this(), index](const GenerateResult& r) { self->OnFinish(index, r); };
    const auto id = service_.model().engine->Submit(std::move(request));
    if (!id) return Refused(id.error(), plan_.prompts[prompt].size());
    part.id = *id;
    part.live = service_.AddLive(call_.request().id, static_cast<int>(plan_.prompts[prompt].size()));
    unfinished_++;
  }

  /// Prefixes are shared by those who present the same key and ask for the same salt.
  std::string Salt() const {
    const GenerationRequest& g = plan_.generation;
    const std::string own = g.share_prefix ? "" : "\n" + plan_.id;
    return service_.options().guard.keys.empty() ? g.cache_salt + own
                                                 : CallerOf(call_.request()) + "\n" + g.cache_salt + own;
  }

  void Refused(const ErrorValue& error, size_t prompt_tokens) {
    parts_.pop_back();
    CancelAll();
    ApiError e = ToApiError(error);
    if (error.code() == ErrorCode::kInvalidArgument &&
        prompt_tokens >= static_cast<size_t>(service_.model().engine->plan().context))
      e.param = plan_.chat ? "messages" : "prompt", e.code = "context_length_exceeded";
    Fail(e, error.code() == ErrorCode::kBusy ? std::optional(service_.Busy(e.message)) : std::nullopt);
  }

  void BeginStream() {
    began_ = true;
    call_.Begin({.content_type = "text/event-stream",
                 .headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}},
                 .heartbeat = ": still here\n\n"});
    for (size_t i = 0; plan_.chat && i < parts_.size(); i++)
      WriteChunk({{"index", i},
                  {"delta", {{"role", "assistant"}, {"content", ""}}},
                  {"logprobs", nullptr},
                  {"finish_reason", nullptr}});
  }

  bool OnToken(size_t index, const engine::Token& token) {
    const std::lock_guard lock(mutex_);
    Part& part = parts_[index];
    if (done_) return false;
    Measure(part, token);
    part.enough = !part.choice->Push(token);
    // To a client that does not keep up goes more at a time: a token's event is fifty times its text.
    if (!plan_.generation.stream || call_.exchange->Waiting() > kPlenty) return !part.enough;
    Json choice = part.choice->Take();
    if (choice.is_null() || WriteChunk(std::move(choice))) return !part.enough;
    Leave();  // gone, or too slow to be waited for
    return false;
  }

  void Measure(Part& part, const engine::Token& token) {
    if (token.id < 0) return;
    part.live->generated++;
    const Clock::time_point now = Clock::now();
    if (!part.last_token) {
      const double seconds = call_.Seconds();
      service_.metrics().FirstToken(seconds);
      if (first_token_seconds_ == 0) first_token_seconds_ = seconds;
    } else {
      service_.metrics().NextToken(std::chrono::duration<double>(now - *part.last_token).count());
    }
    part.last_token = now;
  }

  void OnFinish(size_t index, const GenerateResult& result) {
    const std::lock_guard lock(mutex_);
    if (index >= parts_.size()) return;  // refused together with a later one
    Part& part = parts_[index];
    part.result = result;
    part.finished = true;
    part.live = nullptr;
    unfinished_--;
    if (done_) {
      if (unfinished_ == 0 && disconnected_) LogEnd(499);
      return;
    }
    if (!part.enough)
      if (const auto problem = ProblemOf(result)) {
        CancelAll();
        return Fail(*problem, std::nullopt);
      }
    part.choice->Finish(result);
    service_.metrics().Finished(part.choice->finish_reason(), call_.Seconds());
    if (plan_.generation.stream) {
      Json choice = part.choice->Take();
      WriteChunk(std::move(choice), unfinished_ == 0);
    }
    if (unfinished_ == 0) Complete();
  }

  static std::optional<ApiError> ProblemOf(const GenerateResult& r) {
    switch (r.reason) {
      case FinishReason::kError:
        // Never the client's fault, whatever the code: what was wrong with the request Submit has refused.
        return ApiError{.status = 500, .message = r.status ? "the generation failed" : r.status.error().message()};
      case FinishReason::kDeadline:
        return ApiError{.status = 504, .message = "the request took longer than the server allows (--timeout)"};
      case FinishReason::kCancelled:
        return ApiError{.status = 503, .message = "the server is shutting down"};
      default:
        return std::nullopt;
    }
  }

  /// The end without an answer, or in the middle of one.
  void Fail(const ApiError& error, std::optional<Response> response) {
    done_ = true;
    Response r = response ? std::move(*response) : ToResponse(error);
    const int status = r.status;
    if (began_) {
      call_.exchange->Write("data: " + r.body + "\n\n");
      call_.exchange->End();
    } else {
      call_.Respond(std::move(r));
    }
    LogEnd(status, error.message);
  }

  void Complete() {
    done_ = true;
    if (plan_.generation.stream) {
      if (plan_.generation.include_usage) {
        Json last = Envelope(true);
        last["choices"] = Json::array();
        last["usage"] = Usage();
        last["timings"] = Timings();
        WriteEvent(Dump(last));
      }
      WriteEvent("[DONE]");
      call_.exchange->End();
    } else {
      Json whole = Envelope(false);
      whole["choices"] = Json::array();
      for (const Part& part : parts_) whole["choices"].push_back(part.choice->Whole());
      whole["usage"] = Usage();
      whole["timings"] = Timings();
      call_.Respond(JsonResponse(whole));
    }
    LogEnd(200);
  }

  Json Envelope(bool chunk) const {
    const char* object = !plan_.chat ? "text_completion" : chunk ? "chat.completion.chunk" : "chat.completion";
    Json j = {{"id", plan_.id},
              {"object", object},
              {"created", created_},
              {"model", service_.options().model_name},
              {"system_fingerprint", "bonsai-" + service_.options().version}};
    if (chunk && plan_.generation.include_usage) j["usage"] = nullptr;
    return j;
  }

  bool WriteEvent(const std::string& data) { return call_.exchange->Write("data: " + data + "\n\n"); }

  bool WriteChunk(Json choice, bool last = false) {
    Json chunk = Envelope(true);
    chunk["choices"] = Json::array({std::move(choice)});
    if (last) chunk["timings"] = Timings();
    return WriteEvent(Dump(chunk));
  }

  /// Sums over the choices; a prompt counts once.
  struct Sums {
    int prompt = 0, cached = 0, completion = 0, reasoning = 0, drafted = 0, accepted = 0;
    double queue = 0, prompt_seconds = 0, seconds = 0;  // of the slowest
  };
  Sums Add() const {
    Sums s;
    for (const auto& prompt : plan_.prompts) s.prompt += static_cast<int>(prompt.size());
    for (size_t i = 0; i < parts_.size(); i++) {
      const GenerateResult& r = parts_[i].result;
      if (i % static_cast<size_t>(plan_.generation.choices) == 0) s.cached += r.cached_tokens;
      s.completion += static_cast<int>(r.tokens.size());
      s.reasoning += parts_[i].choice->reasoning_tokens();
      s.drafted += r.drafted_tokens;
      s.accepted += r.accepted_tokens;
      s.queue = std::max(s.queue, r.queue_seconds);
      s.prompt_seconds = std::max(s.prompt_seconds, r.prompt_seconds);
      s.seconds = std::max(s.seconds, r.generate_seconds);
    }
    return s;
  }

  Json Usage() const {
    const Sums s = Add();
    return {{"prompt_tokens", s.prompt},
            {"completion_tokens", s.completion},
            {"total_tokens", s.prompt + s.completion},
            {"prompt_tokens_details", {{"cached_tokens", s.cached}}},
            {"completion_tokens_details", {{"reasoning_tokens", s.reasoning}}}};
  }

  Json Timings() const {
    const Sums s = Add();
    const auto rate = [](int n, double seconds) { return seconds > 0 ? n / seconds : 0.0; };
    Json j = {{"cache_n", s.cached},
              {"prompt_n", s.prompt - s.cached},
              {"prompt_ms", s.prompt_seconds * 1e3},
              {"prompt_per_second", rate(s.prompt - s.cached, s.prompt_seconds)},
              {"predicted_n", s.completion},
              {"predicted_ms", s.seconds * 1e3},
              {"predicted_per_second", rate(s.completion, s.seconds)}};
    if (s.drafted > 0) j["draft_n"] = s.drafted, j["draft_n_accepted"] = s.accepted;
    return j;
  }

  void LogEnd(int status, std::string error = {}) {
    RequestRecord record = service_.RecordOf(call_);
    record.status = status;
    record.error = std::move(error);
    record.disconnected = disconnected_;
    const Sums s = Add();
    record.tokens = RequestRecord::Tokens{.prompt = s.prompt,
                                          .cached = s.cached,
                                          .completion = s.completion,
                                          .queue_seconds = s.queue,
                                          .first_token_seconds = first_token_seconds_};
    for (const Part& part : parts_) record.tokens->finish.emplace_back(engine::FinishReasonName(part.result.reason));
    if (service_.options().log_content) {
      record.answered.emplace();
      for (const Part& part : parts_) *record.answered += part.choice->text();
    }
    service_.Log(record);
  }

  void Disconnected() {
    const std::lock_guard lock(mutex_);
    if (!done_) Leave();
  }

  void Leave() {
    done_ = disconnected_ = true;
    CancelAll();
  }

  void CancelAll() {
    for (const Part& part : parts_)
      if (!part.finished) service_.model().engine->Cancel(part.id);
  }

  Service& service_;
  const Call call_;
  const AnswerPlan plan_;
  const std::time_t created_;
  std::mutex mutex_;  // of everything below
  std::vector<Part> parts_;
  size_t unfinished_ = 0;
  bool began_ = false;         // the stream has
  bool done_ = false;          // answered, or nobody is there any more
  bool disconnected_ = false;  // the latter
  double first_token_seconds_ = 0;
};

}  // namespace

void StartAnswer(Service& service, const Call& call, AnswerPlan plan) {
  const auto refuse = [&](std::string message, const char* param) {
    service.Reply(call, ToResponse({.message = std::move(message), .param = param}));
  };
  const size_t wanted = plan.prompts.size() * static_cast<size_t>(plan.generation.choices);
  if (const int most = service.model().most_generations; wanted > static_cast<size_t>(most))  // "busy" would be no help
    return refuse(fmt::format("'n' asks for {} answers; this server makes {} at most", wanted, most), "n");
  const engine::GenerateOptions& o = plan.generation.options;
  if (!plan.generation.stream && o.logprobs >= 0) {
    // All of them are kept until the end, some 500 bytes each.
    const int32_t context = service.model().engine->plan().context;
    const auto tokens = static_cast<size_t>(o.max_tokens < 0 ? context : std::min(o.max_tokens, context));
    const size_t logprobs = wanted * tokens * (static_cast<size_t>(o.logprobs) + 1);
    if (logprobs > kMaxLogprobs)
      return refuse(fmt::format("'logprobs' may become {}, more than the {} of one answer: lower 'max_tokens', "
                                "'top_logprobs' or 'n', or set 'stream'",
                                logprobs, kMaxLogprobs),
                    "logprobs");
  }
  std::make_shared<Answer>(service, call, std::move(plan))->Start();
}

std::string NewId(std::string_view prefix) {
  constexpr std::string_view kLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  thread_local std::mt19937_64 rng{std::random_device{}()};
  std::string id(prefix);
  for (int i = 0; i < 24; i++) id += kLetters[std::uniform_int_distribution<size_t>(0, kLetters.size() - 1)(rng)];
  return id;
}

}  // namespace bonsai::server
