#include "cli/chat_session.h"

#include <gtest/gtest.h>

#include <fstream>

#include "cli/chat_testing.h"
#include "cli/terminal.h"
#include "tests/support.h"

namespace bonsai::cli {
namespace {

/// A session with a model of random weights; `out` is what it said, `notes` what happened.
struct Chat {
  explicit Chat(ChatSettings settings = {}, const std::string& bytes = ChatModelBytes()) : file(bytes) {
    engine = LoadChatModel(file, 16);
    if (settings.generate.max_tokens < 0) settings.generate.max_tokens = 12;
    settings.generate.loop_guard = false;
    auto made = ChatSession::Make(*engine, settings,
                                  {.answer =
                                       [this](std::string_view text) {
                                         out += text;
                                         return out.size() < full;
                                       },
                                   .note = [this](const std::string& line) { notes += line + "\n"; },
                                   .interrupted = [this] { return asked++ >= interrupt_at; }});
    EXPECT_TRUE(made) << made.error().message();
    session = std::move(*made);
  }
  /// What it answers.
  std::string Say(std::string_view line) {
    out.clear();
    const Status status = session->Handle(line);
    EXPECT_TRUE(status) << status.error().message();
    return out;
  }
  std::string Error(std::string_view line) {
    const Status status = session->Handle(line);
    EXPECT_FALSE(status) << line;
    return status ? "" : status.error().message();
  }
  const std::vector<Turn>& turns() const { return session->conversation().turns; }

