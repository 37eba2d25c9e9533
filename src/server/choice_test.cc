#include "server/choice.h"

#include <gtest/gtest.h>

#include "server/completion_request.h"
#include "server/reasoning_budget.h"
#include "server/server_testing.h"

namespace bonsai::server {
namespace {

using engine::FinishReason;
using testing::Json;

const text::Tokenizer& ScriptTokenizer() {
  static const auto tokenizer = [] {
    const auto file = test::OpenBytes(testing::ScriptModelBytes());
    auto t = text::Tokenizer::FromMetadata((*file)->metadata());
    EXPECT_TRUE(t);
    return std::move(*t);
  }();
  return *tokenizer;
}

/// The id of a piece of the script: they follow each other, so text alone would be cut into bytes.
int32_t IdOf(std::string_view piece) {
  for (int32_t id = 0; id < ScriptTokenizer().vocab_size(); id++)
    if (ScriptTokenizer().Piece(id) == piece) return id;
  ADD_FAILURE() << "no token " << piece;
  return 0;
}

/// Deltas of a stream added up, as a client does it.
struct Added {
  std::string content, reasoning, finish;
  std::vector<Json> calls;
  size_t logprobs = 0;

  void Add(const Json& choice) {
    if (choice.is_null()) return;
    EXPECT_TRUE(finish.empty()) << "something came after the end: " << choice;
    const Json& d = choice["delta"];
    content += d.value("content", "");
    reasoning += d.value("reasoning_content", "");
    for (const Json& call : d.value("tool_calls", Json::array())) {
      const auto i = call["index"].get<size_t>();
      if (i == calls.size()) {
        calls.push_back({{"id", call["id"]}, {"type", call["type"]}, {"function", call["function"]}});
        continue;
      }
      EXPECT_LT(i, calls.size());
      EXPECT_FALSE(call.contains("id"));
      std::string arguments = calls[i]["function"]["arguments"];
      calls[i]["function"]["arguments"] = arguments + call["function"]["arguments"].get<std::string>();
    }
    if (!choice["logprobs"].is_null()) logprobs += choice["logprobs"]["content"].size();
    if (!choice["finish_reason"].is_null()) finish = choice["finish_reason"];
  }
};

const std::vector<std::string> kOutputs[] = {
    {"Hello", "! How", " can I"},
    {"<think>", "\nLet me", " see.", "\n</think>", "\n\nThe answer", " is 42."},
    {"<tool_call>", "\n{\"name\": \"get_wea", "ther\", \"arguments\": ", "{\"city\": \"Par", "is\"}",
     "}\n</tool_call>"},
    {"Two calls.\n", "<tool_call>\n{\"name\": \"get_time\", ", "\"arguments\": {\"zone\": \"UTC\"}}\n</tool_call>\n",
     "<tool_call>\n{\"name\": \"get_date\", ", "\"arguments\": {}}\n</tool_call>"},
    {"Two calls.\n", "<tool_call>\n{\"name\": \"get_time\", "},  // cut off
    {"<tool_call>", "Hello", "! How"},                           // no call after all
};

TEST(ChatChoiceTest, DeltasAddUpToTheWhole) {
  for (const auto& pieces : kOutputs) {
    const ChatChoiceOptions options{.index = 3, .output = {.tools = true}, .logprobs = true, .call_id_prefix = "c_"};
    const auto stream = MakeChatChoice(options, ScriptTokenizer()), one = MakeChatChoice(options, ScriptTokenizer());
    Added added;
    std::string text;
    for (const std::string& piece : pieces) {
      const engine::Token token{.id = IdOf(piece), .text = piece, .logprob = -0.5f};
      EXPECT_TRUE(stream->Push(token));
      EXPECT_TRUE(one->Push(token));
      const Json choice = stream->Take();
      EXPECT_EQ((choice.is_null() ? Json(3) : choice["index"]), 3);
      added.Add(choice);
      EXPECT_TRUE(stream->Take().is_null()) << "taken twice";
      text += piece;
    }
    const engine::GenerateResult result{.reason = FinishReason::kStop};
    stream->Finish(result), one->Finish(result);
    added.Add(stream->Take());
    const Json whole = one->Whole();
    const Json& message = whole["message"];
    EXPECT_EQ(added.content, message["content"].is_null() ? "" : message["content"].get<std::string>());
    EXPECT_EQ(added.reasoning, message.value("reasoning_content", ""));
    EXPECT_EQ(Json(added.calls), message.value("tool_calls", Json::array()));
    EXPECT_EQ(added.finish, whole["finish_reason"]);
    EXPECT_EQ(added.finish, added.calls.empty() ? "stop" : "tool_calls");
    EXPECT_EQ(added.logprobs, pieces.size());
    EXPECT_EQ(whole["logprobs"]["content"].size(), pieces.size());
    EXPECT_EQ(one->text(), text);
    for (size_t i = 0; i < added.calls.size(); i++) EXPECT_EQ(added.calls[i]["id"], "c_" + std::to_string(i));
  }
}

TEST(ChatChoiceTest, OnlyOneCallWhereMoreAreNotWanted) {
  const auto choice =
      MakeChatChoice({.output = {.tools = true}, .parallel_calls = false, .call_id_prefix = "c"}, ScriptTokenizer());
  std::vector<bool> more;
  for (const std::string& piece : kOutputs[3]) more.push_back(choice->Push({.id = IdOf(piece), .text = piece}));
  EXPECT_EQ(more, (std::vector<bool>{true, true, false, false, false}));
}

TEST(ChatChoiceTest, ReasoningTokensAreCounted) {
  const auto choice = MakeChatChoice({}, ScriptTokenizer());
  for (const std::string& piece : kOutputs[1]) choice->Push({.id = IdOf(piece), .text = piece});
  choice->Push({.id = -1, .text = "held back"});
  EXPECT_EQ(choice->reasoning_tokens(), 3);  // "Let me", "see." and the one that ends it
  const auto inside = MakeChatChoice({.output = {.starts_in_reasoning = true}}, ScriptTokenizer());
  for (const std::string& piece : kOutputs[0]) inside->Push({.id = IdOf(piece), .text = piece});
  EXPECT_EQ(inside->reasoning_tokens(), 3);
}

TEST(ChatChoiceTest, Logprobs) {
  const auto choice = MakeChatChoice({.logprobs = true}, ScriptTokenizer());
  const int32_t tree = IdOf("\xf0");
  const engine::TokenLogprob top[] = {{tree, -0.25f}, {IdOf("Hello"), -std::numeric_limits<float>::infinity()}};
  choice->Push({.id = tree, .text = "", .logprob = -0.25f, .top = top});
  choice->Finish({.reason = FinishReason::kStop});
  const Json one = Json::parse(Dump(choice->Whole()))["logprobs"]["content"][0];
  EXPECT_EQ(one["bytes"], Json::array({0xf0}));
  EXPECT_EQ(one["token"], "\xef\xbf\xbd");
  EXPECT_EQ(one["logprob"], -0.25);
  ASSERT_EQ(one["top_logprobs"].size(), 2u);
  EXPECT_EQ(one["top_logprobs"][1]["token"], "Hello");
  EXPECT_EQ(one["top_logprobs"][1]["logprob"], -9999);
  const auto without = MakeChatChoice({}, ScriptTokenizer());
  without->Finish({.reason = FinishReason::kStop});
  EXPECT_TRUE(without->Whole()["logprobs"].is_null());
}

TEST(ChatChoiceTest, ReasonsInOpenAisWords) {
  for (const auto& [reason, word] :
       std::vector<std::pair<FinishReason, const char*>>{{FinishReason::kStop, "stop"},
                                                         {FinishReason::kStopText, "stop"},
                                                         {FinishReason::kLength, "length"},
                                                         {FinishReason::kLoop, "length"}}) {
    const auto choice = MakeChatChoice({}, ScriptTokenizer());
    EXPECT_EQ(choice->finish_reason(), "");
    choice->Finish({.reason = reason});
    EXPECT_EQ(choice->finish_reason(), word);
    EXPECT_EQ(choice->Take()["finish_reason"], word);  // a delta of nothing, because it is the last
  }
}

TEST(TextChoiceTest, EchoComesFirstAndOffsetsCountCharacters) {
  const auto choice = MakeTextChoice({.index = 1, .echo = "ä€", .logprobs = true}, ScriptTokenizer());
  const engine::TokenLogprob top[] = {{IdOf("Hello"), -0.5f}};
  choice->Push({.id = IdOf("Hello"), .text = "Hello", .logprob = -0.5f, .top = top});
  const Json first = choice->Take();
  EXPECT_EQ(first["text"], "ä€Hello");
  EXPECT_EQ(first["index"], 1);
  EXPECT_TRUE(first["finish_reason"].is_null());
  EXPECT_EQ(first["logprobs"]["text_offset"], Json::array({2}));
  EXPECT_EQ(first["logprobs"]["tokens"], Json::array({"Hello"}));
  EXPECT_EQ(first["logprobs"]["token_logprobs"], Json::array({-0.5}));
  EXPECT_EQ(first["logprobs"]["top_logprobs"], Json::array({{{"Hello", -0.5}}}));
  EXPECT_TRUE(choice->Take().is_null());
  choice->Push({.id = IdOf("! How"), .text = ""});  // held back
  EXPECT_TRUE(choice->Take().is_null());
  choice->Finish({.reason = FinishReason::kStopText});
  const Json last = choice->Take();
  EXPECT_EQ(last["text"], "");
  EXPECT_EQ(last["finish_reason"], "stop");
  EXPECT_EQ(last["logprobs"]["text_offset"], Json::array({7}));
  EXPECT_EQ(choice->text(), "Hello");
}

TEST(CompletionRequestTest, Prompts) {
  const auto read = [](const Json& prompt, Json more = Json::object()) -> Json {
    more["prompt"] = prompt;
    CompletionRequest request;
    if (const auto e = ReadCompletion(more.dump(), {}, ScriptTokenizer(), request)) return e->param;
    return request.prompts;
  };
  EXPECT_EQ(read("ab"), Json::parse("[[97, 98]]"));
  EXPECT_EQ(read({"a", "b"}), Json::parse("[[97], [98]]"));
  EXPECT_EQ(read({97, 98}), Json::parse("[[97, 98]]"));
  EXPECT_EQ(read(Json::parse("[[97], [98, 99]]")), Json::parse("[[97], [98, 99]]"));
  EXPECT_EQ(read("<|im_end|>")[0].size(), 10u);  // plain text
  const int32_t vocab = ScriptTokenizer().vocab_size();
  for (const Json& wrong : {Json(3), Json::object(), Json(true), Json(""), Json::array(), Json::parse("[[]]")})
    EXPECT_EQ(read(wrong), "prompt") << wrong;
  for (const Json& id : {Json(vocab), Json(-1), Json(1.5), Json("x"), Json(UINT64_MAX)})
    EXPECT_EQ(read({97, id}), "prompt") << id;
  EXPECT_EQ(read({"a", 3}), "prompt[1]");
  EXPECT_EQ(read(std::vector<std::string>(17, "a")), "prompt");
  EXPECT_EQ(read(std::vector<std::string>(5, "a"), {{"n", 4}}), "n");
  EXPECT_EQ(read(std::vector<std::string>(4, "a"), {{"n", 4}}).size(), 4u);
  EXPECT_EQ(read("a", {{"suffix", "x"}}), "suffix");
  EXPECT_EQ(read("a", {{"best_of", 2}}), "best_of");
  EXPECT_EQ(read("a", {{"best_of", 2}, {"n", 2}}).size(), 1u);
  EXPECT_EQ(read("a", {{"logprobs", 6}}), "logprobs");
  EXPECT_EQ(read("a", {{"logprobs", 5}, {"echo", true}}), "logprobs");
  EXPECT_EQ(read(nullptr), "prompt");
}

TEST(CompletionRequestTest, LengthAndLogprobs) {
  CompletionRequest r;
  EXPECT_FALSE(ReadCompletion(R"({"prompt": "a"})", {}, ScriptTokenizer(), r));
  EXPECT_EQ(r.generation.options.max_tokens, 16);
  EXPECT_EQ(r.generation.options.logprobs, -1);
  EXPECT_FALSE(r.echo);
  CompletionRequest s;
  EXPECT_FALSE(ReadCompletion(R"({"prompt": "a", "logprobs": 0})", {.max_tokens = 5}, ScriptTokenizer(), s));
  EXPECT_EQ(s.generation.options.max_tokens, 5);
  EXPECT_EQ(s.generation.options.logprobs, 0);
}

/// What the budget writes after each of the tokens; "" for nothing.
std::vector<std::string> Forced(int32_t most, bool inside, const std::vector<std::string>& pieces) {
  ReasoningBudget budget(ScriptTokenizer(), most, inside);
  std::vector<int32_t> tokens;
  std::vector<std::string> out;
  for (const std::string& piece : pieces) {
    tokens.push_back(IdOf(piece));
    out.push_back(ScriptTokenizer().Decode(budget.Forced(tokens), true));
  }
  return out;
}

TEST(ReasoningBudgetTest, EndsReasoningOnce) {
  using Texts = std::vector<std::string>;
  const std::string end = "\n</think>\n\n";
  EXPECT_EQ(Forced(2, false, {"<think>", "Hello", "! How", " can I", " help"}), (Texts{"", "", end, "", ""}));
  EXPECT_EQ(Forced(2, true, {"Hello", "! How", " can I"}), (Texts{"", end, ""}));
  EXPECT_EQ(Forced(2, false, {"Hello", "<think>", "! How", " can I"}), (Texts{"", "", "", ""}));  // not at first
  EXPECT_EQ(Forced(2, false, {"\n", "<", "t", "h", "i", "n", "k", ">", "a", "b"}),
            (Texts{"", "", "", "", "", "", "", "", "", end}));
  EXPECT_EQ(Forced(3, false, {"<think>", "Hello", "\n</think>", "! How", " can I"}), (Texts{"", "", "", "", ""}));
  EXPECT_EQ(Forced(20, true, {"<", "/", "t", "h", "i", "n", "k", ">", "a", "a", "a",
                              "a", "a", "a", "a", "a", "a", "a", "a", "a", "a"})
                .back(),
            "");
}

}  // namespace
}  // namespace bonsai::server
