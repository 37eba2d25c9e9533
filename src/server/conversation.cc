#include "server/conversation.h"

#include <fmt/format.h>

#include <algorithm>

namespace bonsai::server {
namespace {

using text::Value;
using text::jinja::Dict;
using text::jinja::List;
using Kind = Value::Kind;
using Problem = std::optional<ApiError>;

constexpr std::string_view kRoles[] = {"system", "developer", "user", "assistant", "tool"};

Problem Wrong(std::string path, std::string_view what) {
  std::string message = fmt::format("'{}' {}", path, what);
  return ApiError{.message = std::move(message), .param = std::move(path)};
}

bool IsText(const Value* v) { return v != nullptr && v->is(Kind::kString); }
bool Absent(const Value* v) { return v == nullptr || v->is(Kind::kNull); }

/// Replaces or appends.
void Put(Dict& dict, std::string_view name, Value value) {
  for (auto& [key, old] : dict)
    if (key.is(Kind::kString) && key.text().bytes() == name) {
      old = std::move(value);
      return;
    }
  dict.emplace_back(Value(name), std::move(value));
}

/// [{"type": "text", "text": …}, …] → one text.
Problem JoinParts(const List& parts, const std::string& path, std::string& out) {
  for (size_t i = 0; i < parts.size(); i++) {
    const std::string here = fmt::format("{}[{}]", path, i);
    const Value* type = Member(parts[i], "type");
    if (!IsText(type)) return Wrong(here, "must be an object with a type");
    const Value* part = Member(parts[i], type->text().bytes() == "refusal" ? "refusal" : "text");
    if (type->text().bytes() != "text" && type->text().bytes() != "refusal")
      return Wrong(here, "is no text, and this model reads nothing else");
    if (!IsText(part)) return Wrong(here + ".text", "must be a string");
    out += part->text().bytes();
  }
  return {};
}

Problem NormalizeContent(const Value* content, const std::string& path, Dict& message) {
  if (Absent(content)) {
    Put(message, "content", Value(""));
    return {};
  }
  if (content->is(Kind::kString)) return {};
  if (!content->is(Kind::kList)) return Wrong(path, "must be a string or an array of parts");
  std::string text;
  if (Problem p = JoinParts(content->list(), path, text)) return p;
  Put(message, "content", Value(text));
  return {};
}

/// Arguments come as JSON text, which templates would quote once more, or as the object itself. A model may have
/// written text that is no JSON: a history with it is still a history.
Problem NormalizeCall(const Value& call, const std::string& path, Value& out) {
  const Value* function = Member(call, "function");
  if (function == nullptr || !function->is(Kind::kDict)) return Wrong(path, "must be an object with a function");
  if (!IsText(Member(*function, "name"))) return Wrong(path + ".function.name", "must be a string");
  const Value* arguments = Member(*function, "arguments");
  Dict changed = function->dict();
  if (Absent(arguments)) {
    Put(changed, "arguments", Value::Of(Dict{}));
  } else if (arguments->is(Kind::kString)) {
    const std::string& json = arguments->text().bytes();
    if (json.find_first_not_of(" \t\r\n") == std::string::npos) {
      Put(changed, "arguments", Value::Of(Dict{}));
    } else if (auto parsed = text::ValueFromJson(path, json); parsed && parsed->is(Kind::kDict)) {
      Put(changed, "arguments", std::move(*parsed));
    }
  } else if (!arguments->is(Kind::kDict)) {
    return Wrong(path + ".function.arguments", "must be a string with JSON, or an object");
  }
  Dict whole = call.dict();
  Put(whole, "function", Value::Of(std::move(changed)));
  out = Value::Of(std::move(whole));
  return {};
}

Problem NormalizeCalls(const Value& calls, const std::string& path, Dict& message) {
  if (!calls.is(Kind::kList)) return Wrong(path, "must be an array");
  List out;
  for (size_t i = 0; i < calls.list().size(); i++) {
    out.emplace_back();
    if (Problem p = NormalizeCall(calls.list()[i], fmt::format("{}[{}]", path, i), out.back())) return p;
  }
  Put(message, "tool_calls", Value::Of(std::move(out)));
  return {};
}

Problem NormalizeMessage(const Value& message, const std::string& path, Value& out) {
  if (!message.is(Kind::kDict)) return Wrong(path, "must be an object");
  const Value* role = Member(message, "role");
  if (!IsText(role) || std::find(std::begin(kRoles), std::end(kRoles), role->text().bytes()) == std::end(kRoles))
    return Wrong(path + ".role", fmt::format("must be one of {}", fmt::join(kRoles, ", ")));
  Dict changed = message.dict();
  if (role->text().bytes() == "developer") Put(changed, "role", Value("system"));
  const Value* content = Member(message, "content");
  const Value* calls = Member(message, "tool_calls");
  if (Absent(content) && role->text().bytes() != "assistant") return Wrong(path + ".content", "is missing");
  if (Problem p = NormalizeContent(content, path + ".content", changed)) return p;
  if (!Absent(calls))
    if (Problem p = NormalizeCalls(*calls, path + ".tool_calls", changed)) return p;
  out = Value::Of(std::move(changed));
  return {};
}

}  // namespace

const Value* Member(const Value& object, std::string_view name) {
  if (!object.is(Kind::kDict)) return nullptr;
  for (const auto& [key, value] : object.dict())
    if (key.is(Kind::kString) && key.text().bytes() == name) return &value;
  return nullptr;
}

Problem NormalizeMessages(const Value& messages, Value& out) {
  if (!messages.is(Kind::kList) || messages.list().empty())
    return Wrong("messages", "must be an array of at least one message");
  List list;
  for (size_t i = 0; i < messages.list().size(); i++) {
    list.emplace_back();
    if (Problem p = NormalizeMessage(messages.list()[i], fmt::format("messages[{}]", i), list.back())) return p;
  }
  out = Value::Of(std::move(list));
  return {};
}

Problem CheckTools(const Value& tools) {
  if (!tools.is(Kind::kList)) return Wrong("tools", "must be an array");
  for (size_t i = 0; i < tools.list().size(); i++) {
    const std::string path = fmt::format("tools[{}]", i);
    const Value& tool = tools.list()[i];
    const Value* type = Member(tool, "type");
    if (!IsText(type) || type->text().bytes() != "function")
      return Wrong(path + ".type", "must be \"function\": there are no other tools here");
    const Value* function = Member(tool, "function");
    if (function == nullptr || !IsText(Member(*function, "name")))
      return Wrong(path + ".function.name", "must be a string");
  }
  return {};
}

}  // namespace bonsai::server
