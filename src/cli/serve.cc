// bonsai serve: an OpenAI-compatible server.
#include <fmt/format.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "cli/options.h"
#include "cli/terminal.h"
#include "engine/batch_engine.h"
#include "server/listener.h"
#include "server/service.h"

namespace bonsai::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kExamples =
    "examples:\n"
    "  bonsai serve model.gguf                          http://127.0.0.1:8080: the chat page, and /v1 for clients\n"
    "  bonsai serve model.gguf -np 16 -c 4096 --kv-memory 2GiB\n"
    "  BONSAI_API_KEY=secret bonsai serve model.gguf --host 0.0.0.0 --ssl-key-file k.pem --ssl-cert-file c.pem\n"
    "  curl localhost:8080/v1/chat/completions -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}'\n";

struct Flags {
  ModelOption model;
  EngineFlags engine;
  SamplingFlags sampling;
  DraftFlags draft;
  std::vector<std::string> hosts, allowed_hosts, allowed_origins, api_keys;
  uint16_t port = 8080;
  std::string api_key_file, ssl_key_file, ssl_cert_file, alias, log_format = "auto";
  int32_t parallel = 8, max_queue = 64, max_tokens = -1, reasoning_budget = -1;
  int timeout = 0, grace = 30;
  bool no_auth = false, metrics = false, no_slots = false, log_content = false;

  void AddTo(CLI::App& app);
};

void Flags::AddTo(CLI::App& app) {
  model.AddTo(app);
  app.add_option("--host", hosts, "Address to listen on; may be repeated (default: 127.0.0.1 and ::1)")
      ->type_name("IP");
  app.add_option("--port", port, "Port; 0 = any free one")->capture_default_str();
  app.add_option("--api-key", api_keys,
                 "Key that clients must send; other users of the machine can see it here: better in the environment "
                 "variable BONSAI_API_KEY, or in a file")
      ->type_name("KEY");
  app.add_option("--api-key-file", api_key_file, "File with keys, one a line")->type_name("PATH");
  app.add_flag("--no-auth", no_auth, "Listen on an address that others can reach without asking for a key");
  app.add_option("--allowed-host", allowed_hosts, "Name under which the server may be reached; may be repeated")
      ->type_name("NAME");
  app.add_option("--allowed-origin", allowed_origins,
                 "Origin of another web page that may use the server, as https://app.example; may be repeated")
      ->type_name("ORIGIN");
  app.add_option("--ssl-key-file", ssl_key_file, "TLS: private key, PEM")->type_name("PATH");
  app.add_option("--ssl-cert-file", ssl_cert_file, "TLS: certificate chain, PEM")->type_name("PATH");
  app.add_option("-a,--alias", alias, "The model's name in the API (default: the file's)")->type_name("NAME");
  app.add_option("--parallel", parallel, "Generations at a time (also -np)")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--max-queue", max_queue, "Generations that may wait; more are answered 429")
      ->check(CLI::Range(0, 65536))
      ->capture_default_str();
  app.add_option("-n,--n-predict", max_tokens, "Most new tokens where a request does not say; -1 = no limit")
      ->check(CLI::Range(-1, 1 << 27))
      ->capture_default_str();
  app.add_option("--reasoning-budget", reasoning_budget, "Most tokens of reasoning; -1 = no limit, 0 = none")
      ->check(CLI::Range(-1, 1 << 27))
      ->capture_default_str();
  draft.AddTo(app);
  app.add_option("--timeout", timeout, "Most seconds that a generation may take, with waiting; 0 = no limit")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("--grace", grace, "Seconds that running generations get to finish after Ctrl-C or SIGTERM")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_flag("--metrics", metrics, "Offer GET /metrics, for Prometheus");
  app.add_flag("--no-slots", no_slots, "Do not offer GET /slots");
  app.add_option("--log-format", log_format, "Lines on stderr: json, text, or auto (text on a terminal)")
      ->check(CLI::IsMember({"auto", "json", "text"}))
      ->capture_default_str();
  app.add_flag("--log-content", log_content, "Log what is asked and answered, too");
  engine.AddTo(app);
  sampling.AddTo(app);
}

/// Lines on stderr, for people or for programs. Thread safe.
class Log {
 public:
  explicit Log(const std::string& format) : json_(format == "json" || (format == "auto" && !StderrIsTerminal())) {}

