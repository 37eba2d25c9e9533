// The whole server but for the program, over real sockets, against clients that leave, dawdle, lie and send rubbish,
// while a good client is served. BONSAI_SOAK=1 (`make soak`) makes the crowds as large as they should be.
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/resource.h>

#include <random>

#include "server/client_testing.h"
#include "server/listener.h"
#include "server/server_testing.h"

namespace bonsai::server {
namespace {

using std::chrono::milliseconds;
using testing::Chat;
using testing::Client;
using testing::Events;
using testing::Eventually;
using testing::Json;

bool Soak() { return std::getenv("BONSAI_SOAK") != nullptr; }

std::string Post(const std::string& body) {
  return "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}
const std::string& CountStream() {
  static const std::string request = Post(Chat("count", {{"stream", true}}).dump());
  return request;
}

/// Bytes that the program has got from malloc and not given back; under sanitizers 0 (they look for leaks themselves).
size_t HeapBytes() {
  const struct mallinfo2 m = ::mallinfo2();
  return m.uordblks + m.hblkhd;
}

class ServerFaultsTest : public ::testing::Test {
 protected:
  void Start(ListenOptions options = {}) {
    options.port = 0;
    options.addresses = {"127.0.0.1"};
    options.screen = [this](const Request& head) { return server_.service().Screen(head); };
    auto listener = Listener::Start(options, [this](const auto& x) { server_.service().Handle(x); });
    ASSERT_TRUE(listener) << listener.error().message();
    listener_ = std::move(*listener);
  }
  void TearDown() override { listener_.reset(); }  // before the service

  /// A client that behaves, all the time that `others` take.
  template <class F>
  void WhileAGoodOneIsServed(F others) {
    std::atomic<bool> over = false;
    int served = 0;
    std::thread good([&] {
      do {
        Client client(listener_->port());
        client.Send(Post(Chat("hi", {{"stream", true}}).dump()));
        const std::string answer = client.ReadUntil("data: [DONE]\n\n");
        EXPECT_TRUE(answer.ends_with("data: [DONE]\n\n")) << answer.substr(0, 500);
        EXPECT_NE(answer.find(" help"), std::string::npos);
        served++;
      } while (!over);
    });
    others();
    over = true;
    good.join();
    EXPECT_GT(served, 0);
  }
  /// Afterwards nothing is left of anybody.
  void ExpectCalm() {
    EXPECT_TRUE(Eventually([&] { return listener_->stats().exchanges == 0 && listener_->stats().connections == 0; }))
        << listener_->stats().exchanges << " exchanges, " << listener_->stats().connections << " connections";
    EXPECT_TRUE(server_.Idle());
    EXPECT_TRUE(Eventually([&] { return listener_->stats().body_bytes == 0; })) << listener_->stats().body_bytes;
    EXPECT_TRUE(server_.service().live().empty());
  }

  testing::ScriptServer server_{{.parallel = 8, .max_queue = 4096}};
  std::unique_ptr<Listener> listener_;
};

/// Each begins a long stream, reads some of it or nothing, and is gone, with a goodbye or without.
void Leavers(uint16_t port, int count, uint64_t seed) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 10; t++)
    threads.emplace_back([=] {
      std::mt19937_64 rng(seed + static_cast<uint64_t>(t));
      for (int i = t; i < count; i += 10) {
        Client client(port);
        client.Send(std::string_view(CountStream()).substr(0, rng() % 4 == 0 ? rng() % CountStream().size() : 4096));
        if (rng() % 4 != 0) std::this_thread::sleep_for(milliseconds(rng() % 20));
        if (rng() % 2 == 0) client.Abort();
      }
    });
  for (std::thread& t : threads) t.join();
}

TEST_F(ServerFaultsTest, ClientsThatLeaveInTheMiddle) {
  Start();
  const int count = Soak() ? 500 : 100;
  const auto round = [&](uint64_t seed) {
    WhileAGoodOneIsServed([&] { Leavers(listener_->port(), count, seed); });
    ExpectCalm();
    server_.ForgetRecords();
    return HeapBytes();
  };
  round(1);  // what is kept for later (the cache of keys and values, buffers) has its size after that
  const size_t before = round(2), after = round(3);
  // What an exchange with its answer keeps is above 4 kB (body, prompt, tokens, stream): one for each who left shows.
  EXPECT_LT(after, before + static_cast<size_t>(count) * 2048) << before;
}

TEST_F(ServerFaultsTest, SlowReaders) {
  // 4 kB wait in the server and some in the kernel; a stream of 200 tokens is ten times that.
  Start({.max_backlog_bytes = 4 << 10, .write_timeout = milliseconds(500)});
  std::vector<std::unique_ptr<Client>> slow;
  WhileAGoodOneIsServed([&] {
    for (int i = 0; i < (Soak() ? 100 : 20); i++) {
      slow.push_back(std::make_unique<Client>(listener_->port(), 4096));
      slow.back()->Send(Post(Chat("count", {{"stream", true}, {"max_tokens", Soak() ? 2000 : 200}}).dump()));
    }
    EXPECT_TRUE(Eventually([&] { return server_.engine().stats().requests_finished > 0; }));
    EXPECT_TRUE(Eventually([&] { return server_.engine().stats().waiting == 0; }));
  });
  EXPECT_TRUE(Eventually([&] { return listener_->stats().exchanges == 0; }));  // though nobody has read a byte
  slow.clear();
  ExpectCalm();
}

TEST_F(ServerFaultsTest, Rubbish) {
  Start({.header_timeout = milliseconds(500), .body_timeout = milliseconds(500)});
  std::mt19937_64 rng(7);
  WhileAGoodOneIsServed([&] {
    for (int i = 0; i < (Soak() ? 1000 : 200); i++) {
      std::string bytes = CountStream();
      switch (i % 5) {
        case 0:  // changed bytes
          for (int k = 0; k < 5; k++) bytes[rng() % bytes.size()] = static_cast<char>(rng());
          break;
        case 1:  // more than it has
          bytes =
              "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{\"messages\"";
          break;
        case 2:  // less than it has: the rest is the next request
          bytes =
              "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n{\"messages\": []}";
          break;
        case 3:
          bytes.assign(rng() % 3000, '\0');
          for (char& c : bytes) c = static_cast<char>(rng());
          break;
        default:  // a body of brackets
          bytes = Post(std::string(100'000, '['));
      }
      Client client(listener_->port());
      client.Send(bytes);
      if (i % 10 < 5) continue;  // and away
      const std::string answer = client.ReadUntil("\r\n");
      EXPECT_TRUE(answer.empty() || answer.starts_with("HTTP/1.1 ")) << answer;
    }
  });
  ExpectCalm();
}

TEST_F(ServerFaultsTest, IdleConnectionsLockNobodyOut) {
  // Both ends of each connection are descriptors of this program: 10,000 need a hard limit of 20,100.
  rlimit limit = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit old = limit;
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  const size_t most = Soak() ? 10'000 : 1'000;
  const size_t count = std::min<size_t>(most, limit.rlim_cur < 400 ? 0 : (limit.rlim_cur - 300) / 2);
  if (count < most)
    std::printf("the file limit of %zu allows %zu idle connections only\n", size_t{limit.rlim_cur}, count);
  ASSERT_GT(count, 0u);
  Start({.max_connections = count});
  std::vector<std::unique_ptr<Client>> idle;
  while (idle.size() < count) {
    idle.push_back(std::make_unique<Client>(listener_->port()));
    ASSERT_TRUE(idle.back()->connected());
    if (idle.size() % 3 == 0) idle.back()->Send("GET /hea");
  }
  EXPECT_TRUE(Eventually([&] { return listener_->stats().connections >= count; })) << listener_->stats().connections;
  WhileAGoodOneIsServed([&] { EXPECT_TRUE(Eventually([&] { return listener_->stats().gave_way >= 1; })); });
  EXPECT_EQ(listener_->stats().refused, 0u);
  idle.clear();
  ExpectCalm();
  ::setrlimit(RLIMIT_NOFILE, &old);
}

}  // namespace
}  // namespace bonsai::server
