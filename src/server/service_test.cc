// The whole service without sockets: real engine, a model whose answers are known.
#include "server/service.h"

#include <gtest/gtest.h>

#include <set>

#include "server/prompt.h"
#include "server/server_testing.h"

namespace bonsai::server {
namespace {

using std::chrono::milliseconds;
using testing::Chat;
using testing::Events;
using testing::Eventually;
using testing::Json;
using testing::ScriptServer;
using testing::ScriptServerOptions;

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kText = "/v1/completions";
const std::string kHello = "Hello! How can I help you?";

std::string Header(const Response& r, std::string_view name) {
  for (const auto& [n, value] : r.headers)
    if (n == name) return value;
  return "";
}
std::string CodeOf(const Response& r) { return Json::parse(r.body)["error"]["code"]; }
Json Tools() {
  return Json::array({{{"type", "function"}, {"function", {{"name", "get_weather"}, {"parameters", Json::object()}}}}});
}

TEST(ServiceTest, IsLoadingUntilThereIsAModel) {
  ScriptServer server({.start = false});
  const std::string body = R"({"error":{"code":503,"message":"Loading model","type":"unavailable_error"}})";
  for (const auto& [method, path] : std::vector<std::pair<const char*, const char*>>{
           {"GET", "/health"}, {"GET", "/v1/models"}, {"POST", kChat}, {"GET", "/props"}, {"GET", "/metrics"}}) {
    const Response r = server.Send(method, path, "{}")->Wait();
    EXPECT_EQ(r.status, 503) << path;
    EXPECT_EQ(r.body, body);
    EXPECT_NE(Header(r, "Retry-After"), "");
  }
  EXPECT_EQ(server.Get("/").status, 200);
  EXPECT_EQ(server.Get("/nowhere").status, 404);
  server.Start();
  EXPECT_EQ(server.Get("/health").body, R"({"status":"ok"})");
}

TEST(ServiceTest, TellsAboutItself) {
  ScriptServer server({.service = {.model_name = "a/b", .version = "1", .metrics = true}, .parallel = 3});
  const Json models = server.Fetch("/v1/models");
  EXPECT_EQ(models["object"], "list");
  ASSERT_EQ(models["data"].size(), 1u);
  EXPECT_EQ(models["data"][0]["id"], "a/b");
  EXPECT_EQ(server.Fetch("/v1/models/a/b"), models["data"][0]);
  EXPECT_EQ(CodeOf(server.Get("/v1/models/a")), "model_not_found");
  const Json props = server.Fetch("/props");
  EXPECT_EQ(props["total_slots"], 3);
  EXPECT_EQ(props["context"], server.engine().plan().context);
  EXPECT_EQ(props["chat"], true);
  EXPECT_EQ(server.Fetch("/slots").size(), 3u);
  const Response metrics = server.Get("/metrics");
  EXPECT_EQ(metrics.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_NE(metrics.body.find("model_name=\"a/b\""), std::string::npos);
  const Response page = server.Get("/");
  EXPECT_EQ(page.content_type, "text/html; charset=utf-8");
  EXPECT_EQ(Header(page, "Content-Encoding"), "gzip");
  EXPECT_NE(Header(page, "Content-Security-Policy").find("sha256-"), std::string::npos);

  ScriptServer quiet({.service = {.slots = false}});
  EXPECT_EQ(quiet.Get("/slots").status, 501);
  EXPECT_EQ(quiet.Get("/metrics").status, 501);
}

TEST(ServiceTest, PathsAndMethods) {
  ScriptServer server;
  EXPECT_EQ(server.Get("/nowhere").status, 404);
  const Response wrong = server.Get(kChat);
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(Header(wrong, "Allow"), "POST");
  EXPECT_EQ(server.Send("HEAD", "/health")->Wait().status, 200);
  EXPECT_EQ(server.Send("TRACE", "/health")->Wait().status, 405);
  // What a client writes comes back nowhere.
  const Response odd = server.Get("/<script>\r\nX-Evil: 1");
  EXPECT_EQ(odd.body.find("script"), std::string::npos);
  EXPECT_TRUE(odd.headers.empty());
}

TEST(ServiceTest, KeysHostsAndOrigins) {
  ScriptServer server({.service = {.guard = {.keys = ApiKeys({"secret"}), .allowed_hosts = {"bonsai.lan"}}}});
  const Headers key = {{"authorization", "Bearer secret"}};
  EXPECT_EQ(server.Get("/health").status, 200);
  EXPECT_EQ(server.Get("/").status, 200);
  for (const char* path : {"/v1/models", "/props", "/slots", "/metrics"}) EXPECT_EQ(server.Get(path).status, 401);
  for (const char* path : {kChat, kText, "/tokenize", "/detokenize", "/apply-template"})
    EXPECT_EQ(server.Post(path, Chat("x")).status, 401) << path;
  EXPECT_EQ(server.Get("/nowhere").status, 401);  // which paths there are is nobody's business
  EXPECT_EQ(server.Get("/v1/models", key).status, 200);
  EXPECT_EQ(server.Get("/v1/models", {{"x-api-key", "secret"}}).status, 200);
  EXPECT_EQ(server.Get("/health", {{"host", "evil.example"}}).status, 403);
  EXPECT_EQ(server.Get("/health", {{"host", "bonsai.lan"}}).status, 200);
  EXPECT_EQ(server.Get("/health", {{"origin", "http://evil.example"}}).status, 403);
  EXPECT_EQ(server.Get("/health", {{"origin", "http://localhost:8080"}}).status, 200);
}

TEST(ServiceTest, Chats) {
  ScriptServer server({.service = {.model_name = "m", .version = "9"}});
  const Json a = server.Ask(kChat, Chat("hi"));
  EXPECT_EQ(a["object"], "chat.completion");
  EXPECT_EQ(a["model"], "m");
  EXPECT_TRUE(a["id"].get<std::string>().starts_with("chatcmpl-"));
  EXPECT_EQ(a["choices"][0]["message"], Json({{"role", "assistant"}, {"content", kHello}, {"refusal", nullptr}}));
  EXPECT_EQ(a["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(a["choices"].size(), 1u);
  const Json& usage = a["usage"];
  EXPECT_EQ(usage["completion_tokens"], 7);  // six pieces and <|im_end|>
  // One token a byte, but for the three control tokens and the cue.
  EXPECT_EQ(usage["prompt_tokens"], std::string("user\nhi\nassistant\n").size() + 4);
  EXPECT_EQ(usage["total_tokens"], usage["prompt_tokens"].get<int>() + 7);
  EXPECT_EQ(a["timings"]["predicted_n"], 7);
  EXPECT_EQ(a["timings"]["prompt_n"].get<int>() + a["timings"]["cache_n"].get<int>(), usage["prompt_tokens"]);

  const Json length = server.Ask(kChat, Chat("count", {{"max_tokens", 3}}));
  EXPECT_EQ(length["choices"][0]["message"]["content"], "w1 w2 w3");
  EXPECT_EQ(length["choices"][0]["finish_reason"], "length");
  const Json stop = server.Ask(kChat, Chat("count", {{"stop", {" w3"}}}));
  EXPECT_EQ(stop["choices"][0]["message"]["content"], "w1 w2");
  EXPECT_EQ(stop["choices"][0]["finish_reason"], "stop");
  const Json tree = server.Ask(kChat, Chat("tree"));
  EXPECT_EQ(tree["choices"][0]["message"]["content"], "A tree: \xf0\x9f\x8c\xb3.");
}

TEST(ServiceTest, Reasons) {
  ScriptServer server;
  const Json m = server.Ask(kChat, Chat("think"));
  EXPECT_EQ(m["choices"][0]["message"]["reasoning_content"], "Let me see.");
  EXPECT_EQ(m["choices"][0]["message"]["content"], "The answer is 42.");
  EXPECT_EQ(m["usage"]["completion_tokens_details"]["reasoning_tokens"], 3);
  ScriptServer brief({.service = {.reasoning_budget = 1}});
  const Json b = brief.Ask(kChat, Chat("think", {{"max_tokens", 20}}));
  EXPECT_EQ(b["choices"][0]["message"]["reasoning_content"], "Let me");
}

TEST(ServiceTest, StreamsAddUp) {
  ScriptServer server;
  for (const char* word : {"hello", "think", "weather", "both", "tree", "markdown"}) {
    Json body = Chat(word, {{"tools", Tools()}});
    const Json whole = server.Ask(kChat, body)["choices"][0];
    body["stream"] = true, body["stream_options"] = {{"include_usage", true}};
    const Response r = server.Post(kChat, body);
    EXPECT_EQ(r.content_type, "text/event-stream");
    const std::vector<std::string> events = Events(r.body);
    ASSERT_GE(events.size(), 4u);
    EXPECT_EQ(events.back(), "[DONE]");
    std::string content, reasoning, arguments, finish, id;
    for (size_t i = 0; i + 1 < events.size(); i++) {
      const Json chunk = Json::parse(events[i]);
      EXPECT_EQ(chunk["object"], "chat.completion.chunk");
      id = id.empty() ? chunk["id"].get<std::string>() : id;
      EXPECT_EQ(chunk["id"], id);
      if (i + 2 == events.size()) {
        EXPECT_EQ(chunk["choices"], Json::array());
        EXPECT_EQ(chunk["usage"]["total_tokens"].get<int>(),
                  chunk["usage"]["prompt_tokens"].get<int>() + chunk["usage"]["completion_tokens"].get<int>());
        break;
      }
      EXPECT_TRUE(chunk["usage"].is_null());
      const Json& choice = chunk["choices"][0];
      const Json& delta = choice["delta"];
      EXPECT_EQ(delta.contains("role"), i == 0);
      content += delta.value("content", ""), reasoning += delta.value("reasoning_content", "");
      for (const Json& call : delta.value("tool_calls", Json::array()))
        arguments += std::to_string(call["index"].get<int>()) + call["function"]["arguments"].get<std::string>();
      EXPECT_TRUE(finish.empty());
      if (!choice["finish_reason"].is_null()) finish = choice["finish_reason"];
    }
    const Json& message = whole["message"];
    EXPECT_EQ(content, message["content"].is_null() ? "" : message["content"].get<std::string>()) << word;
    EXPECT_EQ(reasoning, message.value("reasoning_content", ""));
    EXPECT_EQ(finish, whole["finish_reason"]);
    EXPECT_EQ(arguments.empty(), !message.contains("tool_calls"));
  }
  EXPECT_TRUE(server.Idle());
}

TEST(ServiceTest, CallsTools) {
  ScriptServer server;
  const Json a = server.Ask(kChat, Chat("weather", {{"tools", Tools()}}))["choices"][0];
  EXPECT_EQ(a["finish_reason"], "tool_calls");
  EXPECT_TRUE(a["message"]["content"].is_null());
  const Json call = a["message"]["tool_calls"][0];
  EXPECT_EQ(call["type"], "function");
  EXPECT_EQ(call["function"], Json({{"name", "get_weather"}, {"arguments", R"({"city": "Paris"})"}}));
  EXPECT_EQ(server.Ask(kChat, Chat("both", {{"tools", Tools()}}))["choices"][0]["message"]["tool_calls"].size(), 2u);
  const Json one = server.Ask(kChat, Chat("both", {{"tools", Tools()}, {"parallel_tool_calls", false}}))["choices"][0];
  EXPECT_EQ(one["message"]["tool_calls"].size(), 1u);
  EXPECT_EQ(one["finish_reason"], "tool_calls");
  const Json none = server.Ask(kChat, Chat("weather"))["choices"][0];
  EXPECT_EQ(none["finish_reason"], "stop");  // no tools: it is text
  EXPECT_FALSE(none["message"].contains("tool_calls"));
  // And the way back.
  const Json history = {{{"role", "user"}, {"content", "weather"}},
                        a["message"],
                        {{"role", "tool"}, {"tool_call_id", call["id"]}, {"content", "sunny"}}};
  EXPECT_EQ(server.Ask(kChat, {{"messages", history}, {"tools", Tools()}})["choices"][0]["message"]["content"],
            "It is sunny in Paris.");
}

TEST(ServiceTest, AnswersAreBounded) {
  ScriptServer server;
  const Json much = {{"n", 16}, {"logprobs", true}, {"top_logprobs", 20}, {"max_tokens", 1000}};
  const Response refused = server.Post(kChat, Chat("hi", much));
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(Json::parse(refused.body)["error"]["param"], "logprobs");
  Json less = much;
  less["max_tokens"] = 2;
  EXPECT_EQ(server.Ask(kChat, Chat("hi", less))["choices"].size(), 16u);
}

TEST(ServiceTest, SeveralChoices) {
  ScriptServer server;
  const Json one = server.Ask(kChat, Chat("hi"));
  const Json a = server.Ask(kChat, Chat("hi", {{"n", 3}}));
  ASSERT_EQ(a["choices"].size(), 3u);
  for (size_t i = 0; i < 3; i++) {
    EXPECT_EQ(a["choices"][i]["index"], i);
    EXPECT_EQ(a["choices"][i]["message"]["content"], kHello);
  }
  EXPECT_EQ(a["usage"]["completion_tokens"], 21);
  EXPECT_EQ(a["usage"]["prompt_tokens"], one["usage"]["prompt_tokens"]);  // it counts once
  std::map<int, std::string> content;
  std::set<int> ended;
  const auto events = Events(server.Post(kChat, Chat("hi", {{"n", 3}, {"stream", true}})).body);
  for (size_t i = 0; i + 1 < events.size(); i++) {
    const Json choice = Json::parse(events[i])["choices"][0];
    const int index = choice["index"];
    content[index] += choice["delta"].value("content", "");
    EXPECT_FALSE(ended.count(index));
    if (!choice["finish_reason"].is_null()) ended.insert(index);
  }
  EXPECT_EQ(ended, (std::set<int>{0, 1, 2}));
  for (int i = 0; i < 3; i++) EXPECT_EQ(content[i], kHello);
}

TEST(ServiceTest, ContinuesTexts) {
  ScriptServer server;
  // A lone byte is followed by nothing that the script knows, so only the form counts here.
  const Json a = server.Ask(kText, {{"prompt", {"ab", "c"}}, {"n", 2}, {"max_tokens", 2}, {"echo", true}});
  EXPECT_EQ(a["object"], "text_completion");
  ASSERT_EQ(a["choices"].size(), 4u);
  for (size_t i = 0; i < 4; i++)
    EXPECT_TRUE(a["choices"][i]["text"].get<std::string>().starts_with(i < 2 ? "ab" : "c")) << a;
  EXPECT_EQ(a["usage"]["prompt_tokens"], 3);
  const Json cue = server.Ask("/tokenize", {{"content", "<|cue:hello|>"}})["tokens"];
  ASSERT_EQ(cue.size(), 1u);
  const Json h = server.Ask(kText, {{"prompt", cue}, {"logprobs", 2}});
  EXPECT_EQ(h["choices"][0]["text"], kHello);
  EXPECT_EQ(h["choices"][0]["logprobs"]["tokens"].size(), 6u);  // the end has no text
  EXPECT_EQ(h["choices"][0]["logprobs"]["text_offset"][1], 5);
  std::string text;
  const auto events = Events(server.Post(kText, {{"prompt", cue}, {"stream", true}}).body);
  for (size_t i = 0; i + 1 < events.size(); i++) text += Json::parse(events[i])["choices"][0]["text"];
  EXPECT_EQ(text, kHello);
}

TEST(ServiceTest, TokensAndTemplates) {
  ScriptServer server;
  const std::string text = "a<|im_end|>\xe2\x82\xac";
  const Json tokens = server.Ask("/tokenize", {{"content", text}})["tokens"];
  EXPECT_EQ(tokens.size(), 5u);
  EXPECT_EQ(server.Ask("/tokenize", {{"content", text}, {"parse_special", false}})["tokens"].size(), text.size());
  EXPECT_EQ(server.Ask("/detokenize", {{"tokens", tokens}})["content"], text);
  const Json pieces = server.Ask("/tokenize", {{"content", text}, {"with_pieces", true}})["tokens"];
  ASSERT_EQ(pieces.size(), 5u);
  EXPECT_EQ(pieces[0], Json({{"id", tokens[0]}, {"piece", "a"}}));
  EXPECT_EQ(pieces[2], Json({{"id", tokens[2]}, {"piece", {0xe2}}}));
  EXPECT_EQ(server.Ask("/tokenize", {{"content", ""}})["tokens"], Json::array());
  EXPECT_EQ(server.Post("/tokenize", Json::object()).status, 400);
  const size_t most = size_t{4} << 20;
  EXPECT_EQ(server.Ask("/tokenize", {{"content", std::string(10'000, 'x')}})["tokens"].size(), 10'000u);
  EXPECT_EQ(server.Post("/tokenize", {{"content", std::string(most + 1, 'x')}}).status, 400);
  EXPECT_EQ(server.Post("/detokenize", {{"tokens", "x"}}).status, 400);
  EXPECT_EQ(server.Post("/detokenize", {{"tokens", {1 << 30}}}).status, 400);
  EXPECT_EQ(server.Ask("/apply-template", Chat("hi"))["prompt"],
            "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<|cue:hello|>");
  EXPECT_EQ(server.Ask("/apply-template", Chat("hi", {{"add_generation_prompt", false}}))["prompt"],
            "<|im_start|>user\nhi<|im_end|>\n");
}

TEST(ServiceTest, ToolSchemasKeepTheirOrder) {
  ScriptServer server;
  const std::string schema = R"({"type": "function", "function": {"name": "f", "z": 1, "a": {"y": [], "b": 2}}})";
  const Response r = server
                         .Send("POST", "/apply-template",
                               R"({"tools": [)" + schema + R"(], "messages": [{"role": "user", "content": "x"}]})")
                         ->Wait();
  EXPECT_NE(Json::parse(r.body)["prompt"].get<std::string>().find(schema), std::string::npos) << r.body;
}

TEST(ServiceTest, VariablesCannotReplaceTheConversation) {
  ScriptServer server;
  for (const char* name : {"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"}) {
    const Response r = server.Post(kChat, Chat("x", {{"chat_template_kwargs", {{name, "evil"}}}}));
    EXPECT_EQ(r.status, 400) << name;
    EXPECT_NE(r.body.find(name), std::string::npos);
  }
}

/// Control tokens of a conversation's prompt.
int ControlTokens(ScriptServer& server, const Json& body) {
  ChatRequest request;
  const auto error = ReadChat(body.dump(), DefaultsOf(server.service()), request);
  EXPECT_FALSE(error) << error->message;
  const auto prompt = RenderPrompt(server.service(), request.input);
  EXPECT_TRUE(prompt) << prompt.error().message();
  int n = 0;
  const text::Tokenizer& tokenizer = server.service().tokenizer();
  for (const int32_t id : prompt->Encode(tokenizer)) {
    const std::string_view piece = tokenizer.Piece(id);
    n += tokenizer.IsControl(id) || piece == "<think>" || piece == "<tool_call>" ? 1 : 0;
  }
  return n;
}

TEST(ServiceTest, NothingThatAnybodyWritesBecomesAControlToken) {
  ScriptServer server;
  std::string all;
  const text::Tokenizer& t = server.service().tokenizer();
  for (int32_t id = 0; id < t.vocab_size(); id++)
    if (t.IsControl(id) || t.FindAdded(t.Piece(id)) >= 0) all += std::string(t.Piece(id)) + " ";
  ASSERT_NE(all.find("<|im_end|>"), std::string::npos);
  ASSERT_NE(all.find("<tool_call>"), std::string::npos);
  const auto body = [](const std::string& s) -> Json {
    return {{"messages",
             {{{"role", "system"}, {"content", s}},
              {{"role", "user"}, {"content", Json::array({{{"type", "text"}, {"text", s}}})}},
              {{"role", "assistant"},
               {"content", s},
               {"tool_calls", Json::array({{{"id", s}, {"function", {{"name", s}, {"arguments", Json{{s, s}}}}}}})}},
              {{"role", "tool"}, {"tool_call_id", s}, {"content", s}}}},
            {"tools", Json::array({{{"type", "function"},
                                    {"function", {{"name", s}, {"description", s}, {"parameters", Json{{s, s}}}}}}})},
            {"chat_template_kwargs", {{"x", s}}},
            {"reasoning_effort", "low"}};
  };
  // ChatML: two for the tools and for each message, one for the answer, and the cue.
  EXPECT_EQ(ControlTokens(server, body("x")), 12);
  EXPECT_EQ(ControlTokens(server, body(all)), 12);
}

TEST(ServiceTest, AnAnswerDependsOnItsRequestAlone) {
  ScriptServer server;
  // Logits of 25.6 against noise: at this temperature nearly every token may come.
  const Json hot = {{"prompt", "once upon a time"},
                    {"temperature", 40},
                    {"top_p", 1},
                    {"top_k", 0},
                    {"min_p", 0},
                    {"seed", 7},
                    {"max_tokens", 40},
                    {"logprobs", 0}};
  const auto tokens = [&](const Json& body) { return server.Ask(kText, body)["choices"][0]["logprobs"]["tokens"]; };
  const Json alone = tokens(hot);
  Json other = hot;
  other["seed"] = 8;
  EXPECT_NE(tokens(other), alone);
  std::vector<std::shared_ptr<testing::FakeExchange>> rest;
  for (size_t i = 0; i < 15; i++) {
    other["seed"] = 100 + i, other["max_tokens"] = 20 + 10 * i, other["prompt"] = std::string(1 + 40 * i, 'p');
    rest.push_back(server.Send("POST", kText, other.dump()));
  }
  EXPECT_EQ(tokens(hot), alone);
  for (const auto& x : rest) EXPECT_EQ(x->Wait().status, 200);
}

TEST(ServiceTest, PrefixesAreSharedByThoseWhoAskForIt) {
  const std::string text(300, 'x');  // four blocks of 64 and more
  const auto cached = [](const Json& answer) {
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"].get<int>();
  };
  ScriptServer server;
  EXPECT_EQ(cached(server.Ask(kChat, Chat(text))), 0);
  const Json again = server.Ask(kChat, Chat(text));
  EXPECT_GE(cached(again), 256);
  EXPECT_EQ(again["timings"]["cache_n"], cached(again));
  EXPECT_EQ(again["timings"]["prompt_n"].get<int>() + cached(again), again["usage"]["prompt_tokens"]);
  EXPECT_EQ(cached(server.Ask(kChat, Chat(text, {{"cache_salt", "a"}}))), 0);
  EXPECT_GE(cached(server.Ask(kChat, Chat(text, {{"cache_salt", "a"}}))), 256);
  EXPECT_EQ(cached(server.Ask(kChat, Chat(text, {{"cache_prompt", false}}))), 0);
  EXPECT_EQ(cached(server.Ask(kChat, Chat(text, {{"cache_prompt", false}}))), 0);

  ScriptServer keys({.service = {.guard = {.keys = ApiKeys({"one", "two"})}}});
  const Headers one = {{"x-api-key", "one"}}, two = {{"x-api-key", "two"}};
  EXPECT_EQ(cached(keys.Ask(kChat, Chat(text), one)), 0);
  EXPECT_EQ(cached(keys.Ask(kChat, Chat(text), two)), 0);
  EXPECT_GE(cached(keys.Ask(kChat, Chat(text), one)), 256);
}

TEST(ServiceTest, PromptsThatDoNotFitAreRefused) {
  ScriptServer server;
  const Response r = server.Post(kChat, Chat(std::string(9000, 'x')));
  EXPECT_EQ(r.status, 400);
  const Json error = Json::parse(r.body)["error"];
  EXPECT_EQ(error["code"], "context_length_exceeded");
  EXPECT_EQ(error["param"], "messages");
  EXPECT_EQ(error["type"], "invalid_request_error");
  EXPECT_EQ(Json::parse(server.Post(kText, {{"prompt", std::string(9000, 'x')}, {"n", 3}}).body)["error"]["param"],
            "prompt");
  EXPECT_TRUE(server.Idle());
}

}  // namespace
}  // namespace bonsai::server
