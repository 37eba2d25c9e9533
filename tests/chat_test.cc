// bonsai chat as a user meets it: on a pseudo-terminal, and in a pipe.
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/support.h"
#include "tests/synthetic.h"

namespace bonsai {
namespace {

std::string Program() {
  const char* bin = std::getenv("BONSAI_BIN_DIR");
  return std::string(bin != nullptr ? bin : "build/bin") + "/bonsai";
}

/// A model of random weights that chats, in a file. Its answers are any bytes, as long as the context lets them.
std::string ChatModel(const test::TempDir& dir, bool has_template = true) {
  test::SyntheticModel m{.context = 1 << 16};
  m.edit = [&](formats::Metadata& metadata, std::vector<formats::GgufTensor>&) {
    const std::string text =
        "{% for m in messages %}{{ m.role + ':' + m.content }}{{ eos_token }}{% endfor %}assistant:";
    if (has_template) {
      ASSERT_TRUE(metadata.Add("tokenizer.chat_template", test::Text(text)));
    }
  };
  const std::string path = dir / "chat.gguf";
  std::ofstream(path, std::ios::binary) << test::BuildGguf(m);
  return path;
}

/// What the program shows before it reads a line, and after: it is the only one to ask for bracketed pastes.
constexpr const char *kPrompt = "\033[?2004h\033[1m> ", *kRead = "\033[?2004l";

/// The program on a terminal of its own.
class Terminal {
 public:
  /// `environment`: NAME=VALUE, on top of a home in `dir` and TERM=xterm.
  Terminal(const test::TempDir& dir, std::vector<std::string> args, std::vector<std::string> environment = {}) {
    args.insert(args.begin(), Program());
    for (const char* name : {"HOME", "XDG_STATE_HOME"}) environment.push_back(std::string(name) + "=" + (dir / "home"));
    if (std::none_of(environment.begin(), environment.end(), [](const auto& e) { return e.starts_with("TERM="); }))
      environment.push_back("TERM=xterm");
    environment.push_back("LC_ALL=C.UTF-8");
    const auto pointers = [](std::vector<std::string>& strings) {
      std::vector<char*> p;
      for (std::string& s : strings) p.push_back(s.data());
      p.push_back(nullptr);
      return p;
    };
    const std::vector<char*> argv = pointers(args), envp = pointers(environment);
    const winsize size{.ws_row = 40, .ws_col = 200, .ws_xpixel = 0, .ws_ypixel = 0};
    pid_ = ::forkpty(&fd_, nullptr, nullptr, &size);
    if (pid_ == 0) {
      ::execve(argv[0], argv.data(), envp.data());
      ::_exit(127);
    }
    EXPECT_GT(pid_, 0);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(fd_);
  }

