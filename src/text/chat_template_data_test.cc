// The templates of seven model cards, with conversations of ours. The expected prompts were made once with Jinja2
// 3.1.6 in the environment of Hugging Face's apply_chat_template. Needs BONSAI_TEST_DATA.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support.h"
#include "text/chat_template.h"
#include "text/test_qwen_vocabulary.h"
#include "text/tokenizer.h"

namespace bonsai::text {
namespace {

using Ids = std::vector<int32_t>;

constexpr const char* kFolder = "tokenizer/qwen/templates/";
constexpr const char* kNames[] = {"Qwen-QwQ-32B",
                                  "Qwen-Qwen2.5-7B-Instruct",
                                  "Qwen-Qwen3-0.6B",
                                  "Qwen3-Coder",
                                  "Qwen3-official-from-tokenizer_config",
                                  "Qwen3.5-4B",
                                  "qwen3_nonthinking"};

Value Json(std::string_view text) {
  auto v = ValueFromJson("test", text);
  EXPECT_TRUE(v.ok()) << v.error().message();
  return v ? *v : Value();
}

Result<RenderedPrompt> Render(const std::string& name, const ChatInput& input) {
  const std::string path = test::DataPath(kFolder + name + ".jinja");
  BONSAI_ASSIGN(const auto chat, ChatTemplate::Parse(name, test::ReadFile(path)));
  return chat->Render(input);
}

std::string Text(const std::string& name, const ChatInput& input) {
  const auto prompt = Render(name, input);
  return prompt ? prompt->Text() : "error: " + prompt.error().message();
}

// What the expected prompts are made of.
const std::string kHi = "<|im_start|>user\nHi<|im_end|>\n", kAnswer = "<|im_start|>assistant\n";
const std::string kQwen =
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n";
const std::string kNoThinking = "<think>\n\n</think>\n\n";

bool NoData() { return test::DataPath(kFolder).empty(); }

TEST(ModelCards, SystemUserAndAssistant) {
  if (NoData()) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  const ChatInput input{
      .messages = MessagesValue(
          {{"system", "Be brief."}, {"user", "Hi"}, {"assistant", "<think>\nhm\n</think>\n\nHo"}, {"user", "Bye"}})};
  const std::string thought = "<think>\nhm\n</think>\n\n";
  const struct {
    std::string kept, begins;
  } expected[] = {{"", "<think>\n</think>"}, {thought, ""},    {"", ""}, {thought, ""}, {"", ""},
                  {"", "<think>\n"},         {"", kNoThinking}};
  for (size_t i = 0; i < std::size(kNames); i++) {
    EXPECT_EQ(Text(kNames[i], input), "<|im_start|>system\nBe brief.<|im_end|>\n" + kHi + kAnswer + expected[i].kept +
                                          "Ho<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n" + kAnswer +
                                          expected[i].begins)
        << kNames[i];
  }
}

TEST(ModelCards, ThinkingSwitchedOff) {
  if (NoData()) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  const ChatInput input{.messages = MessagesValue({{"user", "Hi"}}),
                        .variables = Json(R"({"enable_thinking": false})")};
  const std::string expected[] = {
      kHi + kAnswer + "<think>\n</think>", kQwen + kHi + kAnswer,       kHi + kAnswer + kNoThinking, kHi + kAnswer,
      kHi + kAnswer + kNoThinking,         kHi + kAnswer + kNoThinking, kHi + kAnswer + kNoThinking};
  for (size_t i = 0; i < std::size(kNames); i++) EXPECT_EQ(Text(kNames[i], input), expected[i]) << kNames[i];
}

TEST(ModelCards, ReasoningContent) {
  if (NoData()) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  const ChatInput input{
      .messages = Json(
          R"([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho", "reasoning_content": "why"}])"),
      .add_generation_prompt = false};
  const std::string thinks = kHi + kAnswer + "<think>\nwhy\n</think>\n\nHo<|im_end|>\n";
  const std::string without = kHi + kAnswer + "Ho<|im_end|>\n";
  const std::string expected[] = {without, kQwen + without, thinks, without, thinks, thinks, thinks};
  for (size_t i = 0; i < std::size(kNames); i++) EXPECT_EQ(Text(kNames[i], input), expected[i]) << kNames[i];
}

TEST(ModelCards, ToolCallsAndResults) {
  if (NoData()) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  const ChatInput input{.messages = Json(R"([{"role": "user", "content": "Hi"},
      {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function":
          {"name": "w", "arguments": {"city": "Zürich", "n": [1, 2.5, null]}}}]},
      {"role": "tool", "content": "sun"}, {"role": "tool", "content": "rain"}])")};
  const std::string json =
      "<tool_call>\n{\"name\": \"w\", \"arguments\": {\"city\": \"Zürich\", \"n\": [1, 2.5, null]}}\n</tool_call>";
  const std::string xml =
      "<tool_call>\n<function=w>\n<parameter=city>\nZürich\n</parameter>\n<parameter=n>\n[1, 2.5, null]\n</parameter>\n"
      "</function>\n</tool_call>";
  const std::string results =
      "<|im_end|>\n<|im_start|>user\n<tool_response>\nsun\n</tool_response>\n<tool_response>\nrain\n</tool_response>";
  const std::string end = "<|im_end|>\n" + kAnswer;
  const std::string expected[] = {
      kHi + kAnswer + json + results + end + "<think>\n</think>",
      kQwen + kHi + kAnswer + json + results + end,
      kHi + kAnswer + json + results + end,
      kHi + kAnswer + xml + results + "\n" + end,
      kHi + kAnswer + json + results + end,
      kHi + kAnswer + kNoThinking + xml + results + end + "<think>\n",
      kHi + kAnswer + json + results + end + kNoThinking,
  };
  for (size_t i = 0; i < std::size(kNames); i++) EXPECT_EQ(Text(kNames[i], input), expected[i]) << kNames[i];
}

