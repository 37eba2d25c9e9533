// The transport against clients that behave and clients that do not, over real sockets.
#include "server/listener.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "server/client_testing.h"

namespace bonsai::server {
namespace {

using std::chrono::milliseconds;
using testing::Client;

constexpr std::string_view kGet = "GET /echo?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
constexpr std::string_view kLast = "GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

class ListenerTest : public ::testing::Test {
 protected:
  ~ListenerTest() override {
    listener_.reset();
    for (std::thread& t : threads_) t.join();
  }
  /// Echoes method, path, query and body; "/stream" writes until the client goes; "/never" keeps the exchange;
  /// "/drop" forgets it.
  void Start(ListenOptions options = {}) {
    options.port = 0;
    auto listener = Listener::Start(options, [this](const std::shared_ptr<Exchange>& x) { Handle(x); });
    ASSERT_TRUE(listener) << listener.error().message();
    listener_ = std::move(*listener);
  }
  void Handle(const std::shared_ptr<Exchange>& x) {
    const Request& r = x->request();
    x->OnGone([this] {
      const std::lock_guard lock(mutex_);
      gone_++;
      changed_.notify_all();
    });
    if (r.path == "/drop") return;
    if (r.path == "/never") {
      const std::lock_guard lock(mutex_);
      kept_.push_back(x);
      changed_.notify_all();
      return;
    }
    if (r.path == "/stream") {
      x->Begin({.content_type = "text/event-stream"});
      threads_.emplace_back([x] {
        for (int i = 0; x->Write("data: " + std::string(1000, 'x') + "\n\n"); i++)
          std::this_thread::sleep_for(std::chrono::microseconds(200));
        x->End();
      });
      return;
    }
    if (r.path == "/three") {
      x->Begin({.status = 201, .content_type = "text/plain", .headers = {{"X-Test", "yes"}}});
      for (const char* s : {"one", "two", "three"}) x->Write(s);
      return x->End();
    }
    x->Respond(
        {.content_type = "text/plain",
         .body = r.method + " " + r.path + " " + r.query + " " + r.body + " " + std::string(r.Header("x-mine"))});
  }
  bool WaitFor(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), condition);
  }
  bool WaitForIdle() {
    for (int i = 0; i < 1000; i++) {
      if (listener_->stats().connections == 0) return true;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  }

  std::unique_ptr<Listener> listener_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int gone_ = 0;
  std::vector<std::shared_ptr<Exchange>> kept_;
};

TEST_F(ListenerTest, AnswersAndKeepsTheConnection) {
  Start();
  Client client(listener_->port());
  client.Send(kGet);
  const std::string first = client.ReadUntil("GET /echo x=1  ");
  EXPECT_TRUE(first.starts_with("HTTP/1.1 200 OK\r\n")) << first;
  EXPECT_NE(first.find("X-Request-Id: req-1"), std::string::npos) << first;
  EXPECT_NE(first.find("Content-Length: 15"), std::string::npos) << first;
  client.Send("POST /echo HTTP/1.1\r\nHost: localhost\r\nX-Mine: 7\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_NE(client.ReadUntil("POST /echo  hello 7").find("200 OK"), std::string::npos);
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  EXPECT_NE(client.ReadUntil("POST /echo  abcde ").find("200 OK"), std::string::npos);
  client.Send(kLast);
  EXPECT_NE(client.ReadAll().find("Connection: close"), std::string::npos);
  EXPECT_EQ(gone_, 0);
}

TEST_F(ListenerTest, RequestsThatComeTogetherAreAnsweredInOrder) {
  Start();
  Client client(listener_->port());
  client.Send("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n" + std::string(kLast));
  const std::string all = client.ReadAll();
  const size_t a = all.find("GET /a"), b = all.find("GET /b"), c = all.find("GET /echo");
  EXPECT_TRUE(a < b && b < c && c != std::string::npos) << all;
}

TEST_F(ListenerTest, HeadHasNoBody) {
  Start();
  Client client(listener_->port());
  client.Send("HEAD /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  const std::string all = client.ReadAll();
  EXPECT_NE(all.find("200 OK"), std::string::npos);
  EXPECT_TRUE(all.ends_with("\r\n\r\n")) << all;
}

TEST_F(ListenerTest, StreamsInChunks) {
  Start();
  Client client(listener_->port());
  client.Send("GET /three HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string all = client.ReadUntil("0\r\n\r\n");
  EXPECT_TRUE(all.starts_with("HTTP/1.1 201")) << all;
  EXPECT_NE(all.find("X-Test: yes"), std::string::npos);
  EXPECT_NE(all.find("Transfer-Encoding: chunked"), std::string::npos);
  std::string body;
  for (size_t at = all.find("\r\n\r\n") + 4; at < all.size();) {
    const size_t size = std::stoul(all.substr(at), nullptr, 16), begin = all.find("\r\n", at) + 2;
    body += all.substr(begin, size);
    at = begin + size + 2;
  }
  EXPECT_EQ(body, "onetwothree");
  client.Send(kLast);  // the connection is still good
  EXPECT_NE(client.ReadAll().find("200 OK"), std::string::npos);
}

TEST_F(ListenerTest, ADroppedExchangeIsAnswered) {
  Start();
  Client client(listener_->port());
  client.Send("GET /drop HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(client.ReadAll().starts_with("HTTP/1.1 500"));
}

TEST_F(ListenerTest, WhoeverWaitsIsToldThatTheClientHasGone) {
  Start();
  Client waits(listener_->port());
  waits.Send("GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ASSERT_TRUE(WaitFor([this] { return kept_.size() == 1; }));
  waits.Close();
  EXPECT_TRUE(WaitFor([this] { return gone_ == 1; }));
  kept_[0]->Respond({});  // too late, and harmless
  bool called = false;
  kept_[0]->OnGone([&] { called = true; });
  EXPECT_TRUE(called);
}

TEST_F(ListenerTest, HundredsThatDisconnectLeaveNothingBehind) {
  Start();
  for (int round = 0; round < 5; round++) {
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 60; i++) {
      clients.push_back(std::make_unique<Client>(listener_->port()));
      ASSERT_TRUE(clients.back()->connected());
      const std::string_view full = i % 3 == 0 ? "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n" : kGet;
      clients.back()->Send(full.substr(0, i % 3 == 1 ? static_cast<size_t>(i) % full.size() : full.size()));
    }
    for (size_t i = 0; i < clients.size(); i++) i % 2 == 0 ? clients[i]->Abort() : clients[i]->Close();
  }
  EXPECT_TRUE(WaitForIdle());
  EXPECT_EQ(listener_->stats().exchanges, 0u);
  Client after(listener_->port());
  after.Send(kLast);
  EXPECT_NE(after.ReadAll().find("200 OK"), std::string::npos);
}

TEST_F(ListenerTest, AReaderThatIsTooSlowIsCutOff) {
  Start({.max_backlog_bytes = 64 << 10, .write_timeout = milliseconds(500)});
  Client slow(listener_->port());
  slow.Send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(WaitFor([this] { return gone_ == 1; }));
  EXPECT_TRUE(WaitForIdle());
}

TEST_F(ListenerTest, LimitsAreAnswered) {
  Start({.max_header_bytes = 1024, .max_body_bytes = 100});
  const std::pair<std::string, int> cases[] = {
      {"GET / HTTP/1.1\r\nHost: x\r\nX: " + std::string(5000, 'a') + "\r\n\r\n", 431},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n", 413},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" + std::string(255, 'a') +
           "\r\n0\r\n\r\n",
       413},
      {"NOT HTTP AT ALL\r\n\r\n", 400},
      {std::string("\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 11), 400},  // TLS to a plain port
      {"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 400},
  };
  for (const auto& [bytes, status] : cases) {
    Client client(listener_->port());
    client.Send(bytes);
    const std::string answer = client.ReadAll();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 " + std::to_string(status))) << bytes.substr(0, 60) << "\n" << answer;
  }
  EXPECT_TRUE(WaitForIdle());
}

TEST_F(ListenerTest, ThoseWhoDawdleAreShownOut) {
  Start({.idle_timeout = milliseconds(200), .header_timeout = milliseconds(200), .body_timeout = milliseconds(200)});
  Client idle(listener_->port()), header(listener_->port()), body(listener_->port());
  header.Send("GET / HT");
  body.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");  // lies about its length
  EXPECT_EQ(idle.ReadAll(), "");
  EXPECT_EQ(header.ReadAll(), "");
  EXPECT_EQ(body.ReadAll(), "");
  EXPECT_TRUE(WaitForIdle());
}

TEST_F(ListenerTest, WhoeverWaitsLongestGivesWay) {
  Start({.max_connections = 3});
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 3; i++) {
    clients.push_back(std::make_unique<Client>(listener_->port()));
    clients.back()->Send(kGet);
    EXPECT_NE(clients.back()->ReadUntil("x=1  ").find("200 OK"), std::string::npos);
  }
  clients[0]->Send(kGet);  // now the second has waited longest
  EXPECT_NE(clients[0]->ReadUntil("x=1  ").find("200 OK"), std::string::npos);
  clients[2]->Send("GET /ec");  // in the middle of a header, and later than the first
  Client more(listener_->port());
  EXPECT_EQ(clients[1]->ReadAll(), "");
  more.Send(kGet);
  EXPECT_NE(more.ReadUntil("x=1  ").find("200 OK"), std::string::npos);
  EXPECT_EQ(listener_->stats().gave_way, 1u);
  EXPECT_EQ(listener_->stats().refused, 0u);
}

TEST_F(ListenerTest, WhileAllAskMoreConnectionsAreClosed) {
  Start({.max_connections = 3});
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 3; i++) {
    clients.push_back(std::make_unique<Client>(listener_->port()));
    clients.back()->Send("GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n");
  }
  ASSERT_TRUE(WaitFor([this] { return kept_.size() == 3; }));
  Client more(listener_->port());
  EXPECT_EQ(more.ReadAll(), "");
  EXPECT_EQ(listener_->stats().refused, 1u);
  kept_[0]->Respond({.body = "at last"});  // the others are served on
  EXPECT_NE(clients[0]->ReadUntil("at last").find("200 OK"), std::string::npos);
}

TEST_F(ListenerTest, BodiesOfThoseWhoMayNotAskAreNotRead) {
  Start({.screen = [](const Request& head) -> std::optional<Response> {
    if (head.Header("x-mine") == "yes") return std::nullopt;
    return Response{.status = 401, .body = "no " + head.path, .headers = {{"WWW-Authenticate", "Bearer"}}};
  }});
  const std::string post = "POST /echo HTTP/1.1\r\nHost: localhost\r\n";
  for (const char* rest : {"Content-Length: 9000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n",
                           "Content-Length: 9000000\r\nExpect: 100-continue\r\n\r\nabc"}) {
    Client client(listener_->port());
    client.Send(post + rest);
    const std::string answer = client.ReadAll();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 401")) << answer;
    EXPECT_TRUE(answer.ends_with("no /echo"));
    EXPECT_NE(answer.find("WWW-Authenticate: Bearer"), std::string::npos);
    EXPECT_NE(answer.find("X-Request-Id: req-"), std::string::npos);
  }
  // The answer arrives although the client is still sending: nothing resets the connection.
  Client busy(listener_->port());
  busy.Send(post + "Content-Length: 9000000\r\n\r\n");
  for (int i = 0; i < 100; i++) busy.Send(std::string(10000, 'x'));
  EXPECT_TRUE(busy.ReadAll().starts_with("HTTP/1.1 401"));
  Client mine(listener_->port());
  mine.Send(post + "X-Mine: yes\r\nContent-Length: 5\r\n\r\n");
  mine.Send("hello");
  EXPECT_NE(mine.ReadUntil("hello yes").find("200 OK"), std::string::npos);
}

TEST_F(ListenerTest, BodiesTakeNoMoreThanTheirShare) {
  Start({.max_bodies_bytes = 1000});
  const std::string post = "POST /never HTTP/1.1\r\nHost: localhost\r\nContent-Length: 600\r\n\r\n";
  Client first(listener_->port());
  first.Send(post + std::string(600, 'a'));
  ASSERT_TRUE(WaitFor([this] { return kept_.size() == 1; }));
  EXPECT_EQ(listener_->stats().body_bytes, 600u);
  Client second(listener_->port());
  second.Send(post + std::string(600, 'b'));
  const std::string answer = second.ReadAll();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503")) << answer;
  EXPECT_NE(answer.find("Retry-After"), std::string::npos);
  kept_[0]->Respond({});
  kept_.clear();
  first.ReadUntil("\r\n\r\n");
  for (int i = 0; i < 1000 && listener_->stats().body_bytes > 0; i++) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_EQ(listener_->stats().body_bytes, 0u);
  Client third(listener_->port());
  third.Send(post + std::string(600, 'c'));
  EXPECT_TRUE(WaitFor([this] { return kept_.size() == 1; }));
}

TEST_F(ListenerTest, StopFinishesWhatHasBegun) {
  Start();
  Client waits(listener_->port()), idle(listener_->port());
  idle.Send(kGet);
  idle.ReadUntil("x=1  ");
  waits.Send("GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ASSERT_TRUE(WaitFor([this] { return kept_.size() == 1; }));
  EXPECT_FALSE(listener_->Stop(milliseconds(50)));  // one is not answered yet
  EXPECT_EQ(idle.ReadAll(), "");
  EXPECT_FALSE(Client(listener_->port()).connected());
  std::thread later([this] {
    std::this_thread::sleep_for(milliseconds(100));
    kept_[0]->Respond({.content_type = "text/plain", .body = "done"});
  });
  EXPECT_TRUE(listener_->Stop(milliseconds(10'000)));
  later.join();
  const std::string answer = waits.ReadAll();
  EXPECT_TRUE(answer.ends_with("done")) << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos);
}

TEST_F(ListenerTest, HandlersMayOutliveTheListener) {
  Start();
  Client client(listener_->port());
  client.Send("GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ASSERT_TRUE(WaitFor([this] { return kept_.size() == 1; }));
  listener_.reset();
  kept_[0]->Begin({});
  kept_[0]->Write("x");
  kept_[0]->End();
  kept_.clear();
  EXPECT_EQ(client.ReadAll(), "");
}

TEST(ListenerStartTest, SaysWhyItCannotListen) {
  const Handler handler = [](const std::shared_ptr<Exchange>&) {};
  const auto name = Listener::Start({.addresses = {"localhost"}}, handler);
  ASSERT_FALSE(name);
  EXPECT_EQ(name.error().code(), ErrorCode::kInvalidArgument);
  const auto first = Listener::Start({.addresses = {"127.0.0.1"}, .port = 0}, handler);
  ASSERT_TRUE(first);
  EXPECT_EQ((*first)->endpoints(), std::vector<std::string>{fmt::format("127.0.0.1:{}", (*first)->port())});
  const auto taken = Listener::Start({.addresses = {"127.0.0.1"}, .port = (*first)->port()}, handler);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), ErrorCode::kIo);
  EXPECT_NE(taken.error().message().find(std::to_string((*first)->port())), std::string::npos);
  const auto half = Listener::Start({.port = 0, .cert_file = "a.pem"}, handler);
  ASSERT_FALSE(half);
  EXPECT_EQ(half.error().code(), ErrorCode::kInvalidArgument);
  const auto missing = Listener::Start({.port = 0, .cert_file = "/no/a.pem", .key_file = "/no/b.pem"}, handler);
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message().find("/no/a.pem"), std::string::npos);
}

}  // namespace
}  // namespace bonsai::server
