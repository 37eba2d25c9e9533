#include "cli/conversation.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "formats/metadata.h"

namespace bonsai::cli {
namespace {

using nlohmann::json;

/// One of the messages of a document that anyone may have written.
Result<text::ChatMessage> ReadMessage(std::string_view name, size_t i, const json& message) {
  const auto fail = [&](std::string_view what) {
    return Error(ErrorCode::kCorrupt, "{}: messages[{}]: {}", name, i, what);
  };
  if (!message.is_object()) return fail("is no object");
  const auto role = message.find("role"), content = message.find("content");
  if (role == message.end() || !role->is_string()) return fail("has no role");
  if (content == message.end() || !content->is_string()) return fail("has no content that is a text");
  return text::ChatMessage{role->get<std::string>(), content->get<std::string>()};
}

}  // namespace

std::vector<text::ChatMessage> Conversation::Messages(size_t from) const {
  std::vector<text::ChatMessage> messages;
  if (!system.empty()) messages.push_back({"system", system});
  for (size_t i = from; i < turns.size(); i++) {
    messages.push_back({"user", turns[i].user});
    if (turns[i].answer) messages.push_back({"assistant", *turns[i].answer});
  }
  return messages;
}

std::string Conversation::ToJson() const {
  using nlohmann::ordered_json;
  ordered_json messages = ordered_json::array();
  for (const auto& m : Messages(0)) messages.push_back(ordered_json{{"role", m.role}, {"content", m.content}});
  return ordered_json{{"messages", std::move(messages)}}.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<Conversation> Conversation::FromJson(std::string_view name, std::string_view text) {
  BONSAI_ASSIGN(const json document, ParseJson(name, text, {.bytes = kMaxBytes, .values = 1'000'000}));
  const auto messages = document.is_object() ? document.find("messages") : document.end();
  if (!document.is_object() || messages == document.end() || !messages->is_array())
    return Error(ErrorCode::kCorrupt, "{}: is no conversation: it has no list of \"messages\"", name);
  Conversation c;
  for (size_t i = 0; i < messages->size(); i++) {
    BONSAI_ASSIGN(text::ChatMessage m, ReadMessage(name, i, (*messages)[i]));
    const bool answered = c.turns.empty() || c.turns.back().answer.has_value();
    if (m.role == "system" && i == 0)
      c.system = std::move(m.content);
    else if (m.role == "user" && answered)
      c.turns.push_back({std::move(m.content), std::nullopt});
    else if (m.role == "assistant" && !answered)
      c.turns.back().answer = std::move(m.content);
    else
      return Error(ErrorCode::kCorrupt, "{}: messages[{}]: the role is {} where {} is due", name, i,
                   formats::Quote(m.role), answered ? "user" : "assistant");
  }
  return c;
}

Result<ChatPrompter> ChatPrompter::Make(const text::Tokenizer& tokenizer, const std::string& file,
                                        const ChatVariables& variables) {
  if (tokenizer.chat_template().empty())
    return Error(ErrorCode::kUnsupported, "{}: has no chat template; `bonsai run` continues text with it", file);
  ChatPrompter p(tokenizer);
  BONSAI_ASSIGN(p.template_, text::ChatTemplate::Parse(file + ": tokenizer.chat_template", tokenizer.chat_template()));
  auto given = text::ValueFromJson("--chat-template-kwargs", variables.json.empty() ? "{}" : variables.json);
  if (!given) return Error(ErrorCode::kInvalidArgument, "{}", given.error().message());
  if (!given->is(text::Value::Kind::kDict))
    return Error(ErrorCode::kInvalidArgument, "--chat-template-kwargs: must be a JSON object, not a {}",
                 given->KindName());
  text::jinja::Dict all = given->dict();
  if (variables.reasoning_budget == 0) {
    std::erase_if(all, [](const auto& entry) { return entry.first.text().bytes() == "enable_thinking"; });
    all.emplace_back(text::Value("enable_thinking"), text::Value(false));
  }
  p.variables_ = text::Value::Of(std::move(all));
  return p;
}

Result<ChatPrompt> ChatPrompter::Render(const std::vector<text::ChatMessage>& messages) const {
  const auto piece = [&](int32_t id) { return std::string(tokenizer_->Piece(id)); };
  BONSAI_ASSIGN(const text::RenderedPrompt rendered, template_->Render({.messages = text::MessagesValue(messages),
                                                                        .bos_token = piece(tokenizer_->bos()),
                                                                        .eos_token = piece(tokenizer_->eos()),
                                                                        .variables = variables_}));
  const std::string text = rendered.Text();
  const size_t end = text.find_last_not_of(" \n\r\t");
  const bool in_reasoning = end != std::string::npos && std::string_view(text).substr(0, end + 1).ends_with("<think>");
  return ChatPrompt{rendered.Encode(*tokenizer_), in_reasoning};
}

Result<ChatPrompt> ChatPrompter::Fit(Conversation& c, int32_t context, int32_t max_new) const {
  BONSAI_CHECK(!c.turns.empty() && c.first < c.turns.size());
  const int32_t quarter = std::max(1, context / 4);
  const int32_t room = max_new < 0 ? quarter : std::min(quarter, std::max(1, max_new));
  const auto size = [](const ChatPrompt& p) { return static_cast<int64_t>(p.ids.size()); };
  BONSAI_ASSIGN(ChatPrompt prompt, Render(c.Messages(c.first)));
  size_t first = c.first;
  if (size(prompt) + room > context) {
    const int64_t most = std::min(context / 2, context - room);
    // The first turn from which on it is short enough, else the last turn; prompts shrink as it rises.
    size_t high = c.turns.size() - 1;
    for (size_t low = std::min(c.first + 1, high); low < high;) {
      const size_t middle = low + (high - low) / 2;
      BONSAI_ASSIGN(const ChatPrompt shorter, Render(c.Messages(middle)));
      if (size(shorter) <= most)
        high = middle;
      else
        low = middle + 1;
    }
    if (high != first) {
      first = high;
      BONSAI_ASSIGN(prompt, Render(c.Messages(first)));
    }
  }
  if (size(prompt) >= context)
    return Error(ErrorCode::kInvalidArgument,
                 "the message and the system prompt take {} tokens, and the context holds {} (-c makes it longer)",
                 prompt.ids.size(), context);
  c.first = first;
  return prompt;
}

}  // namespace bonsai::cli
