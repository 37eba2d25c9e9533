// Chat templates: messages → the prompt that a model was trained on. The template comes with the model
// (`tokenizer.chat_template`) and is written in Jinja; the dialect is that of Hugging Face's apply_chat_template.
//
//   BONSAI_ASSIGN(const auto chat, ChatTemplate::Parse("model.gguf", tokenizer->chat_template()));
//   ChatInput input{.messages = MessagesValue({{"user", "Why is the sky blue?"}})};
//   BONSAI_ASSIGN(const RenderedPrompt prompt, chat->Render(input));
//   const std::vector<int32_t> ids = prompt.Encode(*tokenizer);
//
// The prompt remembers which bytes the template's author wrote. Only these become control tokens: whatever a user, a
// document or a tool's answer contains stays plain text.
#pragma once

#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/jinja/value.h"
#include "text/tokenizer.h"

namespace bonsai::text {

using jinja::Value;
using jinja::ValueFromJson;

struct ChatMessage {
  std::string role, content;
};

/// [{"role": …, "content": …}, …]
Value MessagesValue(const std::vector<ChatMessage>& messages);

/// What a template sees, as OpenAI's API has it. Nothing in values made from texts or JSON is trusted.
struct ChatInput {
  Value messages;  ///< A list of dictionaries.
  Value tools;     ///< A list of dictionaries; undefined: none (the template then sees `none`, as in Python).
  bool add_generation_prompt = true;
  std::string bos_token, eos_token;  ///< Texts of the vocabulary's tokens, which the template may place: trusted.
  Value variables;                   ///< A dictionary of more variables ("enable_thinking": false), or undefined.
  std::function<std::tm()> now;      ///< For strftime_now; empty: the machine's local time.
};

/// What a render may cost; each limit is an error. A step is an expression, a statement, a list element or 64 bytes of
/// text that is read or made; a long conversation takes some 100,000.
struct RenderLimits {
  int64_t steps = 10'000'000;
  size_t text_bytes = size_t{64} << 20;  ///< Of the prompt and of every text on the way.
};

/// Text whose control tokens count (`trusted`) and text whose do not, in turns; no part is empty.
struct RenderedPrompt {
  struct Span {
    std::string text;
    bool trusted = false;
  };
  std::vector<Span> spans;

  /// All of it.
  std::string Text() const;
  /// Nothing is added: templates write the beginning-of-sequence token themselves.
  std::vector<int32_t> Encode(const Tokenizer& tokenizer) const;
};

/// Immutable: Render is thread safe.
class ChatTemplate {
 public:
  /// `name` is for messages. kCorrupt for what is no template, kUnsupported for a tag, filter or test that we do not
  /// have: "NAME: line N: what".
  static Result<std::unique_ptr<ChatTemplate>> Parse(std::string name, std::string_view source);
  ~ChatTemplate();

  /// kInvalidArgument: what the template itself refuses (raise_exception), an operation that the values do not have, a
  /// limit, or a variable that has the name of another input.
  Result<RenderedPrompt> Render(const ChatInput& input, const RenderLimits& limits = {}) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bonsai::text
