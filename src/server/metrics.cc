#include "server/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace bonsai::server {
namespace {

// Seconds. From a fast GPU to a slow board.
constexpr double kFirstToken[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
                                  1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640};
constexpr double kBetween[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,
                               0.3,   0.4,    0.5,   0.75, 1,     2.5,  5,     7.5, 10,   20};
constexpr double kWhole[] = {0.1, 0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,  15,
                             20,  30,  40,  50,  60, 120, 240, 480, 960, 1920};

void Head(std::string_view name, std::string_view type, std::string_view help, std::string& out) {
  fmt::format_to(std::back_inserter(out), "# HELP bonsai:{} {}\n# TYPE bonsai:{} {}\n", name, help, name, type);
}

}  // namespace

void Histogram::Observe(double value) {
  const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  counts_[static_cast<size_t>(at - bounds_.begin())]++;
  sum_ += value;
}

uint64_t Histogram::count() const { return std::accumulate(counts_.begin(), counts_.end(), uint64_t{0}); }

void Histogram::Render(std::string_view name, std::string_view labels, std::string& out) const {
  const auto to = std::back_inserter(out);
  uint64_t total = 0;
  for (size_t i = 0; i < bounds_.size(); i++)
    fmt::format_to(to, "bonsai:{}_bucket{{{},le=\"{}\"}} {}\n", name, labels, bounds_[i], total += counts_[i]);
  fmt::format_to(to, "bonsai:{}_bucket{{{},le=\"+Inf\"}} {}\n", name, labels, count());
  fmt::format_to(to, "bonsai:{}_sum{{{}}} {}\nbonsai:{}_count{{{}}} {}\n", name, labels, sum_, name, labels, count());
}

Metrics::Metrics() : first_token_(kFirstToken), between_tokens_(kBetween), whole_(kWhole) {}

void Metrics::FirstToken(double seconds) {
  const std::lock_guard lock(mutex_);
  first_token_.Observe(seconds);
}

void Metrics::NextToken(double seconds) {
  const std::lock_guard lock(mutex_);
  between_tokens_.Observe(seconds);
}

void Metrics::Finished(const std::string& reason, double seconds) {
  const std::lock_guard lock(mutex_);
  whole_.Observe(seconds);
  finished_[reason]++;
}

double Metrics::MeanSeconds() const {
  const std::lock_guard lock(mutex_);
  const uint64_t n = whole_.count();
  return n == 0 ? 0 : whole_.sum() / static_cast<double>(n);
}

std::string QuotedLabel(std::string_view value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    out += c == '\n' ? "\\n" : std::string(1, c);
  }
  return out + '"';
}

std::string Metrics::Render(std::string_view model, const engine::SchedulerStats& s) const {
  const std::string labels = "model_name=" + QuotedLabel(model);
  std::string out;
  const auto one = [&](std::string_view name, std::string_view type, std::string_view help, auto value) {
    Head(name, type, help, out);
    fmt::format_to(std::back_inserter(out), "bonsai:{}{{{}}} {}\n", name, labels, value);
  };
  one("num_requests_running", "gauge", "Generations that run.", s.running);
  one("num_requests_waiting", "gauge", "Generations that wait for a slot or memory.", s.waiting);
  const double used = s.kv_blocks_total > 0 ? static_cast<double>(s.kv_blocks_used) / s.kv_blocks_total : 0;
  one("kv_cache_usage_perc", "gauge", "Share of the KV cache that generations own; 1 is all of it.", used);
  one("prompt_tokens_total", "counter", "Prompt tokens of generations that ended.", s.prompt_tokens);
  one("prompt_tokens_cached_total", "counter", "Those of them that were in the cache.", s.cached_tokens);
  one("generation_tokens_total", "counter", "New tokens of generations that ended.", s.generated_tokens);
  one("num_preemptions_total", "counter", "Generations that gave their memory to older ones.", s.preemptions);
  one("request_refused_total", "counter", "Generations refused because too many waited.", s.requests_refused);
  one("spec_decode_num_draft_tokens_total", "counter", "Tokens that were guessed.", s.drafted_tokens);
  one("spec_decode_num_accepted_tokens_total", "counter", "Guesses that were right.", s.accepted_tokens);
  const std::lock_guard lock(mutex_);
  Head("request_success_total", "counter", "Generations that ended well.", out);
  for (const auto& [reason, count] : finished_)
    fmt::format_to(std::back_inserter(out), "bonsai:request_success_total{{{},finished_reason={}}} {}\n", labels,
                   QuotedLabel(reason), count);
  const auto histogram = [&](std::string_view name, std::string_view help, const Histogram& h) {
    Head(name, "histogram", help, out);
    h.Render(name, labels, out);
  };
  histogram("time_to_first_token_seconds", "From the request to its first token.", first_token_);
  histogram("inter_token_latency_seconds", "Between two tokens of a generation.", between_tokens_);
  histogram("e2e_request_latency_seconds", "From the request to its end.", whole_);
  return out;
}

}  // namespace bonsai::server
