// The service when things go wrong: clients that leave, queues that are full, time that is up, the end of the server.
#include <gtest/gtest.h>

#include "server/request_log.h"
#include "server/server_testing.h"

namespace bonsai::server {
namespace {

using std::chrono::milliseconds;
using testing::Chat;
using testing::Events;
using testing::Eventually;
using testing::Json;
using testing::ScriptServer;

constexpr const char* kChat = "/v1/chat/completions";
/// Two thousand tokens: long enough to be in the middle of it.
std::string Count(Json more = {{"stream", true}}) { return Chat("count", std::move(more)).dump(); }

std::string Header(const Response& r, std::string_view name) {
  for (const auto& [n, value] : r.headers)
    if (n == name) return value;
  return "";
}

TEST(ServiceTroubleTest, WhoLeavesMakesRoom) {
  ScriptServer server({.parallel = 1});
  const auto first = server.Send("POST", kChat, Count());
  first->WaitFor(" w5");
  const auto second = server.Send("POST", kChat, Chat("hi").dump());
  EXPECT_FALSE(second->answered());
  first->Leave();
  EXPECT_EQ(second->Wait().status, 200);
  EXPECT_TRUE(server.Idle());
  // Whole answers, too; while it waits, too.
  const auto whole = server.Send("POST", kChat, Count({}));
  EXPECT_TRUE(Eventually([&] { return server.engine().stats().running == 1; }));
  const auto waits = server.Send("POST", kChat, Count({{"n", 4}}));
  EXPECT_TRUE(Eventually([&] { return server.engine().stats().waiting == 4; }));
  waits->Leave();
  EXPECT_TRUE(Eventually([&] { return server.engine().stats().waiting == 0; }));
  whole->Leave();
  EXPECT_TRUE(server.Idle());
  int left = 0;
  EXPECT_TRUE(Eventually([&] {
    left = 0;
    for (const RequestRecord& r : server.records()) left += r.status == 499 && r.disconnected ? 1 : 0;
    return left == 3;
  })) << left;
}

TEST(ServiceTroubleTest, WhoLeavesAtOnceLeavesNothing) {
  ScriptServer server({.parallel = 4});
  for (int i = 0; i < 100; i++) {
    const auto x = server.Send("POST", kChat, Count({{"stream", i % 2 == 0}, {"n", 1 + i % 3}}));
    if (i % 4 > 1) std::this_thread::sleep_for(std::chrono::microseconds(50 * i));
    x->Leave();
  }
  EXPECT_EQ(server.Ask(kChat, Chat("hi"))["choices"][0]["finish_reason"], "stop");
  EXPECT_TRUE(server.Idle());
  EXPECT_TRUE(server.service().live().empty());
}

TEST(ServiceTroubleTest, WhoLeavesBeforeItsTurnCostsNothing) {
  ScriptServer server;
  // Both workers have 256 kB to cut into tokens; the one who waits behind them is gone long before.
  const std::string long_one = Json{{"content", std::string(size_t{256} << 10, 'x')}}.dump();
  const auto a = server.Send("POST", "/tokenize", long_one), b = server.Send("POST", "/tokenize", long_one);
  server.Send("POST", kChat, Count())->Leave();
  EXPECT_EQ(a->Wait().status, 200);
  EXPECT_EQ(b->Wait().status, 200);
  EXPECT_TRUE(Eventually([&] { return server.records().size() == 3; }));
  int left = 0;
  for (const RequestRecord& r : server.records()) left += r.status == 499 && r.disconnected && !r.tokens ? 1 : 0;
  EXPECT_EQ(left, 1);
}

TEST(ServiceTroubleTest, ScreeningSeesWhatNeedsNoBody) {
  ScriptServer server({.service = {.guard = {.keys = ApiKeys({"secret"})}}});
  const auto status = [&](std::string method, std::string path, Headers headers) {
    headers.emplace_back("host", "localhost");
    const auto refusal =
        server.service().Screen({.method = std::move(method), .path = std::move(path), .headers = std::move(headers)});
    return refusal ? refusal->status : 0;
  };
  EXPECT_EQ(status("POST", kChat, {}), 401);
  EXPECT_EQ(status("POST", kChat, {{"x-api-key", "secret"}}), 0);
  EXPECT_EQ(status("PUT", kChat, {{"x-api-key", "secret"}}), 405);
  EXPECT_EQ(status("POST", "/nowhere", {{"x-api-key", "secret"}}), 404);
  EXPECT_EQ(server.records().size(), 3u);  // the refused ones
}

TEST(ServiceTroubleTest, WhoReadsTooSlowlyIsCutOff) {
  ScriptServer server({.parallel = 1});
  const auto x = server.Send("POST", kChat, Count());
  x->WaitFor(" w5");
  x->RefuseWrites();
  EXPECT_TRUE(server.Idle());
  EXPECT_EQ(server.Ask(kChat, Chat("hi"))["choices"][0]["finish_reason"], "stop");
}

TEST(ServiceTroubleTest, WhoDoesNotKeepUpGetsMoreAtATime) {
  ScriptServer server({.parallel = 1});
  const auto x = server.Send("POST", kChat, Chat("count", {{"stream", true}, {"max_tokens", 1500}}).dump());
  x->Stall();
  std::string text;
  const auto events = Events(x->Wait().body);
  for (size_t i = 0; i + 1 < events.size(); i++)
    text += Json::parse(events[i])["choices"][0]["delta"].value("content", "");
  EXPECT_LT(events.size(), 1500u);
  EXPECT_TRUE(text.starts_with("w1 w2 w3 w4 ")) << text;
  EXPECT_TRUE(text.ends_with(" w1499 w1500")) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), ' '), 1499);
}

