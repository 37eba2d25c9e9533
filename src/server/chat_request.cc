#include "server/chat_request.h"

#include <nlohmann/json.hpp>

#include "server/conversation.h"

namespace bonsai::server {
namespace {

using Json = nlohmann::json;
using text::Value;
using text::jinja::Dict;

/// Fields that change what an answer is, and that we do not have.
void RefuseWhatIsMissing(Fields& f) {
  const auto not_yet = [&](const char* name, std::string_view what) {
    f.Fail(ApiError{.message = fmt::format("'{}': {}", f.PathOf(name), what), .param = name, .code = "unsupported"});
  };
  if (const Json* format = f.Find("response_format")) {
    Fields fields(*format, "response_format");
    const std::string type = fields.Text("type", "", 64);
    if (!fields.ok()) return f.Fail(*fields.error());
    if (type != "text") not_yet("response_format", fmt::format("output of the type '{}' cannot be enforced yet", type));
  }
  for (const char* name : {"functions", "function_call"})
    if (f.Find(name) != nullptr) not_yet(name, "was replaced by 'tools' and 'tool_choice'");
  for (const char* name : {"audio", "web_search_options", "grammar", "json_schema"})
    if (f.Find(name) != nullptr) not_yet(name, "is not supported");
  if (const Json* modalities = f.Find("modalities"); modalities != nullptr && *modalities != Json::array({"text"}))
    not_yet("modalities", "this model writes text only");
}

/// Whether tools are offered to the model.
bool ReadToolChoice(Fields& f) {
  const Json* choice = f.Find("tool_choice");
  const bool any = f.Find("tools") != nullptr && !f.Find("tools")->empty();
  if (choice == nullptr || *choice == "auto") return any;
  if (*choice == "none") return false;
  const bool known = *choice == "required" || choice->is_object();
  f.Fail(ApiError{.message = known ? "'tool_choice': a call cannot be enforced yet; use \"auto\" or \"none\""
                                   : "'tool_choice' must be \"auto\", \"none\", \"required\" or a function",
                  .param = "tool_choice",
                  .code = known ? "unsupported" : ""});
  return false;
}

void ReadLogprobs(Fields& f, engine::GenerateOptions& o) {
  const bool wanted = f.Bool("logprobs", false);
  const auto top = static_cast<int32_t>(f.Integer("top_logprobs", 0, 0, kMaxTopLogprobs));
  if (top > 0 && !wanted) f.Fail("top_logprobs", "needs 'logprobs': true");
  if (wanted) o.logprobs = top;
}

/// Variables of the template: what the request says, then what follows from `reasoning_effort` and the server's flags.
Value Variables(Fields& f, const Value* kwargs, bool thinking) {
  const std::string effort = f.Text("reasoning_effort", "", 32);
  Dict out = kwargs != nullptr && kwargs->is(Value::Kind::kDict) ? kwargs->dict() : Dict{};
  const auto add = [&](const char* name, Value value) {
    if (kwargs == nullptr || Member(*kwargs, name) == nullptr) out.emplace_back(Value(name), std::move(value));
  };
  if (!effort.empty()) add("reasoning_effort", Value(effort));
  if (!thinking || effort == "none" || effort == "minimal") add("enable_thinking", Value(false));
  return Value::Of(std::move(out));
}

std::optional<ApiError> FillInput(std::string_view body, Fields& f, bool thinking, bool tools, text::ChatInput& input) {
  // Read once more, because here the order of keys counts: a tool's schema goes into the prompt as it came.
  const auto ordered = text::ValueFromJson("the request's body", body);
  if (!ordered) return ToApiError(ordered.error());
  const Value* messages = Member(*ordered, "messages");
  if (auto e = NormalizeMessages(messages != nullptr ? *messages : Value(nullptr), input.messages)) return e;
  if (tools) {
    input.tools = *Member(*ordered, "tools");
    if (auto e = CheckTools(input.tools)) return e;
  }
  const Value* kwargs = Member(*ordered, "chat_template_kwargs");
  if (kwargs != nullptr && !kwargs->is(Value::Kind::kDict) && !kwargs->is(Value::Kind::kNull))
    f.Fail("chat_template_kwargs", "must be an object");
  input.variables = Variables(f, kwargs, thinking);
  return f.error();
}

}  // namespace

std::optional<ApiError> ReadChat(std::string_view body, const ChatDefaults& defaults, ChatRequest& request) {
  std::optional<ApiError> error;
  const Json json = ParseBody(body, error, kMaxChatValues);
  if (error) return error;
  Fields f(json);
  RefuseWhatIsMissing(f);
  request.generation = ReadGeneration(f, defaults.options, defaults.vocab);
  ReadLogprobs(f, request.generation.options);
  request.tools = ReadToolChoice(f);
  request.parallel_calls = f.Bool("parallel_tool_calls", true);
  if (!f.ok()) return f.error();
  return FillInput(body, f, defaults.thinking, request.tools, request.input);
}

std::optional<ApiError> ReadConversation(std::string_view body, const ChatDefaults& defaults, text::ChatInput& input) {
  std::optional<ApiError> error;
  const Json json = ParseBody(body, error, kMaxChatValues);
  if (error) return error;
  Fields f(json);
  input.add_generation_prompt = f.Bool("add_generation_prompt", true);
  const bool tools = ReadToolChoice(f);
  if (!f.ok()) return f.error();
  return FillInput(body, f, defaults.thinking, tools, input);
}

}  // namespace bonsai::server