  void Type(const std::string& keys) {
    ASSERT_EQ(::write(fd_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  /// What is shown from the last Until on, `text` included; waits for it for a minute.
  std::string Until(const std::string& text) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    size_t at = 0;
    while ((at = shown_.find(text)) == std::string::npos) {
      const bool more = Pump();
      if (!more || std::chrono::steady_clock::now() > deadline) {
        ADD_FAILURE() << "no '" << text << "' in: " << shown_;
        return std::exchange(shown_, {});
      }
    }
    const std::string seen = shown_.substr(0, at + text.size());
    shown_.erase(0, seen.size());
    return seen;
  }
  /// Until a prompt, and the editor behind it reads: the terminal would take keys typed before for a line of its own.
  std::string UntilPrompt(const std::string& prompt = kPrompt) {
    std::string seen = Until(prompt);
    termios mode{};
    for (int i = 0; i < 6000 && ::tcgetattr(fd_, &mode) == 0 && (mode.c_lflag & ICANON) != 0; i++) ::usleep(10'000);
    return seen;
  }
  /// The exit code; what was shown until then goes to `rest`.
  int Wait(std::string* rest = nullptr) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (Pump() && std::chrono::steady_clock::now() < deadline) continue;
    if (rest != nullptr) *rest = shown_;
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == 0) {
      ::usleep(200'000);  // the terminal closes a moment before the process is gone
      if (::waitpid(pid_, &status, WNOHANG) == 0) return -1;
    }
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  /// Reads what there is, for a second at most; false when the other side is closed.
  bool Pump() {
    pollfd p{.fd = fd_, .events = POLLIN, .revents = 0};
    if (::poll(&p, 1, 1000) <= 0) return true;
    char chunk[4096];
    const ssize_t n = ::read(fd_, chunk, sizeof(chunk));
    if (n <= 0) return false;
    shown_.append(chunk, static_cast<size_t>(n));
    return true;
  }

  int fd_ = -1;
  pid_t pid_ = 0;
  std::string shown_;
};

/// Endless answers of a model that means nothing.
const std::vector<std::string> kEndless = {"--no-loop-guard", "--seed", "1", "--temp", "0", "-t", "1"};

std::vector<std::string> Chat(const std::string& model, const std::vector<std::string>& more) {
  std::vector<std::string> args = {"chat", model};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

TEST(ChatTerminalTest, AnswersAndKeepsAHistory) {
  const test::TempDir dir;
  const std::string model = ChatModel(dir);
  const std::vector<std::string> args = Chat(model, {"-n", "8", "--seed", "1", "-p", "Hello"});
  {
    Terminal t(dir, args);
    EXPECT_NE(t.Until("/help").find("chat.gguf"), std::string::npos);
    t.UntilPrompt();  // after the answer to -p
    t.Type("Once upon\r");
    t.Until(kRead);
    EXPECT_GT(t.UntilPrompt().size(), 15u);
    t.Type("\033[200~two\rlines\033[201~\r");  // a paste: one message
    t.UntilPrompt();
    t.Type("/sa\t" + (dir / "c.js") + "on\r");
    t.Until("3 turns");
    t.UntilPrompt();
    t.Type("/exit\r");
    EXPECT_EQ(t.Wait(), 0);
  }
  const auto saved = nlohmann::json::parse(test::ReadFile(dir / "c.json"))["messages"];
  ASSERT_EQ(saved.size(), 6u);
  EXPECT_EQ(saved[0]["content"], "Hello");
  EXPECT_EQ(saved[2]["content"], "Once upon");
  EXPECT_EQ(saved[4]["content"], "two\nlines");

  struct stat info {};
  ASSERT_EQ(::stat((dir / "home/bonsai/history").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  Terminal t(dir, args);
  t.UntilPrompt();
  t.Type("\033[A\033[A\033[A\033[A");  // /exit, /save, two lines, Once upon
  t.Until("Once upon");
  t.Type("\004\003");  // Ctrl-D on a line that is not empty does not leave; Ctrl-C clears it
  t.UntilPrompt();
  t.Type("\004");
  EXPECT_EQ(t.Wait(), 0);
}

TEST(ChatTerminalTest, CtrlCStopsTheAnswerAndNotTheProgram) {
  const test::TempDir dir;
  Terminal t(dir, Chat(ChatModel(dir), kEndless));
  t.UntilPrompt();
  for (int i = 0; i < 2; i++) {
    t.Type("Go\r");
    t.Until(kRead);
    t.Until("\ufffd");  // the answer: this model says nothing else
    t.Type("\003");
    EXPECT_EQ(t.UntilPrompt().find("context"), std::string::npos);  // the end that the answer would have
  }
  t.Type("forget this\003");
  t.UntilPrompt();
  t.Type("/stats\r");
  EXPECT_NE(t.Until("memory").find("2 turns"), std::string::npos);
  t.UntilPrompt();
  t.Type("\004");
  EXPECT_EQ(t.Wait(), 0);
}

TEST(ChatTerminalTest, ErrorsAreToldAndItGoesOn) {
  const test::TempDir dir;
  Terminal t(dir, Chat(ChatModel(dir), {"-n", "4"}));
  t.UntilPrompt();
  t.Type("/nonsense\r");
  EXPECT_NE(t.UntilPrompt().find("/regen"), std::string::npos);
  t.Type("/load " + (dir / "none.json") + "\r");
  EXPECT_NE(t.UntilPrompt().find("none.json"), std::string::npos);
  t.Type("/exit\r");
  EXPECT_EQ(t.Wait(), 0);
}

/// Without escapes in TERM there are none in what is shown, whatever the model says; and lines are read plainly.
TEST(ChatTerminalTest, ADumbTerminalGetsNoEscapes) {
  const test::TempDir dir;
  const std::vector<std::string> wild = {"-n",      "400", "--temp",  "100", "--top-k",        "0",
                                         "--top-p", "1",   "--min-p", "0",   "--no-loop-guard"};
  Terminal t(dir, Chat(ChatModel(dir), wild), {"TERM=dumb"});
  t.Until("> ");
  t.Type("Go\n/exit\n");
  std::string shown;
  EXPECT_EQ(t.Wait(&shown), 0);
  EXPECT_EQ(shown.find('\033'), std::string::npos);
  EXPECT_GT(shown.size(), 5u);
}

TEST(ChatTerminalTest, AnUnknownTerminalAndNoHomeDoNoHarm) {
  const test::TempDir dir;
  Terminal t(dir, Chat(ChatModel(dir), {"-n", "4"}),
             {"TERM=no-such-terminal", "NO_COLOR=1", "HOME=", "XDG_STATE_HOME="});
  const std::string shown = t.UntilPrompt("\033[?2004h> ");
  EXPECT_EQ(shown.find("\033[2m"), std::string::npos) << shown;
  t.Type("Go\r");
  t.UntilPrompt("\033[?2004h> ");
  t.Type("/exit\r");
  EXPECT_EQ(t.Wait(), 0);
  EXPECT_FALSE(std::filesystem::exists(dir / "home"));
}

TEST(ChatTerminalTest, RunBecomesAChat) {
  const test::TempDir dir;
  {
    Terminal t(dir, {"run", ChatModel(dir), "-n", "4"});
    t.UntilPrompt();
    t.Type("/exit\r");
    EXPECT_EQ(t.Wait(), 0);
  }
  Terminal without(dir, {"run", ChatModel(dir, /*has_template=*/false), "-n", "4"});
  without.Until("nothing to continue");
  EXPECT_EQ(without.Wait(), 2);
  Terminal story(dir, {"run", "-n", "4"});
  story.Until("Once upon a time, there was a little");
  EXPECT_EQ(story.Wait(), 0);
}

struct Outcome {
  int code = -1;
  std::string out, err;
};

/// The shell's `INPUT | bonsai ARGS`.
Outcome Piped(const std::string& input, const std::string& args) {
  const test::TempDir dir;
  std::ofstream(dir / "in") << input;
  const std::string command =
      Program() + " " + args + " <" + (dir / "in") + " >" + (dir / "out") + " 2>" + (dir / "err");
  const int status = std::system(command.c_str());
  return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
          .out = test::ReadFile(dir / "out"),
          .err = test::ReadFile(dir / "err")};
}

TEST(ChatPipeTest, PrintsTheAnswersAndNothingElse) {
  const test::TempDir dir;
  const std::string chat = "chat " + ChatModel(dir) + " --seed 1 --temp 0 -t 1 -n 8 ";
  const Outcome one = Piped("Hi\n", chat);
  EXPECT_EQ(one.code, 0) << one.err;
  EXPECT_EQ(one.err, "");
  EXPECT_GT(one.out.size(), 1u);
  EXPECT_EQ(Piped("", chat + "-p Hi").out, one.out);
  const Outcome run = Piped("Hi", "run " + (dir / "chat.gguf") + " --seed 1 --temp 0 -t 1 -n 8 -f -");
  EXPECT_TRUE(run.out.ends_with(one.out)) << run.out;  // it shows the white space before an answer, too
  const Outcome two = Piped("Hi\r\n\nAnd\\\nthen?\n/save " + (dir / "c.json") + "\n", chat);
  EXPECT_EQ(two.code, 0) << two.err;
  EXPECT_TRUE(two.out.starts_with(one.out));
  EXPECT_GT(two.out.size(), one.out.size());
  const auto saved = nlohmann::json::parse(test::ReadFile(dir / "c.json"))["messages"];
  ASSERT_EQ(saved.size(), 4u);
  EXPECT_EQ(saved[2]["content"], "And\nthen?");
}

TEST(ChatPipeTest, TheFirstErrorEndsIt) {
  const test::TempDir dir;
  const std::string chat = "chat " + ChatModel(dir) + " -n 4 ";
  const Outcome o = Piped("/nonsense\nHi\n", chat);
  EXPECT_EQ(o.code, 2);
  EXPECT_EQ(o.out, "");
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
  EXPECT_EQ(Piped("/load /none.json\n", chat).code, 1);
  EXPECT_EQ(Piped("/exit\n/nonsense\n", chat).code, 0);
}

TEST(ChatPipeTest, SaysWhatToDoInstead) {
  const test::TempDir dir;
  const Outcome none = Piped("", "chat");
  EXPECT_EQ(none.code, 2);
  EXPECT_NE(none.err.find("bonsai chat MODEL.gguf"), std::string::npos) << none.err;
  const Outcome no_template = Piped("", "chat " + ChatModel(dir, /*has_template=*/false));
  EXPECT_EQ(no_template.code, 1);
  EXPECT_NE(no_template.err.find("bonsai run"), std::string::npos) << no_template.err;
  const Outcome run = Piped("", "run " + ChatModel(dir));  // piped, run is no chat
  EXPECT_EQ(run.code, 2);
  EXPECT_NE(run.err.find("nothing to continue"), std::string::npos) << run.err;
  for (const Outcome& o : {none, no_template, run}) EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
}

}  // namespace
}  // namespace bonsai