TEST(ServiceTroubleTest, AFullQueueRefuses) {
  ScriptServer server({.parallel = 1, .max_queue = 1});
  const auto first = server.Send("POST", kChat, Count());
  first->WaitFor(" w5");
  const auto second = server.Send("POST", kChat, Chat("hi").dump());
  EXPECT_TRUE(Eventually([&] { return server.engine().stats().waiting == 1; }));
  for (const bool stream : {false, true}) {
    const Response r = server.Post(kChat, Chat("hi", {{"stream", stream}}));
    EXPECT_EQ(r.status, 429);
    EXPECT_EQ(Json::parse(r.body)["error"]["type"], "rate_limit_error");
    EXPECT_GE(std::stoi(Header(r, "Retry-After")), 1);
  }
  first->Leave();
  EXPECT_EQ(second->Wait().status, 200);
  // More choices than there can be at a time: all of it is refused, and what had been taken is taken back.
  EXPECT_EQ(server.Post(kChat, Chat("count", {{"n", 5}})).status, 429);
  EXPECT_TRUE(server.Idle());
}

TEST(ServiceTroubleTest, TimeIsUp) {
  ScriptServer server({.service = {.timeout = milliseconds(1)}, .parallel = 1});
  const Response whole = server.Send("POST", kChat, Count({}))->Wait();
  EXPECT_EQ(whole.status, 504);
  EXPECT_EQ(Json::parse(whole.body)["error"]["type"], "timeout_error");
  const Response stream = server.Send("POST", kChat, Count())->Wait();
  EXPECT_EQ(stream.status, 200);  // it had begun
  const auto events = Events(stream.body);
  EXPECT_EQ(Json::parse(events.back())["error"]["code"], "timeout");
  EXPECT_TRUE(server.Idle());
}

TEST(ServiceTroubleTest, TheEndOfTheServer) {
  ScriptServer server({.parallel = 2});
  const auto stream = server.Send("POST", kChat, Count());
  stream->WaitFor(" w5");
  const auto whole = server.Send("POST", kChat, Count({})), waits = server.Send("POST", kChat, Count({{"n", 2}}));
  EXPECT_TRUE(Eventually([&] { return server.engine().stats().waiting == 2; }));
  server.engine().Shutdown(milliseconds(0));
  const auto events = Events(stream->Wait().body);
  EXPECT_EQ(Json::parse(events.back())["error"]["type"], "unavailable_error");
  EXPECT_EQ(whole->Wait().status, 503);
  EXPECT_EQ(waits->Wait().status, 503);
  EXPECT_EQ(server.Send("POST", kChat, Count())->Wait().status, 503);
  EXPECT_TRUE(server.Idle());
}

TEST(ServiceTroubleTest, DamagedWeightsAreNotTheClientsFault) {
  std::string bytes = testing::ScriptModelBytes();
  const auto file = test::OpenBytes(bytes);
  const formats::TensorInfo* values = (*file)->FindTensor("blk.0.attn_v.weight");
  ASSERT_NE(values, nullptr);
  // 3.4e38 each: numbers, but their sums are none.
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(values->offset), values->bytes, '\x7f');
  ScriptServer server({.model = bytes});
  const Response r = server.Post(kChat, Chat("hi"));
  EXPECT_EQ(r.status, 500) << r.body;
  EXPECT_EQ(Json::parse(r.body)["error"]["type"], "server_error");
  const auto events = Events(server.Post(kChat, Chat("hi", {{"stream", true}})).body);
  EXPECT_EQ(Json::parse(events.back())["error"]["type"], "server_error");
  EXPECT_TRUE(server.Idle());
}

TEST(ServiceTroubleTest, WhatPeopleWriteIsTheirsAlone) {
  ScriptServer server({.service = {.metrics = true}, .parallel = 2});
  const std::string secret = "xyzzy-secret";
  const auto x = server.Send("POST", kChat, Chat(secret + " count", {{"stream", true}, {"user", secret}}).dump());
  x->WaitFor(" w5");
  std::string seen;
  for (const char* path : {"/slots", "/props", "/metrics", "/v1/models", "/health"}) seen += server.Get(path).body;
  EXPECT_NE(seen.find("\"is_processing\":true"), std::string::npos);
  EXPECT_NE(seen.find("\"n_decoded\":"), std::string::npos);
  EXPECT_EQ(seen.find(secret), std::string::npos);
  EXPECT_EQ(seen.find(" w5"), std::string::npos);
  x->Leave();
  EXPECT_EQ(server.Post(kChat, {{"messages", {{{"role", secret}, {"content", secret}}}}}).status, 400);
  EXPECT_EQ(server.Get("/" + std::string("v1/models/") + "none?" + secret).status, 404);
  EXPECT_TRUE(server.Idle());
  EXPECT_TRUE(Eventually([&] { return server.records().size() >= 8; }));
  for (const RequestRecord& r : server.records()) {
    if (r.path.find(secret) != std::string::npos) continue;  // paths are logged, as everywhere
    EXPECT_EQ(JsonLine(r, "").find(secret), std::string::npos) << JsonLine(r, "");
    EXPECT_EQ(TextLine(r).find(secret), std::string::npos);
  }
}

TEST(ServiceTroubleTest, ContentIsLoggedWhereAskedFor) {
  ScriptServer server({.service = {.log_content = true}});
  server.Ask(kChat, Chat("hi there"));
  ASSERT_TRUE(server.Idle());
  ASSERT_EQ(server.records().size(), 1u);
  EXPECT_NE(server.records()[0].asked->find("hi there"), std::string::npos);
  EXPECT_EQ(*server.records()[0].answered, "Hello! How can I help you?");
  EXPECT_EQ(server.records()[0].tokens->completion, 7);
}

}  // namespace
}  // namespace bonsai::server
