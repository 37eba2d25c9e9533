// The bodies of requests: what is read, what is refused, and how the refusal names it.
#include "server/chat_request.h"

#include <gtest/gtest.h>

#include "server/completion_request.h"
#include "server/conversation.h"
#include "server/server_testing.h"

namespace bonsai::server {
namespace {

using testing::Chat;
using testing::Json;

constexpr int32_t kVocab = 1000;

ChatDefaults Defaults() {
  ChatDefaults d{.vocab = kVocab};
  d.options.sampling.temperature = 0.25f;
  d.options.max_tokens = 77;
  return d;
}

ChatRequest Read(const Json& body) {
  ChatRequest request;
  const auto error = ReadChat(body.dump(), Defaults(), request);
  EXPECT_FALSE(error) << error->message;
  return request;
}

/// "param: message" of the refusal.
std::string Refusal(const Json& body) {
  ChatRequest request;
  const auto error = ReadChat(body.dump(), Defaults(), request);
  if (!error) return "none";
  EXPECT_EQ(error->status, 400);
  return error->param + ": " + error->message;
}
std::string Refusal(const char* name, const Json& value) { return Refusal(Chat("x", {{name, value}})); }
bool Refused(const char* name, const Json& value) {
  const std::string refusal = Refusal(name, value);
  return refusal.starts_with(name) && refusal.find('\'' + std::string(name)) != std::string::npos;
}

TEST(GenerationRequestTest, DefaultsAndWhatIsAskedFor) {
  const GenerationRequest d = Read(Chat("x")).generation;
  EXPECT_EQ(d.options.sampling.temperature, 0.25f);
  EXPECT_EQ(d.options.max_tokens, 77);
  EXPECT_EQ(d.options.logprobs, -1);
  EXPECT_EQ(d.choices, 1);
  EXPECT_FALSE(d.stream || d.include_usage);
  EXPECT_TRUE(d.share_prefix);
  const GenerationRequest g = Read(Chat("x", {{"temperature", 2},
                                              {"top_p", 0.5},
                                              {"min_p", 0.1},
                                              {"top_k", 5},
                                              {"presence_penalty", -2},
                                              {"frequency_penalty", 2},
                                              {"repeat_penalty", 1.5},
                                              {"n", 16},
                                              {"seed", -7},
                                              {"stop", {"a", "", "b"}},
                                              {"logit_bias", {{"999", -100}, {"0", 1.5}}},
                                              {"logprobs", true},
                                              {"top_logprobs", 20},
                                              {"stream", true},
                                              {"stream_options", {{"include_usage", true}}},
                                              {"cache_prompt", false},
                                              {"cache_salt", "s"}}))
                                  .generation;
  const sampling::Params& p = g.options.sampling;
  EXPECT_EQ(p.temperature, 2);
  EXPECT_EQ(p.top_p, 0.5f);
  EXPECT_EQ(p.min_p, 0.1f);
  EXPECT_EQ(p.top_k, 5);
  EXPECT_EQ(p.presence_penalty, -2);
  EXPECT_EQ(p.frequency_penalty, 2);
  EXPECT_EQ(p.repeat_penalty, 1.5f);
  EXPECT_EQ(p.seed, static_cast<uint64_t>(-7));
  EXPECT_EQ(g.choices, 16);
  EXPECT_EQ(g.options.stop, (std::vector<std::string>{"a", "b"}));
  ASSERT_EQ(g.options.logit_bias.size(), 2u);
  EXPECT_EQ(g.options.logprobs, 20);
  EXPECT_TRUE(g.stream && g.include_usage);
  EXPECT_FALSE(g.share_prefix);
  EXPECT_EQ(g.cache_salt, "s");
}

TEST(GenerationRequestTest, Lengths) {
  EXPECT_EQ(Read(Chat("x", {{"max_tokens", 5}})).generation.options.max_tokens, 5);
  EXPECT_EQ(Read(Chat("x", {{"max_tokens", -1}})).generation.options.max_tokens, -1);
  EXPECT_EQ(Read(Chat("x", {{"max_tokens", 5}, {"max_completion_tokens", 6}})).generation.options.max_tokens, 6);
  for (const Json& n : {Json(0), Json(-2), Json(1.5), Json("9"), Json(int64_t{1} << 40)}) {
    EXPECT_TRUE(Refused("max_tokens", n)) << n;
    EXPECT_TRUE(Refused("max_completion_tokens", n)) << n;
  }
}

TEST(GenerationRequestTest, Caps) {
  for (const auto& [name, values] : std::vector<std::pair<const char*, std::vector<Json>>>{
           {"n", {0, 17, -1, "1"}},
           {"temperature", {-0.1, 101, "hot"}},
           {"top_p", {-0.1, 1.1}},
           {"min_p", {-0.1, 1.1}},
           {"top_k", {-2, kVocab + 1}},
           {"presence_penalty", {-2.1, 2.1}},
           {"frequency_penalty", {-2.1, 2.1}},
           {"repeat_penalty", {0, 101}},
           {"seed", {1.5, "x", UINT64_MAX}},
           {"stop", {3, Json::array({1}), std::string(513, 'x'), std::vector<std::string>(17, "s")}},
           {"stream", {"yes", 1}},
           {"stream_options", {Json::object()}},  // without a stream
           {"top_logprobs", {1, -1, 21}},         // the first: without logprobs
           {"logprobs", {2}},
           {"cache_prompt", {0}},
           {"cache_salt", {std::string(257, 's'), 1}},
           {"parallel_tool_calls", {"no"}},
           {"logit_bias",
            {3, "x", Json::array({1}), Json{{"1000", 1}}, Json{{"-1", 1}}, Json{{"x", 1}}, Json{{"", 1}},
             Json{{"1x", 1}}, Json{{" 1", 1}}, Json{{"99999999999", 1}}}}})
    for (const Json& value : values) EXPECT_TRUE(Refused(name, value)) << name << " " << value << Refusal(name, value);
  EXPECT_EQ(Refusal("logit_bias", {{"5", 101}}), "logit_bias.5: 'logit_bias.5' must be from -100 to 100");
  EXPECT_EQ(Refusal(Chat("x", {{"stream", true}, {"stream_options", {{"include_usage", 1}}}})),
            "stream_options.include_usage: 'stream_options.include_usage' must be true or false, not a number");
  Json biases = Json::object();
  for (int i = 0; i < 1025; i++) biases[std::to_string(i)] = 1;
  ChatDefaults wide = Defaults();
  wide.vocab = 5000;
  ChatRequest request;
  EXPECT_TRUE(ReadChat(Chat("x", {{"logit_bias", biases}}).dump(), wide, request));
  biases.erase("7");
  EXPECT_FALSE(ReadChat(Chat("x", {{"logit_bias", biases}}).dump(), wide, request));
}

TEST(GenerationRequestTest, WithoutASeedEveryRequestIsItsOwn) {
  const auto seed = [](Json more) { return Read(Chat("x", std::move(more))).generation.options.sampling.seed; };
  EXPECT_EQ(seed({{"seed", 7}}), seed({{"seed", 7.0}}));
  // Four equal ones of 32 bits by chance: once in 10^28 runs.
  const uint64_t first = seed({});
  EXPECT_TRUE(seed({}) != first || seed({}) != first || seed({{"seed", nullptr}}) != first ||
              seed({{"seed", -1}}) != first);
}

TEST(ChatRequestTest, RefusesByNameWhatItCannotDo) {
  for (const auto& [name, value] : std::vector<std::pair<const char*, Json>>{
           {"response_format", {{"type", "json_object"}}},
           {"response_format", {{"type", "json_schema"}, {"json_schema", {{"name", "x"}}}}},
           {"functions", Json::array()},
           {"function_call", "auto"},
           {"audio", Json::object()},
           {"web_search_options", Json::object()},
           {"grammar", "root ::= x"},
           {"json_schema", Json::object()},
           {"modalities", {"text", "audio"}},
           {"tool_choice", "required"},
           {"tool_choice", {{"type", "function"}, {"function", {{"name", "f"}}}}}}) {
    ChatRequest request;
    const auto error = ReadChat(Chat("x", {{name, value}}).dump(), Defaults(), request);
    ASSERT_TRUE(error) << name;
    EXPECT_EQ(error->param, name);
    EXPECT_EQ(error->code, "unsupported") << name;
  }
  EXPECT_TRUE(Refused("tool_choice", "sometimes"));
  EXPECT_TRUE(Refused("tool_choice", 1));
  EXPECT_TRUE(Refused("response_format", "text"));
  Read(Chat("x", {{"response_format", {{"type", "text"}}},
                  {"modalities", {"text"}},
                  {"tool_choice", "none"},
                  {"user", "u"},  // unknown to us, known to others: ignored
                  {"store", true},
                  {"audio", nullptr}}));
}

TEST(ChatRequestTest, TooManyValuesAreRefused) {
  Json messages = Json::array();
  for (int i = 0; i < 50'000; i++) messages.push_back({{"role", "user"}, {"content", "x"}});  // 5 values each
  EXPECT_NE(Refusal({{"messages", messages}}).find("more than 250000 values"), std::string::npos);
  while (messages.size() > 49'990) messages.erase(messages.size() - 1);
  EXPECT_EQ(Refusal({{"messages", messages}}), "none");
}

TEST(ChatRequestTest, Tools) {
  const Json tools = {{{"type", "function"}, {"function", {{"name", "f"}}}}};
  EXPECT_TRUE(Read(Chat("x", {{"tools", tools}})).tools);
  EXPECT_TRUE(Read(Chat("x", {{"tools", tools}})).parallel_calls);
  EXPECT_FALSE(Read(Chat("x", {{"tools", tools}, {"parallel_tool_calls", false}})).parallel_calls);
  EXPECT_FALSE(Read(Chat("x", {{"tools", tools}, {"tool_choice", "none"}})).tools);
  EXPECT_FALSE(Read(Chat("x", {{"tools", Json::array()}})).tools);
  EXPECT_FALSE(Read(Chat("x", {{"tools", tools}, {"tool_choice", "none"}})).input.tools.defined());
  EXPECT_EQ(Refusal("tools", 3), "tools: 'tools' must be an array");
  EXPECT_EQ(Refusal("tools", {{{"type", "web"}}}).substr(0, 14), "tools[0].type:");
  EXPECT_EQ(Refusal("tools", {1}).substr(0, 14), "tools[0].type:");
  EXPECT_EQ(Refusal("tools", {tools[0], {{"type", "function"}}}).substr(0, 23), "tools[1].function.name:");
  EXPECT_EQ(Refusal("tools", {{{"type", "function"}, {"function", {{"name", 1}}}}}).substr(0, 23),
            "tools[0].function.name:");
}

/// The template's variables as a request sets them.
std::string Variables(Json more, bool thinking = true) {
  ChatDefaults d = Defaults();
  d.thinking = thinking;
  ChatRequest request;
  const auto error = ReadChat(Chat("x", std::move(more)).dump(), d, request);
  if (error) return error->message;
  text::jinja::Budget budget(1000, 1000);
  return std::string(text::jinja::ToJson(request.input.variables, {}, budget)->bytes());
}

TEST(ChatRequestTest, VariablesOfTheTemplate) {
  EXPECT_EQ(Variables({}), "{}");
  EXPECT_EQ(Variables({{"chat_template_kwargs", {{"enable_thinking", false}, {"x", 1}}}}),
            R"({"enable_thinking": false, "x": 1})");
  EXPECT_EQ(Variables({{"reasoning_effort", "high"}}), R"({"reasoning_effort": "high"})");
  for (const char* effort : {"none", "minimal"})
    EXPECT_EQ(Variables({{"reasoning_effort", effort}}),
              R"({"reasoning_effort": ")" + std::string(effort) + R"(", "enable_thinking": false})");
  EXPECT_EQ(Variables({}, false), R"({"enable_thinking": false})");
  EXPECT_EQ(Variables({{"chat_template_kwargs", {{"enable_thinking", true}}}}, false), R"({"enable_thinking": true})");
  EXPECT_EQ(Variables({{"chat_template_kwargs", nullptr}}), "{}");
  EXPECT_EQ(Variables({{"chat_template_kwargs", {1}}}), "'chat_template_kwargs' must be an object");
  EXPECT_EQ(Variables({{"reasoning_effort", 3}}), "'reasoning_effort' must be a string, not a number");
}

/// Messages as a template sees them, as JSON; or the refusal.
std::string Normalized(const std::string& messages) {
  const auto value = text::ValueFromJson("messages", messages);
  EXPECT_TRUE(value) << messages;
  text::Value out;
  if (const auto error = NormalizeMessages(*value, out)) {
    EXPECT_NE(error->message.find('\'' + error->param + '\''), std::string::npos) << error->message;
    return error->param;
  }
  text::jinja::Budget budget(10000, 10000);
  return std::string(text::jinja::ToJson(out, {}, budget)->bytes());
}

TEST(ConversationTest, Roles) {
  for (const char* role : {"system", "user", "tool"})
    EXPECT_EQ(Normalized(fmt::format(R"([{{"role": "{}", "content": "x"}}])", role)),
              fmt::format(R"([{{"role": "{}", "content": "x"}}])", role));
  EXPECT_EQ(Normalized(R"([{"role": "developer", "content": "x"}])"), R"([{"role": "system", "content": "x"}])");
  for (const char* role : {"\"User\"", "\"function\"", "\"\"", "1", "null", R"(["user"])"})
    EXPECT_EQ(Normalized(fmt::format(R"([{{"role": "user", "content": "x"}}, {{"role": {}, "content": "x"}}])", role)),
              "messages[1].role");
}

TEST(ConversationTest, Content) {
  const auto content = [](const std::string& c) { return Normalized(R"([{"role": "user", "content": )" + c + "}]"); };
  EXPECT_EQ(content(R"([{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}])"),
            R"([{"role": "user", "content": "ab"}])");
  EXPECT_EQ(content("[]"), R"([{"role": "user", "content": ""}])");
  for (const char* missing : {"null"}) EXPECT_EQ(content(missing), "messages[0].content");
  for (const char* wrong : {"1", "{}", "true"}) EXPECT_EQ(content(wrong), "messages[0].content") << wrong;
  EXPECT_EQ(content(R"(["a"])"), "messages[0].content[0]");
  EXPECT_EQ(content(R"([{"type": "image_url", "image_url": {"url": "x"}}])"), "messages[0].content[0]");
  EXPECT_EQ(content(R"([{"type": "text"}])"), "messages[0].content[0].text");
  EXPECT_EQ(content(R"([{"type": "text", "text": "a"}, {"type": "text", "text": 1}])"), "messages[0].content[1].text");
  EXPECT_EQ(Normalized(R"([{"role": "tool"}])"), "messages[0].content");
  EXPECT_EQ(Normalized(R"([{"role": "assistant"}])"), R"([{"role": "assistant", "content": ""}])");
}

TEST(ConversationTest, ToolCallsOfTheHistory) {
  const auto arguments = [](const std::string& a) {
    return Normalized(R"([{"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", )"
                      R"("function": {"name": "f", "arguments": )" +
                      a + "}}]}]");
  };
  const auto expected = [](const std::string& a) {
    return R"([{"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function", )"
           R"("function": {"name": "f", "arguments": )" +
           a + "}}]}]";
  };
  EXPECT_EQ(arguments(R"({"b": 1, "a": 2})"), expected(R"({"b": 1, "a": 2})"));
  EXPECT_EQ(arguments(R"("{\"b\": 1, \"a\": 2}")"), expected(R"({"b": 1, "a": 2})"));
  for (const char* empty : {"null", "\"\"", "\" \\n\"", "\"{}\"", "{}"}) EXPECT_EQ(arguments(empty), expected("{}"));
  for (const char* broken : {R"("{\"b\": ")", R"("[1]")", R"("3")", R"("x")"})
    EXPECT_EQ(arguments(broken), expected(broken)) << "what a model wrote stays";
  EXPECT_EQ(arguments("3"), "messages[0].tool_calls[0].function.arguments");
  for (const auto& [calls, path] : std::vector<std::pair<const char*, const char*>>{
           {"{}", "messages[0].tool_calls"},
           {"[1]", "messages[0].tool_calls[0]"},
           {R"([{"function": "f"}])", "messages[0].tool_calls[0]"},
           {R"([{"function": {}}])", "messages[0].tool_calls[0].function.name"},
           {R"([{"function": {"name": "f"}}, null])", "messages[0].tool_calls[1]"}})
    EXPECT_EQ(Normalized(fmt::format(R"([{{"role": "assistant", "tool_calls": {}}}])", calls)), path);
  EXPECT_EQ(Normalized(R"([{"role": "assistant", "content": "x", "tool_calls": null}])"),
            R"([{"role": "assistant", "content": "x", "tool_calls": null}])");
}

TEST(ConversationTest, HostileShapes) {
  for (const char* messages : {"[]", "{}", "null", "3", "\"x\""}) EXPECT_EQ(Normalized(messages), "messages");
  EXPECT_EQ(Normalized("[[]]"), "messages[0]");
  EXPECT_EQ(Normalized("[null]"), "messages[0]");
  // Unknown members pass, and the order of all of them stays.
  EXPECT_EQ(Normalized(R"([{"z": [1], "content": "x", "role": "user", "name": {"a": null}}])"),
            R"([{"z": [1], "content": "x", "role": "user", "name": {"a": null}}])");
}

}  // namespace
}  // namespace bonsai::server
