// What a server tells about itself: metrics, lines of the log; and its parts without HTTP: workers, the table of
// routes.
#include "server/metrics.h"

#include <gtest/gtest.h>

#include <future>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <thread>

#include "server/request_log.h"
#include "server/routes.h"
#include "server/workers.h"

namespace bonsai::server {
namespace {

TEST(HistogramTest, CountsUpToEachBound) {
  constexpr double kBounds[] = {1, 2, 4};
  Histogram h(kBounds);
  for (const double v : {0.5, 1.0, 1.5, 4.0, 5.0}) h.Observe(v);
  std::string out;
  h.Render("x", "m=\"y\"", out);
  EXPECT_EQ(out,
            "bonsai:x_bucket{m=\"y\",le=\"1\"} 2\n"
            "bonsai:x_bucket{m=\"y\",le=\"2\"} 3\n"
            "bonsai:x_bucket{m=\"y\",le=\"4\"} 4\n"
            "bonsai:x_bucket{m=\"y\",le=\"+Inf\"} 5\n"
            "bonsai:x_sum{m=\"y\"} 12\n"
            "bonsai:x_count{m=\"y\"} 5\n");
}

TEST(MetricsTest, LabelsAreEscaped) {
  EXPECT_EQ(QuotedLabel("a\"b\\c\nd"), R"("a\"b\\c\nd")");
  EXPECT_EQ(QuotedLabel(""), "\"\"");
}

TEST(MetricsTest, EveryLineIsOfTheTextFormat) {
  Metrics m;
  EXPECT_EQ(m.MeanSeconds(), 0);
  m.FirstToken(0.01), m.NextToken(0.002), m.Finished("stop", 1), m.Finished("length", 3), m.Finished("stop", 2);
  EXPECT_EQ(m.MeanSeconds(), 2);
  engine::SchedulerStats s;
  s.running = 3, s.kv_blocks_total = 8, s.kv_blocks_used = 2, s.generated_tokens = 12;
  const std::string text = m.Render("a \"model\"\n", s);
  const std::regex line(
      R"re((# (HELP|TYPE) bonsai:[a-z0-9_]+ [^\n]+)|(bonsai:[a-z0-9_]+\{model_name="a \\"model\\"\\n"(,[a-z_]+="[^"]*")*\} [-+0-9.e]+))re");
  std::istringstream lines(text);
  for (std::string l; std::getline(lines, l);) EXPECT_TRUE(std::regex_match(l, line)) << l;
  const auto has = [&](const std::string& l) { return text.find(l) != std::string::npos; };
  const std::string labels = R"({model_name="a \"model\"\n"})";
  EXPECT_TRUE(has("bonsai:num_requests_running" + labels + " 3\n"));
  EXPECT_TRUE(has("bonsai:kv_cache_usage_perc" + labels + " 0.25\n"));
  EXPECT_TRUE(has("bonsai:generation_tokens_total" + labels + " 12\n"));
  EXPECT_TRUE(has(R"(finished_reason="stop"} 2)"));
  EXPECT_TRUE(has(R"(finished_reason="length"} 1)"));
  EXPECT_TRUE(has("# TYPE bonsai:time_to_first_token_seconds histogram\n"));
  EXPECT_TRUE(has("bonsai:inter_token_latency_seconds_count" + labels + " 1\n"));
  EXPECT_TRUE(has("bonsai:e2e_request_latency_seconds_sum" + labels + " 6\n"));
}

TEST(RequestLogTest, ContentOnlyWhenAsked) {
  RequestRecord r{.id = "req-1", .remote = "1.2.3.4:5", .method = "POST", .path = "/x", .status = 200, .seconds = 1.25};
  r.tokens = RequestRecord::Tokens{.prompt = 30, .cached = 10, .completion = 12, .finish = {"stop", "length"}};
  auto j = nlohmann::json::parse(JsonLine(r, "T"));
  EXPECT_EQ(j["time"], "T");
  EXPECT_EQ(j["event"], "request");
  EXPECT_EQ(j["level"], "info");
  EXPECT_EQ(j["ms"], 1250);
  EXPECT_EQ(j["cached_tokens"], 10);
  EXPECT_EQ(j["finish"], nlohmann::json({"stop", "length"}));
  for (const char* key : {"request", "answer", "error", "disconnected"}) EXPECT_FALSE(j.contains(key)) << key;
  EXPECT_EQ(TextLine(r), "req-1 POST /x 200 1.25 s, 30 + 12 tokens (10 cached), stop length");
  r.asked = "{\"a\":1}", r.answered = "b\xff", r.error = "bad", r.disconnected = true, r.status = 500;
  j = nlohmann::json::parse(JsonLine(r, "T"));
  EXPECT_EQ(j["request"], "{\"a\":1}");
  EXPECT_EQ(j["answer"], "b\xef\xbf\xbd");
  EXPECT_EQ(j["level"], "error");
  EXPECT_EQ(j["disconnected"], true);
}

