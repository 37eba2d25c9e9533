#include "server/request_log.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>

#include "server/fields.h"

namespace bonsai::server {
namespace {

/// What comes from outside goes to a terminal or a file: nothing in it may move a cursor or begin a line.
std::string Shown(std::string_view text, size_t most = 200) {
  std::string out;
  for (const char c : text.substr(0, most)) out += c >= ' ' && c <= '~' ? c : '?';
  return out;
}

/// A conversation, for people: UTF-8 as it is, control characters as their names.
std::string ShownContent(std::string_view text) {
  // JSON's escapes are just that, but for C1 (U+0080 to U+009F), which some terminals obey.
  const std::string json = Dump(text);
  std::string out;
  for (size_t i = 0; i < json.size(); i++) {
    const bool c1 = json[i] == '\xc2' && i + 1 < json.size() && static_cast<unsigned char>(json[i + 1]) < 0xa0;
    out += c1 || json[i] == '\x7f' ? '?' : json[i];
    if (c1) i++;
  }
  return out;
}

double Milliseconds(double seconds) { return std::round(seconds * 1e6) / 1e3; }

}  // namespace

std::string JsonLine(const RequestRecord& r, const std::string& time) {
  nlohmann::ordered_json j = {{"time", time},
                              {"level", r.status >= 500 ? "error" : "info"},
                              {"event", "request"},
                              {"id", r.id},
                              {"remote", r.remote},
                              {"method", Shown(r.method)},
                              {"path", Shown(r.path)},
                              {"status", r.status},
                              {"ms", Milliseconds(r.seconds)}};
  if (r.tokens) {
    j["prompt_tokens"] = r.tokens->prompt;
    j["cached_tokens"] = r.tokens->cached;
    j["completion_tokens"] = r.tokens->completion;
    j["queue_ms"] = Milliseconds(r.tokens->queue_seconds);
    j["first_token_ms"] = Milliseconds(r.tokens->first_token_seconds);
    j["finish"] = r.tokens->finish;
  }
  if (r.disconnected) j["disconnected"] = true;
  if (!r.error.empty()) j["error"] = r.error;
  if (r.asked) j["request"] = *r.asked;
  if (r.answered) j["answer"] = *r.answered;
  return j.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string TextLine(const RequestRecord& r) {
  std::string line = fmt::format("{} {} {} {} {:.2f} s", r.id, Shown(r.method), Shown(r.path), r.status, r.seconds);
  if (r.tokens)
    line += fmt::format(", {} + {} tokens ({} cached), {}", r.tokens->prompt, r.tokens->completion, r.tokens->cached,
                        fmt::join(r.tokens->finish, " "));
  if (r.disconnected) line += ", the client left";
  if (!r.error.empty()) line += ": " + Shown(r.error);
  if (r.asked) line += "\n  asked: " + ShownContent(*r.asked);
  if (r.answered) line += "\n  answered: " + ShownContent(*r.answered);
  return line;
}

std::string Now() {
  using namespace std::chrono;
  const auto now = system_clock::now();
  const std::time_t seconds = system_clock::to_time_t(now);
  std::tm utc = {};
  ::gmtime_r(&seconds, &utc);
  const auto ms = duration_cast<milliseconds>(now.time_since_epoch()).count() % 1000;
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec, ms);
}

}  // namespace bonsai::server
