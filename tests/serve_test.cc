// `bonsai serve` as a child process: from its first line to its exit code.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "server/client_testing.h"
#include "tests/script_model.h"
#include "tests/support.h"

namespace bonsai {
namespace {

using server::testing::Client;
using Json = nlohmann::json;

/// The running program. Its log, JSON on stderr, is read line by line.
class Server {
 public:
  explicit Server(std::vector<std::string> more) {
    std::ofstream(dir_ / "script.gguf", std::ios::binary) << test::BuildScriptModel();
    const char* bin = std::getenv("BONSAI_BIN_DIR");
    std::vector<std::string> args = {std::string(bin != nullptr ? bin : "build/bin") + "/bonsai",
                                     "serve",
                                     dir_ / "script.gguf",
                                     "--host",
                                     "127.0.0.1",
                                     "--port",
                                     "0",
                                     "--log-format",
                                     "json",
                                     "--temp",
                                     "0"};
    args.insert(args.end(), more.begin(), more.end());
    std::vector<char*> argv;
    for (std::string& a : args) argv.push_back(a.data());
    argv.push_back(nullptr);
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    log_ = ends[0];
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(ends[1], STDERR_FILENO);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    ::close(ends[1]);
    const Json listening = WaitFor("listening");
    const std::string url = listening.value("urls", Json::array({""}))[0];
    port_ = static_cast<uint16_t>(std::atoi(url.substr(url.rfind(':') + 1).c_str()));
    EXPECT_GT(port_, 0) << url;
    WaitFor("ready");
  }
  ~Server() {
    if (pid_ > 0) ::kill(pid_, SIGKILL), ::waitpid(pid_, nullptr, 0);
    ::close(log_);
  }
  uint16_t port() const { return port_; }
  void Signal(int signal) const { ::kill(pid_, signal); }

  /// The next event of this name; null when the program ends or says nothing for a minute.
  Json WaitFor(const std::string& event) {
    for (std::string line = Line(); !line.empty(); line = Line()) {
      const Json j = Json::parse(line, nullptr, false);
      EXPECT_TRUE(j.is_object()) << line;
      if (j.is_object() && j.value("event", "") == event) return j;
    }
    ADD_FAILURE() << "no event " << event;
    return Json::object();
  }
  /// Waits for its end.
  int ExitCode() {
    while (!Line().empty()) continue;
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  std::string Line() {
    for (;;) {
      if (const size_t end = text_.find('\n'); end != std::string::npos) {
        const std::string line = text_.substr(0, end);
        text_.erase(0, end + 1);
        return line;
      }
      pollfd poll = {log_, POLLIN, 0};
      char piece[4096];
      if (::poll(&poll, 1, 60'000) <= 0) return "";
      const ssize_t n = ::read(log_, piece, sizeof piece);
      if (n <= 0) return "";
      text_.append(piece, static_cast<size_t>(n));
    }
  }

  test::TempDir dir_;
  pid_t pid_ = -1;
  int log_ = -1;
  uint16_t port_ = 0;
  std::string text_;
};

/// 50 streams of 500 tokens, all of them accepted.
std::vector<std::unique_ptr<Client>> Streams(const Server& server) {
  const std::string body = R"({"messages": [{"role": "user", "content": "count"}], "stream": true, "max_tokens": 500})";
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 50; i++) {
    clients.push_back(std::make_unique<Client>(server.port()));
    clients.back()->Send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                         std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  for (const auto& c : clients) EXPECT_TRUE(c->ReadUntil("\r\n").starts_with("HTTP/1.1 200"));
  return clients;
}

TEST(ServeTest, WhatWasAcceptedIsFinished) {
  Server server({"--grace", "120"});
  const auto clients = Streams(server);
  server.Signal(SIGTERM);
  for (const auto& c : clients) {
    const std::string all = c->ReadAll();
    EXPECT_NE(all.find(" w500"), std::string::npos);
    EXPECT_NE(all.find("data: [DONE]\n\n"), std::string::npos)
        << all.substr(all.size() - std::min<size_t>(300, all.size()));
  }
  EXPECT_EQ(server.ExitCode(), 0);
}

TEST(ServeTest, WhatTakesTooLongIsToldSo) {
  Server server({"--grace", "0"});
  const auto clients = Streams(server);
  server.Signal(SIGINT);
  int done = 0, cut_off = 0;
  for (const auto& c : clients) {
    const std::string all = c->ReadAll();
    const bool error = all.find(R"("type":"unavailable_error")") != std::string::npos;
    const bool finished = all.find("data: [DONE]\n\n") != std::string::npos;
    EXPECT_NE(error, finished);
    done += finished, cut_off += error;
  }
  EXPECT_EQ(done + cut_off, 50);
  EXPECT_GT(cut_off, 0);
  EXPECT_EQ(server.ExitCode(), 0);
}

TEST(ServeTest, ASignalEndsAnIdleServer) {
  Server server({});
  Client idle(server.port());
  idle.Send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_NE(idle.ReadUntil("}").find("200 OK"), std::string::npos);
  server.Signal(SIGTERM);
  EXPECT_EQ(server.ExitCode(), 0);
  EXPECT_EQ(idle.ReadAll(), "");
}

}  // namespace
}  // namespace bonsai