TEST(RequestLogTest, NothingFromOutsideReachesATerminalAsItIs) {
  RequestRecord r{.id = "req-1", .method = "G\nT", .path = "/\x1b[2J\r\n\xff" + std::string(500, 'x'), .status = 404};
  r.asked =
      "a\x1b]0;title\x07\rb\nc\td\x7f\xc2\x9b"
      "31m",
  r.answered = "\x1b[31m\xff", r.error = "e\nf";
  const std::string line = TextLine(r);
  EXPECT_LT(line.size(), 400u);
  for (const char c : line) EXPECT_TRUE(static_cast<unsigned char>(c) >= ' ' || c == '\n') << static_cast<int>(c);
  for (const char* bad : {"\x7f", "\xc2\x9b"}) EXPECT_EQ(line.find(bad), std::string::npos);
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 2) << line;
  EXPECT_NE(line.find("a\\u001b]0;title"), std::string::npos) << line;
  r.answered = "gr\xc3\xbc\xc3\x9f";
  EXPECT_NE(TextLine(r).find("\n  answered: \"gr\xc3\xbc\xc3\x9f\""), std::string::npos);
  EXPECT_EQ(JsonLine(r, "T").find_first_of("\n\r\x1b\xff"), std::string::npos);
}

TEST(RequestLogTest, TimeIsRfc3339) {
  EXPECT_TRUE(std::regex_match(Now(), std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)"))) << Now();
}

TEST(WorkersTest, ABoundedQueue) {
  std::promise<void> go, running;
  const std::shared_future<void> gate = go.get_future();
  std::atomic<int> done = 0;
  Workers workers(1, 2);
  EXPECT_TRUE(workers.Post([&] { running.set_value(), gate.wait(), done++; }));
  running.get_future().wait();
  EXPECT_TRUE(workers.Post([&] { done++; }));
  EXPECT_TRUE(workers.Post([&] { done++; }));
  EXPECT_FALSE(workers.Post([&] { done++; }));
  go.set_value();
  std::promise<void> last;
  while (!workers.Post([&] { last.set_value(); })) std::this_thread::yield();
  last.get_future().wait();
  EXPECT_EQ(done, 3);
}

TEST(WorkersTest, TheEndDropsWhatWaits) {
  std::promise<void> go, running;
  const auto held = std::make_shared<int>(0);
  bool ran = false;
  std::thread opener;
  {
    Workers workers(1, 1u << 20);
    workers.Post([&] { running.set_value(), go.get_future().wait(); });
    running.get_future().wait();
    workers.Post([held, &ran] { ran = true; });
    EXPECT_EQ(held.use_count(), 2);
    opener = std::thread([&] {  // the first job ends when nothing more is taken: the end has begun
      while (workers.Post([] {})) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      go.set_value();
    });
  }
  opener.join();
  EXPECT_FALSE(ran);
  EXPECT_EQ(held.use_count(), 1);
}

TEST(RoutesTest, MethodsAndPrefixes) {
  const auto find = [](std::string_view method, std::string_view path) -> std::string {
    std::string allowed;
    const Route* route = FindRoute(method, path, allowed);
    return route != nullptr ? std::string(route->path) : allowed.empty() ? "404" : "405 " + allowed;
  };
  EXPECT_EQ(find("GET", "/"), "/");
  EXPECT_EQ(find("HEAD", "/health"), "/health");
  EXPECT_EQ(find("POST", "/v1/chat/completions"), "/v1/chat/completions");
  EXPECT_EQ(find("GET", "/v1/models/a/b"), "/v1/models/");
  EXPECT_EQ(find("GET", "/v1/models/"), "404");
  EXPECT_EQ(find("GET", "/v1/chat/completions"), "405 POST");
  EXPECT_EQ(find("HEAD", "/v1/chat/completions"), "405 POST");
  EXPECT_EQ(find("DELETE", "/health"), "405 GET, HEAD");
  EXPECT_EQ(find("OPTIONS", "/v1/models/x"), "405 GET, HEAD");
  for (const char* path : {"", "*", "//", "/health/", "/Health", "/healthx", "/v1", "http://localhost/health",
                           "/%68ealth", "/v1/chat/completions/"})
    EXPECT_EQ(find("GET", path), "404") << path;
}

}  // namespace
}  // namespace bonsai::server