  void Request(const server::RequestRecord& record) {
    const std::string now = server::Now();
    Line(json_ ? server::JsonLine(record, now) : now.substr(11, 8) + " " + server::TextLine(record));
  }
  /// `text` for people; `fields` for programs.
  void Event(std::string_view event, std::string_view text, const nlohmann::ordered_json& fields = {}) {
    if (!json_) return Line(fmt::format("bonsai: {}", text));
    nlohmann::ordered_json j = {{"time", server::Now()}, {"level", "info"}, {"event", event}, {"message", text}};
    if (fields.is_object()) j.update(fields);
    Line(j.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  }
  LogSink Sink() {
    return [this](LogLevel level, std::string_view line) {
      if (level == LogLevel::kWarning || level == LogLevel::kError) Event("warning", line, {{"level", "warning"}});
    };
  }
  bool json() const { return json_; }

 private:
  void Line(const std::string& line) {
    const std::lock_guard lock(mutex_);
    fmt::print(stderr, "{}\n", line);
  }
  const bool json_;
  std::mutex mutex_;
};

Result<std::vector<std::string>> ReadKeys(const Flags& f) {
  std::vector<std::string> keys = f.api_keys;
  if (const char* key = std::getenv("BONSAI_API_KEY"); key != nullptr && *key != '\0') keys.emplace_back(key);
  if (!f.api_key_file.empty()) {
    BONSAI_ASSIGN(const std::string text, ReadTextFile(f.api_key_file, size_t{1} << 20));
    std::istringstream lines(text);
    const size_t before = keys.size();
    for (std::string line; std::getline(lines, line);) {
      while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
      if (!line.empty()) keys.push_back(std::move(line));
    }
    if (keys.size() == before) return Error(ErrorCode::kInvalidArgument, "{}: holds no key", f.api_key_file);
  }
  return keys;
}

bool IsLoopback(const std::string& address) { return address == "::1" || address.starts_with("127."); }

Result<server::ListenOptions> ListenFlags(const Flags& f, bool have_keys) {
  server::ListenOptions o;
  std::vector<std::string> addresses;
  for (const std::string& host : f.hosts) {
    if (host == "localhost") {
      addresses.insert(addresses.end(), {"127.0.0.1", "::1"});
    } else {
      addresses.push_back(host);
    }
  }
  if (!addresses.empty()) o.addresses = std::move(addresses);
  const bool private_only = std::all_of(o.addresses.begin(), o.addresses.end(), IsLoopback);
  if (!private_only && !have_keys && !f.no_auth)
    return Error(ErrorCode::kInvalidArgument,
                 "others could reach this server and there is no API key: set BONSAI_API_KEY or --api-key-file, or "
                 "allow everyone with --no-auth");
  o.port = f.port;
  o.cert_file = f.ssl_cert_file;
  o.key_file = f.ssl_key_file;
  return o;
}

/// Every connection is a descriptor. Takes all that the system lets us have; returns how many connections these are
/// for.
size_t RaiseFileLimit() {
  constexpr rlim_t kOurs = 128, kMost = 1 << 16;  // the model's files, logs, the engine
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 512;
  limit.rlim_cur = std::min(limit.rlim_max, std::max(limit.rlim_cur, kMost + kOurs));
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
  (void)::getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<size_t>(std::clamp<rlim_t>(limit.rlim_cur, kOurs + 64, kMost + kOurs) - kOurs);
}

std::string NameOf(const Flags& f, const formats::ModelFile& file) {
  if (!f.alias.empty()) return f.alias;
  if (f.model.path.empty()) return "bonsai-builtin";
  const std::filesystem::path path(file.name());
  return path.extension() == ".gguf" ? path.stem().string() : path.filename().string();
}

/// The signals that end the server are waited for, not handled: every thread blocks them.
class EndSignals {
 public:
  EndSignals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
  }
  /// Whether one came.
  bool Wait(milliseconds most) const {
    const timespec t = {most.count() / 1000, most.count() % 1000 * 1'000'000};
    return ::sigtimedwait(&set_, nullptr, &t) > 0;
  }
  /// From now on one ends the program.
  void Release() const { ::pthread_sigmask(SIG_UNBLOCK, &set_, nullptr); }

 private:
  sigset_t set_;
};

/// Loads the model on a thread of its own, so that signals and GET /health are answered meanwhile.
class Loading {
 public:
  Loading(const formats::ModelFile& file, const Flags& f, Log& log)
      : thread_([this, &file, &f, &log] {
          result_ = Load(file, f, log);
          done_ = true;
        }) {}
  ~Loading() {
    Cancel();
    if (thread_.joinable()) thread_.join();
  }
  Loading(const Loading&) = delete;
  Loading& operator=(const Loading&) = delete;

  bool done() const { return done_; }
  void Cancel() { cancelled_ = true; }
  /// Once, when done.
  Result<std::unique_ptr<engine::BatchEngine>> Take() {
    thread_.join();
    return std::move(result_);
  }

 private:
  Result<std::unique_ptr<engine::BatchEngine>> Load(const formats::ModelFile& file, const Flags& f, Log& log) {
    engine::EngineOptions options = f.engine.ToOptions();
    options.parallel = f.parallel;
    options.log = log.Sink();
    BONSAI_ASSIGN(const auto draft, f.draft.Open(f.model, options));
    Progress progress("loading");
    options.progress = [&](uint64_t done, uint64_t total) {
      progress.Update(done, total);
      return !cancelled_;
    };
    return engine::BatchEngine::Load(file, options, {.max_queue = f.max_queue});
  }

