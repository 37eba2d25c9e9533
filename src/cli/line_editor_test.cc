#include "cli/line_editor.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <fstream>

#include "cli/terminal.h"
#include "tests/support.h"

namespace bonsai::cli {
namespace {

using Kind = Input::Kind;

/// The messages that lines become; "^C" stands for an interrupt.
std::vector<std::string> Messages(std::deque<std::string> lines, std::string* prompts = nullptr) {
  std::vector<std::string> messages;
  for (;;) {
    const Input input = ReadMessage([&](bool more) -> Input {
      if (prompts != nullptr) *prompts += more ? '.' : '>';
      if (lines.empty()) return {Kind::kEnd};
      const std::string line = lines.front();
      lines.pop_front();
      return line == "^C" ? Input{Kind::kInterrupted} : Input{Kind::kText, line};
    });
    if (input.kind == Kind::kEnd) return messages;
    messages.push_back(input.kind == Kind::kInterrupted ? "(interrupted)" : input.text);
  }
}

using Strings = std::vector<std::string>;

TEST(ReadMessageTest, LinesAreMessages) {
  std::string prompts;
  EXPECT_EQ(Messages({"Hi", "", "  there "}, &prompts), (Strings{"Hi", "", "  there "}));
  EXPECT_EQ(prompts, ">>>>");
}

TEST(ReadMessageTest, ABackslashGoesOn) {
  std::string prompts;
  EXPECT_EQ(Messages({"a\\", "b\\", "", "c"}, &prompts), (Strings{"a\nb\n", "c"}));
  EXPECT_EQ(prompts, ">..>>");
  EXPECT_EQ(Messages({"a\\", "^C", "b"}), (Strings{"(interrupted)", "b"}));
  EXPECT_EQ(Messages({"a\\"}), (Strings{"a"}));  // the end of the input
}

TEST(ReadMessageTest, AFenceHoldsLines) {
  EXPECT_EQ(Messages({"\"\"\"", "a", "", "b\\", "/exit", "\"\"\"", "c"}), (Strings{"a\n\nb\\\n/exit", "c"}));
  EXPECT_EQ(Messages({"\"\"\"a", "b\"\"\"", "c"}), (Strings{"a\nb", "c"}));
  EXPECT_EQ(Messages({"\"\"\"a\"\"\"", "c"}), (Strings{"a", "c"}));
  EXPECT_EQ(Messages({"\"\"\"\"\"\"", "c"}), (Strings{"", "c"}));
  EXPECT_EQ(Messages({"\"\"\"", "\"\"\"", "c"}), (Strings{"", "c"}));
  EXPECT_EQ(Messages({"\"\"\"", "", "a", "\"\"\""}), (Strings{"\na"}));
  EXPECT_EQ(Messages({"\"\"\"", "a", "^C", "b"}), (Strings{"(interrupted)", "b"}));
  EXPECT_EQ(Messages({"\"\"\"", "a"}), (Strings{"a"}));
  EXPECT_EQ(Messages({"say \"\"\"", "c"}), (Strings{"say \"\"\"", "c"}));
}

TEST(CompletionTest, GoesAsFarAsNamesAgree) {
  const Strings names = {"/save", "/stats", "/system", "/exit"};
  EXPECT_EQ(CompleteFrom("/e", names, " ").insert, "xit ");
  EXPECT_EQ(CompleteFrom("/exit", names, " ").insert, " ");
  const Completion s = CompleteFrom("/s", names, " ");
  EXPECT_EQ(s.insert, "");
  EXPECT_EQ(s.choices, (Strings{"/save", "/stats", "/system"}));
  EXPECT_EQ(CompleteFrom("/x", names, " ").insert, "");
  EXPECT_EQ(CompleteFrom("", {"aé", "aè"}, "").insert, "a");  // é and è share their first byte
  EXPECT_EQ(CompleteFrom("", {"éa", "éb"}, "").insert, "é");
  EXPECT_EQ(CompleteFrom("ab", {"ab", "abc"}, "").insert, "");
}

TEST(CompletionTest, Files) {
  const test::TempDir dir;
  std::ofstream(dir / "one.txt");
  std::ofstream(dir / "other");
  std::ofstream(dir / ".hidden");
  std::filesystem::create_directory(dir / "sub");
  EXPECT_EQ(CompletePath(dir / "on").insert, "e.txt");
  EXPECT_EQ(CompletePath(dir / "su").insert, "b/");
  EXPECT_EQ(CompletePath(dir / "o").choices, (Strings{"one.txt", "other"}));
  EXPECT_EQ(CompletePath(dir / "").choices, (Strings{"one.txt", "other", "sub/"}));
  EXPECT_EQ(CompletePath(dir / ".h").insert, "idden");
  EXPECT_EQ(CompletePath(dir / "none/x").insert, "");
}

/// Sets an environment variable, or removes it, for as long as it lives.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    value == nullptr ? ::unsetenv(name) : ::setenv(name, value, 1);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() { old_ ? ::setenv(name_, old_->c_str(), 1) : ::unsetenv(name_); }

 private:
  const char* name_;
  std::optional<std::string> old_;
};

TEST(HistoryFileTest, FollowsTheXdgDirectories) {
  const Environment home("HOME", "/home/me");
  {
    const Environment state("XDG_STATE_HOME", "/state");
    EXPECT_EQ(HistoryFile(), "/state/bonsai/history");
  }
  for (const char* none : {"", "relative", static_cast<const char*>(nullptr)}) {
    const Environment state("XDG_STATE_HOME", none);
    EXPECT_EQ(HistoryFile(), "/home/me/.local/state/bonsai/history");
    const Environment homeless("HOME", nullptr);
    EXPECT_EQ(HistoryFile(), "");
  }
  EXPECT_EQ(ExpandHome("~/a"), "/home/me/a");
  EXPECT_EQ(ExpandHome("~a"), "~a");
  EXPECT_EQ(ExpandHome("a/~/b"), "a/~/b");
}

TEST(TerminalTest, ControlCharactersDoNotReachIt) {
  EXPECT_EQ(ForTerminal("a\tb\nc é 你 😀"), "a\tb\nc é 你 😀");
  EXPECT_EQ(ForTerminal("\033[2J"), "\u241b[2J");
  EXPECT_EQ(ForTerminal("a\rb\x7f"), "a\u240db\u2421");
  EXPECT_EQ(ForTerminal(std::string_view("\0", 1)), "\u2400");
  EXPECT_EQ(ForTerminal("\xc2\x9b"
                        "2J"),
            "\ufffd"
            "2J");  // C1's CSI
  EXPECT_EQ(ForTerminal("\xc2\xa0"), "\xc2\xa0");
  EXPECT_EQ(ForTerminal("\x9b\xff"), "\ufffd\ufffd");
  for (int c = 0; c < 256; c++) {
    const std::string shown = ForTerminal(std::string(1, static_cast<char>(c)));
    const bool kept = shown.size() == 1;
    EXPECT_EQ(kept, c == '\n' || c == '\t' || (c >= 0x20 && c < 0x7f)) << c;
  }
}

}  // namespace
}  // namespace bonsai::cli
