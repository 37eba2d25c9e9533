#include "cli/conversation.h"

#include <gtest/gtest.h>

#include "cli/chat_testing.h"

namespace bonsai::cli {
namespace {

/// "user:" + text + end, "assistant:" + answer + end.
Turn Said(size_t user, size_t answer) { return {std::string(user, 'x'), std::string(answer, 'y')}; }

class PrompterTest : public testing::Test {
 protected:
  static ChatPrompter Make(const std::string& chat_template = kTestTemplate, const ChatVariables& variables = {}) {
    engine_ = LoadChatModel(ChatModelBytes(chat_template));
    auto p = ChatPrompter::Make(engine_->tokenizer(), "m.gguf", variables);
    EXPECT_TRUE(p) << p.error().message();
    return std::move(*p);
  }
  static std::string Text(const ChatPrompt& prompt) { return engine_->tokenizer().Decode(prompt.ids, true); }
  static inline std::unique_ptr<engine::Engine> engine_;
};

TEST_F(PrompterTest, OnlyTheTemplateWritesControlTokens) {
  const ChatPrompter p = Make();
  const auto prompt = p.Render({{"system", "S"}, {"user", "a<|end|>b"}});
  ASSERT_TRUE(prompt) << prompt.error().message();
  EXPECT_EQ(Text(*prompt), "system:S<|end|>user:a<|end|>b<|end|>assistant:");
  const int32_t end = engine_->tokenizer().eos();
  EXPECT_EQ(std::count(prompt->ids.begin(), prompt->ids.end(), end), 2);
  EXPECT_FALSE(prompt->in_reasoning);
}

TEST_F(PrompterTest, Variables) {
  const std::string shows = "{{ enable_thinking | default('?') }} {{ tone | default('calm') }}";
  EXPECT_EQ(Text(*Make(shows).Render({})), "? calm");
  EXPECT_EQ(Text(*Make(shows, {.reasoning_budget = 0}).Render({})), "False calm");
  EXPECT_EQ(Text(*Make(shows, {.json = R"({"enable_thinking": true, "tone": "loud"})"}).Render({})), "True loud");
  EXPECT_EQ(Text(*Make(shows, {R"({"enable_thinking": true, "tone": "loud"})", 0}).Render({})), "False loud");
  for (const char* wrong : {"7", "{", "[]", R"({"a": 1, "a": 2})"}) {
    const auto p = ChatPrompter::Make(engine_->tokenizer(), "m.gguf", {.json = wrong});
    ASSERT_FALSE(p) << wrong;
    EXPECT_EQ(p.error().code(), ErrorCode::kInvalidArgument) << wrong;
  }
}

TEST_F(PrompterTest, SeesThatThePromptOpensReasoning) {
  EXPECT_TRUE(Make("assistant:<think>\n").Render({})->in_reasoning);
  EXPECT_FALSE(Make("assistant:<think>\n</think>\n").Render({})->in_reasoning);
}

TEST_F(PrompterTest, AModelWithoutATemplateIsRefused) {
  const std::string bytes = test::BuildGguf({});
  const auto e = LoadChatModel(bytes);
  const auto p = ChatPrompter::Make(e->tokenizer(), "m.gguf", {});
  ASSERT_FALSE(p);
  EXPECT_EQ(p.error().code(), ErrorCode::kUnsupported);
  EXPECT_NE(p.error().message().find("m.gguf"), std::string::npos);
}

TEST_F(PrompterTest, DropsTheOldestTurnsWhenThereIsNoRoom) {
  const ChatPrompter p = Make();
  // Of 100 tokens a quarter is for the answer. A turn of 10 + 10 has 37 tokens, one without its answer 16, and
  // "assistant:" 10 more.
  Conversation c{.turns = {Said(10, 10), {std::string(10, 'x'), std::nullopt}}};
  ASSERT_EQ(p.Fit(c, 100, -1)->ids.size(), 63u);
  EXPECT_EQ(c.first, 0u);
  c.turns.insert(c.turns.begin(), Said(10, 10));  // 100
  const auto prompt = p.Fit(c, 100, -1);
  ASSERT_TRUE(prompt);
  EXPECT_EQ(c.first, 2u);  // 63 is more than half
  EXPECT_EQ(prompt->ids.size(), 26u);
  EXPECT_EQ(c.turns.size(), 3u);  // still there to be saved
  c.first = 0;
  EXPECT_EQ(p.Fit(c, 126, -1)->ids.size(), 63u);  // half of it
  EXPECT_EQ(c.first, 1u);
  c.first = 0;
  EXPECT_EQ(p.Fit(c, 105, 5)->ids.size(), 100u);  // a short answer needs little room
  EXPECT_EQ(c.first, 0u);
  EXPECT_EQ(p.Fit(c, 104, 5)->ids.size(), 26u);
  EXPECT_EQ(c.first, 2u);
}

TEST_F(PrompterTest, KeepsTheSystemPromptAndTheLastTurn) {
  const ChatPrompter p = Make();
  Conversation c{.system = "brief", .turns = {}};
  for (int i = 0; i < 20; i++) c.turns.push_back(Said(10, 10));
  c.turns.push_back({std::string(60, 'q'), std::nullopt});
  const auto prompt = p.Fit(c, 100, -1);  // 13 + 66 + 10: no quarter is left, but room
  ASSERT_TRUE(prompt);
  EXPECT_EQ(c.first, 20u);
  EXPECT_EQ(Text(*prompt), "system:brief<|end|>user:" + std::string(60, 'q') + "<|end|>assistant:");
  EXPECT_EQ(p.Fit(c, 90, -1)->ids.size(), 89u);
  const auto full = p.Fit(c, 89, -1);
  ASSERT_FALSE(full);
  EXPECT_NE(full.error().message().find("89"), std::string::npos) << full.error().message();
  c.first = 3;
  EXPECT_FALSE(p.Fit(c, 89, -1));
  EXPECT_EQ(c.first, 3u);  // nothing has changed
}

TEST_F(PrompterTest, WhatATemplateRefusesIsAnError) {
  const ChatPrompter p = Make("{{ raise_exception('no ' + messages[0].role) }}");
  Conversation c{.turns = {{"Hi", std::nullopt}}};
  const auto prompt = p.Fit(c, 100, -1);
  ASSERT_FALSE(prompt);
  EXPECT_NE(prompt.error().message().find("no user"), std::string::npos) << prompt.error().message();
}

void ExpectSame(const Conversation& a, const Conversation& b) {
  EXPECT_EQ(a.system, b.system);
  ASSERT_EQ(a.turns.size(), b.turns.size());
  for (size_t i = 0; i < a.turns.size(); i++) {
    EXPECT_EQ(a.turns[i].user, b.turns[i].user);
    EXPECT_EQ(a.turns[i].answer, b.turns[i].answer);
  }
}

TEST(ConversationTest, SavedAndLoadedItIsTheSame) {
  const std::vector<Conversation> all = {
      {},
      {.system = "Be \"brief\"\n"},
      {.turns = {{"Hi", "Ho"}, {"\t\x01 </script> 你好 😀", ""}}, .first = 1},
      {.system = "s", .turns = {{"a", "b"}, {"no answer yet", std::nullopt}}},
  };
  for (const Conversation& c : all) {
    const auto again = Conversation::FromJson("c.json", c.ToJson());
    ASSERT_TRUE(again) << again.error().message();
    ExpectSame(c, *again);
    EXPECT_EQ(again->first, 0u);
  }
  const Conversation broken{.turns = {{"a\xff", "b"}}};
  EXPECT_EQ(Conversation::FromJson("c.json", broken.ToJson())->turns[0].user, "a\xef\xbf\xbd");
}

TEST(ConversationTest, TakesWhatOthersWriteBesides) {
  const auto c = Conversation::FromJson(
      "c.json", R"({"model": "x", "messages": [{"role": "user", "content": "Hi", "name": "me"}], "n": [1]})");
  ASSERT_TRUE(c) << c.error().message();
  ExpectSame(*c, {.turns = {{"Hi", std::nullopt}}});
}

TEST(ConversationTest, RefusesWhatIsNoConversation) {
  const std::string user = R"({"role": "user", "content": "u"})", system = R"({"role": "system", "content": "s"})",
                    assistant = R"({"role": "assistant", "content": "a"})";
  const std::string deep(100000, '[');
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "c.json"},
      {"[]", "no conversation"},
      {"7", "no conversation"},
      {"{}", "no conversation"},
      {R"({"messages": {}})", "no conversation"},
      {deep, "c.json"},
      {R"({"messages": [7]})", "messages[0]: is no object"},
      {R"({"messages": [{}]})", "messages[0]: has no role"},
      {R"({"messages": [{"role": 1, "content": "x"}]})", "messages[0]: has no role"},
      {R"({"messages": [{"role": "user"}]})", "messages[0]: has no content"},
      {R"({"messages": [{"role": "user", "content": null}]})", "messages[0]: has no content"},
      {R"({"messages": [{"role": "user", "content": [{"type": "text"}]}]})", "messages[0]: has no content"},
      {R"({"messages": [{"role": "tool", "content": "x"}]})", "tool"},
      {R"({"messages": [)" + assistant + "]}", "where user is due"},
      {R"({"messages": [)" + user + "," + user + "]}", "messages[1]"},
      {R"({"messages": [)" + user + "," + assistant + "," + assistant + "]}", "messages[2]"},
      {R"({"messages": [)" + user + "," + system + "]}", "where assistant is due"},
      {R"({"messages": [)" + system + "," + system + "]}", "messages[1]"},
      {R"({"messages": [{"role": "user", "role": "user", "content": "x"}]})", "c.json"},
  };
  for (const auto& [text, what] : cases) {
    const auto c = Conversation::FromJson("c.json", text);
    ASSERT_FALSE(c) << text.substr(0, 80);
    EXPECT_EQ(c.error().code(), ErrorCode::kCorrupt) << text.substr(0, 80);
    EXPECT_NE(c.error().message().find(what), std::string::npos) << c.error().message();
    EXPECT_LT(c.error().message().size(), 300u);
  }
  const std::string long_role = R"({"messages": [{"content": "x", "role": ")" + std::string(100000, 'r') + "\"}]}";
  EXPECT_LT(Conversation::FromJson("c.json", long_role).error().message().size(), 500u);
}

}  // namespace
}  // namespace bonsai::cli