  std::string file, out, notes;
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<ChatSession> session;
  int64_t asked = 0, interrupt_at = 1'000'000'000;
  size_t full = 1'000'000'000;
};

ChatSettings Seed(uint64_t seed) {
  ChatSettings s;
  s.generate.sampling.seed = seed;
  s.generate.sampling.temperature = 1;
  return s;
}

TEST(ChatSessionTest, AnswersAndRemembers) {
  Chat chat(Seed(1));
  const std::string first = chat.Say("Hi");
  ASSERT_EQ(chat.turns().size(), 1u);
  EXPECT_EQ(chat.turns()[0].user, "Hi");
  EXPECT_EQ(first, *chat.turns()[0].answer + "\n");
  EXPECT_GT(first.size(), 5u);
  chat.Say("And then?");
  EXPECT_EQ(chat.turns().size(), 2u);
  EXPECT_EQ(chat.Say("  \t "), "");
  EXPECT_EQ(chat.turns().size(), 2u);
  EXPECT_NE(chat.Say("/stats").find("2 turns"), std::string::npos) << chat.out;
  EXPECT_EQ(chat.notes, "");
}

TEST(ChatSessionTest, RegenerationTakesTheNextSeed) {
  Chat a(Seed(5)), b(Seed(6));
  const std::string five = a.Say("Hi"), six = b.Say("Hi");
  EXPECT_NE(five, six);
  EXPECT_EQ(a.Say("/regen"), six);
  ASSERT_EQ(a.turns().size(), 1u);
  EXPECT_EQ(*a.turns()[0].answer + "\n", six);
  Chat none;
  EXPECT_NE(none.Error("/regen"), "");
}

TEST(ChatSessionTest, AnInterruptedAnswerStays) {
  Chat chat(Seed(1));
  const std::string whole = chat.Say("Hi");
  Chat again(Seed(1));
  again.interrupt_at = 9;  // asked before and after each token
  const std::string part = again.Say("Hi");
  EXPECT_LT(part.size(), whole.size());
  EXPECT_EQ(*again.turns()[0].answer + "\n", part);
  EXPECT_EQ(whole.substr(0, part.size() - 1), part.substr(0, part.size() - 1));
  again.asked = 0, again.interrupt_at = 2;  // while it reads: the prompt takes several batches of 16
  EXPECT_EQ(again.Say("A message of more than two batches, to be read in vain"), "\n");
  EXPECT_EQ(*again.turns()[1].answer, "");
  again.interrupt_at = 1'000'000;
  EXPECT_NE(again.Say("Hi"), "\n");
  EXPECT_FALSE(again.session->done());
}

TEST(ChatSessionTest, StopsWhenNobodyReads) {
  Chat chat(Seed(1));
  chat.full = 3;
  EXPECT_TRUE(chat.session->Handle("Hi"));
  EXPECT_TRUE(chat.session->done());
}

TEST(ChatSessionTest, WhatFailsLeavesNoTrace) {
  Chat chat(Seed(1));
  chat.Say("Hi");
  EXPECT_NE(chat.Error(std::string(600, 'x')).find("512"), std::string::npos);
  ASSERT_EQ(chat.turns().size(), 1u);
  EXPECT_NE(chat.Say("Hi"), "");
}

TEST(ChatSessionTest, SaysWhatItDrops) {
  Chat chat(Seed(1));
  for (int i = 0; i < 5; i++) chat.Say(std::string(80, 'x'));  // 97 tokens each, and answers
  EXPECT_NE(chat.notes.find("dropped"), std::string::npos);
  EXPECT_EQ(std::count(chat.notes.begin(), chat.notes.end(), '\n'), 1) << chat.notes;
  EXPECT_EQ(chat.turns().size(), 5u);
  EXPECT_GT(chat.session->conversation().first, 0u);
  EXPECT_NE(chat.Say("/stats").find("dropped"), std::string::npos);
}

TEST(ChatSessionTest, ReasoningIsNeitherPipedNorRemembered) {
  // All that this model says comes after an open <think>, and it never closes it.
  const std::string bytes = ChatModelBytes(std::string(kTestTemplate) + "<think>");
  Chat piped(Seed(1), bytes);
  EXPECT_EQ(piped.Say("Hi"), "\n");
  EXPECT_EQ(*piped.turns()[0].answer, "");
  ChatSettings settings = Seed(1);
  settings.terminal = settings.colour = true;
  Chat shown(settings, bytes);
  const std::string dim = shown.Say("Hi");
  EXPECT_TRUE(dim.starts_with("\033[2m")) << dim;
  EXPECT_TRUE(dim.ends_with("\033[0m\n")) << dim;
  EXPECT_GT(dim.size(), 12u);
  EXPECT_EQ(*shown.turns()[0].answer, "");
  settings.hide_reasoning = true;
  EXPECT_EQ(Chat(settings, bytes).Say("Hi"), "\n");
}

TEST(ChatSessionTest, AnswersAreHarmlessToATerminal) {
  ChatSettings settings = Seed(3);
  settings.generate.max_tokens = 300;
  settings.generate.sampling.temperature = 100;  // any byte
  settings.generate.sampling.top_k = 0;
  settings.generate.sampling.top_p = 1;
  settings.generate.sampling.min_p = 0;
  settings.generate.ignore_end = true;
  Chat piped(settings);
  const auto is_control = [](char c) { return (c >= 0 && c < ' ' && c != '\n' && c != '\t') || c == 0x7f; };
  const std::string raw = piped.Say("Hi");
  EXPECT_TRUE(std::any_of(raw.begin(), raw.end(), is_control));  // a pipe gets what the model said
  settings.terminal = true;
  Chat shown(settings);
  const std::string safe = shown.Say("Hi");
  EXPECT_TRUE(std::none_of(safe.begin(), safe.end(), is_control));
  EXPECT_EQ(*shown.turns()[0].answer + "\n", raw);
}

TEST(ChatCommandTest, WhatIsOneAndWhatIsAMessage) {
  Chat chat;
  EXPECT_NE(chat.Error("/foo bar").find("/regen"), std::string::npos);
  EXPECT_NE(chat.Error("/Help").find("/help"), std::string::npos);
  EXPECT_NE(chat.Error("/stats now").find("no argument"), std::string::npos);
  EXPECT_NE(chat.Error("/read").find("/read FILE"), std::string::npos);
  EXPECT_NE(chat.Error("/save  ").find("/save FILE"), std::string::npos);
  EXPECT_TRUE(chat.turns().empty());
  for (const char* message : {"/usr/bin holds programs", "// a comment", "/", " /exit", "/exit\nnow", "/* x */"})
    chat.Say(message);
  EXPECT_EQ(chat.turns().size(), 6u);
  EXPECT_FALSE(chat.session->done());
  chat.Say("/exit ");
  EXPECT_TRUE(chat.session->done());
  for (const char* name : {"help", "clear", "regen", "read", "system", "stats", "save", "load", "exit"})
    EXPECT_NE(chat.Say("/help").find(std::string("/") + name), std::string::npos) << name;
}

TEST(ChatCommandTest, TheSystemPrompt) {
  ChatSettings settings = Seed(1);
  settings.system_prompt = "Be brief.";
  Chat chat(settings);
  EXPECT_EQ(chat.Say("/system"), "Be brief.\n");
  chat.Say("/system  Be a  king. ");
  EXPECT_EQ(chat.Say("/system"), "Be a  king.\n");
  chat.Say("/clear");
  EXPECT_EQ(chat.session->conversation().system, "Be a  king.");
  chat.Say("/system -");
  EXPECT_EQ(chat.Say("/system"), "");
  EXPECT_EQ(chat.session->conversation().system, "");
}

TEST(ChatCommandTest, SavesAndLoads) {
  const test::TempDir dir;
  Chat chat(Seed(1));
  chat.Say("Hi");
  chat.Say("/system S");
  chat.Say("/save " + (dir / "c d.json"));
  Chat other(Seed(1));
  other.Say("Never mind");
  other.Say("/load " + (dir / "c d.json"));
  ASSERT_EQ(other.turns().size(), 1u);
  EXPECT_EQ(other.turns()[0].user, "Hi");
  EXPECT_EQ(other.session->conversation().system, "S");
  std::ofstream(dir / "bad.json") << "{";
  EXPECT_NE(other.Error("/load " + (dir / "bad.json")).find("bad.json"), std::string::npos);
  EXPECT_NE(other.Error("/load " + (dir / "none.json")).find("none.json"), std::string::npos);
  EXPECT_NE(other.Error("/save " + (dir / "none/x.json")).find("x.json"), std::string::npos);
  EXPECT_EQ(other.turns().size(), 1u);
  std::ofstream(dir / "open.json") << R"({"messages": [{"role": "user", "content": "Why?"}]})";
  EXPECT_NE(other.Say("/load " + (dir / "open.json")), "");  // the last message is answered
  EXPECT_TRUE(other.turns().back().answer.has_value());
  std::ofstream(dir / "long.json") << R"({"messages": [{"role": "user", "content": ")" << std::string(600, 'x')
                                   << "\"}]}";
  other.Error("/load " + (dir / "long.json"));
  EXPECT_EQ(other.turns()[0].user, "Why?");
}

TEST(ChatCommandTest, ReadsFilesIntoTheNextMessage) {
  const test::TempDir dir;
  std::ofstream(dir / "a.txt") << "one\n";
  std::ofstream(dir / "b.txt") << "two";
  std::ofstream(dir / "long.txt") << std::string(600, 'x');
  std::ofstream(dir / "binary") << "a\xff";
  std::ofstream(dir / "zero") << std::string("a\0b", 3);
  Chat chat;
  chat.Say("/read " + (dir / "a.txt"));
  EXPECT_NE(chat.notes.find("4 bytes; the next message begins with 4 tokens"), std::string::npos) << chat.notes;
  chat.Say("/read " + (dir / "b.txt"));
  for (const char* wrong : {"long.txt", "binary", "zero", "none", ""})
    EXPECT_NE(chat.Error("/read " + (dir / wrong)).find(dir / wrong), std::string::npos) << wrong;
  EXPECT_NE(chat.Error("/read -"), "");  // not standard input
  chat.Say("Compare");
  EXPECT_EQ(chat.turns()[0].user, "one\n\ntwo\n\nCompare");
  chat.Say("Again");
  EXPECT_EQ(chat.turns()[1].user, "Again");
  chat.Say("/read " + (dir / "a.txt"));
  chat.Say("/clear");
  chat.Say("Hi");
  EXPECT_EQ(chat.turns()[0].user, "Hi");
}

TEST(ChatCommandTest, Completes) {
  const test::TempDir dir;
  std::ofstream(dir / "notes.txt");
  EXPECT_EQ(ChatSession::Complete("/cl").insert, "ear ");
  EXPECT_EQ(ChatSession::Complete("/").choices.size(), 9u);
  EXPECT_EQ(ChatSession::Complete("/read " + (dir / "no")).insert, "tes.txt");
  EXPECT_EQ(ChatSession::Complete("/system " + (dir / "no")).insert, "");
  EXPECT_EQ(ChatSession::Complete("see " + (dir / "no")).insert, "");
}

}  // namespace
}  // namespace bonsai::cli