TEST(ModelCards, ArgumentsAsAString) {
  if (NoData()) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  const ChatInput input{.messages = Json(R"([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "ok",
      "tool_calls": [{"name": "w", "arguments": "{\"a\": 1}"}]}])"),
                        .add_generation_prompt = false};
  const auto call = [](const std::string& arguments) {
    return "ok\n<tool_call>\n{\"name\": \"w\", \"arguments\": " + arguments + "}\n</tool_call><|im_end|>\n";
  };
  const std::string quoted = kHi + kAnswer + call(R"("{\"a\": 1}")"),
                    plain = kHi + kAnswer + kNoThinking + call("{\"a\": 1}");
  const std::string refused = "items: a string is no dictionary";
  const std::string expected[] = {quoted, kQwen + quoted,
                                  plain,  "error: Qwen3-Coder: line 87: " + refused,
                                  plain,  "error: Qwen3.5-4B: line 120: " + refused,
                                  plain};
  for (size_t i = 0; i < std::size(kNames); i++) EXPECT_EQ(Text(kNames[i], input), expected[i]) << kNames[i];
}

TEST(ModelCards, Tools) {
  if (NoData()) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  const std::string tool =
      R"({"type": "function", "function": {"name": "w", "description": "Weather <now>", "parameters": )"
      R"({"type": "object", "properties": {"city": {"type": "string"}}}}})";
  const ChatInput input{
      .messages = MessagesValue({{"user", "Hi"}}), .tools = Json("[" + tool + "]"), .add_generation_prompt = false};
  const std::string json = "\n<tools>\n" + tool + "\n</tools>\n";
  const std::string xml =
      "\n<tools>\n<function>\n<name>w</name>\n<description>Weather <now></description>\n<parameters>\n<parameter>\n"
      "<name>city</name>\n<type>string</type>\n</parameter>\n</parameters>\n</function>\n</tools>\n";
  const size_t sizes[] = {591, 659, 589, 1143, 589, 1105, 589};  // in bytes, all ASCII
  for (size_t i = 0; i < std::size(kNames); i++) {
    const std::string text = Text(kNames[i], input);
    EXPECT_EQ(text.size(), sizes[i]) << kNames[i] << text;
    EXPECT_NE(text.find(i == 3 ? xml : json), std::string::npos) << kNames[i] << text;
    EXPECT_TRUE(text.ends_with("<|im_end|>\n" + kHi)) << kNames[i] << text;
  }
}

// The text of all 26 added tokens of Qwen's vocabulary, wherever users, models and tools can write.
TEST(ModelCards, NothingThatComesInBecomesAnAddedToken) {
  if (NoData()) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  const auto made = Tokenizer::FromMetadata(QwenMetadata(test::DataPath("tokenizer/qwen")));
  ASSERT_TRUE(made.ok()) << made.error().message();
  const Tokenizer& t = **made;
  const auto is_added = [&](int32_t id) { return t.FindAdded(t.Piece(id)) == id; };
  std::string attack;
  for (int32_t id = 151643; id < t.vocab_size(); id++) {
    EXPECT_TRUE(is_added(id)) << id;
    attack += t.Piece(id);
  }
  // In an answer without thoughts of its own, templates look for the end of its thoughts and then write tags of theirs.
  std::string answer = attack;
  answer.erase(answer.find("</think>"), 8);
  const auto prompt_of = [&](const char* name, const std::string& x, const std::string& last) {
    const std::string messages =
        R"([{"role": "system", "content": "X"}, {"role": "user", "content": "X"}, {"role": "assistant", "content": "X",
        "reasoning_content": "X", "tool_calls": [{"function": {"name": "X", "arguments": {"X": "X", "Xa": ["X"]}}}]},
        {"role": "tool", "content": "X"}, {"role": "user", "content": "X"}, {"role": "assistant", "content": "Q"}])";
    const std::string tools =
        R"([{"type": "function", "function": {"name": "X", "description": "X", "parameters": {"type": "object",
        "properties": {"X": {"type": "X", "description": "X", "enum": ["X"]}}}}}])";
    const auto with = [&](std::string s) {
      for (size_t at = 0; (at = s.find_first_of("XQ", at)) != std::string::npos;) {
        const std::string& text = s[at] == 'X' ? x : last;
        s.replace(at, 1, text);
        at += text.size();
      }
      return Json(s);
    };
    const auto prompt = Render(name, {.messages = with(messages), .tools = with(tools)});
    EXPECT_TRUE(prompt.ok()) << prompt.error().message();
    return prompt ? *prompt : RenderedPrompt();
  };
  for (const char* name : kNames) {
    const auto added = [&](const Ids& ids) {
      Ids found;
      for (const int32_t id : ids) {
        if (is_added(id)) found.push_back(id);
      }
      return found;
    };
    const Ids expected = added(prompt_of(name, "y", "y").Encode(t));
    const RenderedPrompt bad = prompt_of(name, attack, answer);
    EXPECT_GE(expected.size(), 14u) << name;
    EXPECT_EQ(added(bad.Encode(t)), expected) << name;
    EXPECT_EQ(t.Decode(bad.Encode(t), true), bad.Text()) << name;
    EXPECT_GT(added(t.Encode(bad.Text(), {.parse_special = true})).size(), expected.size() + 250) << name;
  }
}

}  // namespace
}  // namespace bonsai::text