  std::atomic<bool> done_ = false, cancelled_ = false;
  Result<std::unique_ptr<engine::BatchEngine>> result_;
  std::thread thread_;  // last: it uses the above
};

server::ServedModel Serving(const Flags& f, const formats::ModelFile& file, engine::BatchEngine& e) {
  server::ServedModel m{.engine = &e,
                        .trained_context = e.config().trained_context,
                        .slots = f.parallel,
                        .most_generations = f.parallel + f.max_queue};
  m.defaults.sampling = f.sampling.Merge(e.default_sampling());
  m.defaults.max_tokens = f.max_tokens;
  m.defaults.speculate = f.draft.Any();
  for (const auto& t : file.tensors()) m.parameters += static_cast<int64_t>(t.elements());
  return m;
}

std::vector<std::string> Urls(const server::Listener& listener, bool tls) {
  std::vector<std::string> urls;
  for (const std::string& endpoint : listener.endpoints())
    urls.push_back(fmt::format("{}://{}", tls ? "https" : "http", endpoint));
  return urls;
}

/// What runs may finish; a second signal ends the program at once.
void Stop(const Flags& f, const EndSignals& signals, server::Listener& listener, engine::BatchEngine* e, Log& log) {
  const int32_t running = e == nullptr ? 0 : e->stats().running + e->stats().waiting;
  log.Event("stopping", running == 0 ? "stopping"
                                     : fmt::format("stopping when {} generations have ended, after {} s at most",
                                                   running, f.grace));
  signals.Release();
  const bool all = listener.Stop(seconds(f.grace));
  if (e != nullptr) e->Shutdown(milliseconds(0));
  if (!all) listener.Stop(seconds(2));  // their clients hear that they were cut off
  log.Event("stopped", all ? "stopped" : "stopped; some generations were cut off");
}

Status Serve(const Flags& f) {
  Log log(f.log_format);
  BONSAI_ASSIGN(const std::vector<std::string> keys, ReadKeys(f));
  BONSAI_ASSIGN(server::ListenOptions listen, ListenFlags(f, !keys.empty()));
  if (!f.api_keys.empty())
    log.Event("warning", "--api-key can be seen by other users of this machine; BONSAI_API_KEY cannot");
  BONSAI_ASSIGN(const auto file, f.model.Open());
  listen.max_connections = RaiseFileLimit();

  const EndSignals signals;                // before any thread starts
  std::unique_ptr<engine::BatchEngine> e;  // outlives the service, whose workers may still be busy with it
  server::Service service(
      {.model_name = NameOf(f, *file),
       .version = BONSAI_VERSION,
       .guard = {.keys = server::ApiKeys(keys), .allowed_hosts = f.allowed_hosts, .allowed_origins = f.allowed_origins},
       .metrics = f.metrics,
       .slots = !f.no_slots,
       .reasoning_budget = f.reasoning_budget,
       .timeout = seconds(f.timeout),
       .log_content = f.log_content,
       .log = [&log](const server::RequestRecord& record) { log.Request(record); }});
  listen.screen = [&service](const server::Request& head) { return service.Screen(head); };
  BONSAI_ASSIGN(const auto listener,
                server::Listener::Start(listen, [&service](const auto& exchange) { service.Handle(exchange); }));
  const std::vector<std::string> urls = Urls(*listener, !f.ssl_cert_file.empty());
  log.Event("listening", fmt::format("loading; listening on {}", fmt::join(urls, " and ")), {{"urls", urls}});
  {
    Loading loading(*file, f, log);
    while (!loading.done())
      if (signals.Wait(milliseconds(50))) {
        Stop(f, signals, *listener, nullptr, log);
        return {};
      }
    BONSAI_ASSIGN(e, loading.Take());
  }
  service.Start(Serving(f, *file, *e));
  const engine::MemoryPlan& plan = e->plan();
  log.Event("ready",
            fmt::format("ready: {}, {} generations at a time, {} tokens each, weights {}, KV cache at most {}; "
                        "open {} in a browser",
                        service.options().model_name, f.parallel, plan.context, HumanBytes(plan.weights),
                        HumanBytes(plan.kv), urls[0]),
            {{"model", service.options().model_name}, {"urls", urls}, {"context", plan.context}});
  if (!service.chat_template()) log.Event("warning", service.chat_template().error().message());
  while (!signals.Wait(seconds(3600))) continue;
  Stop(f, signals, *listener, e.get(), log);
  return {};
}

}  // namespace

int ServeVerb(int argc, char** argv) {
  CLI::App app("Serve a model to OpenAI clients and to browsers.", "bonsai serve");
  Flags flags;
  flags.AddTo(app);
  app.footer(kExamples);
  if (const int code = Parse(app, argc, argv); code >= 0) return code;
  const Status status = Serve(flags);
  return status ? kDone : Fail(status.error());
}

}  // namespace bonsai::cli
