// A conversation, and the prompt that a model sees of it.
//
//   BONSAI_ASSIGN(const ChatPrompter prompter, ChatPrompter::Make(tokenizer, "model.gguf", {}));
//   Conversation c{.system = "Be brief."};
//   c.turns.push_back({"Why is the sky blue?", std::nullopt});
//   BONSAI_ASSIGN(const ChatPrompt prompt, prompter.Fit(c, context, -1));   // may raise c.first
//   c.turns.back().answer = ...;
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/chat_template.h"

namespace bonsai::cli {

/// What somebody said, and what the model answered: nothing yet, or perhaps an empty text.
struct Turn {
  std::string user;
  std::optional<std::string> answer;
};

/// A value. Only the last turn may lack its answer.
struct Conversation {
  std::string system = {};  ///< The system prompt; empty: none.
  std::vector<Turn> turns = {};
  size_t first = 0;  ///< The first turn that the model still sees; those before it were dropped.

  /// The system prompt and the turns from `from` on.
  std::vector<text::ChatMessage> Messages(size_t from) const;
  /// {"messages": [{"role", "content"}, …]} as in OpenAI's API, dropped turns included; bytes that are not UTF-8 become
  /// U+FFFD.
  std::string ToJson() const;
  /// Reads such a document, from anyone; other keys are ignored. kCorrupt names `name` and the place: JSON that is
  /// broken or larger than kMaxBytes, contents that are not texts, or roles in another order than system (perhaps),
  /// user, assistant, user, … Ending with a user is fine.
  static Result<Conversation> FromJson(std::string_view name, std::string_view text);
  static constexpr size_t kMaxBytes = size_t{64} << 20;
};

/// What a template sees beside the messages.
struct ChatVariables {
  std::string json = {};      ///< A JSON object of variables; empty: none.
  int reasoning_budget = -1;  ///< 0 sets enable_thinking to false; -1 sets nothing.
  bool empty() const { return json.empty() && reasoning_budget != 0; }
};

struct ChatPrompt {
  std::vector<int32_t> ids;
  bool in_reasoning = false;  ///< It has opened <think>: the answer begins with reasoning.
};

/// A model's chat template, ready for use. Const methods are thread safe.
class ChatPrompter {
 public:
  /// `tokenizer` outlives it; `file` is for messages. kUnsupported when there is no template; kInvalidArgument for
  /// variables that are not a JSON object; errors of text::ChatTemplate::Parse.
  static Result<ChatPrompter> Make(const text::Tokenizer& tokenizer, const std::string& file,
                                   const ChatVariables& variables);

  /// What the model is to continue. Only what the template itself says becomes control tokens. Errors of
  /// text::ChatTemplate::Render.
  Result<ChatPrompt> Render(const std::vector<text::ChatMessage>& messages) const;

  /// The prompt of the turns from c.first on, with room for an answer in `context` tokens: for max_new of them, or a
  /// quarter of the context if that is less or max_new is negative. Where there is no such room the oldest turns go
  /// (c.first rises) until half of the context is free, so that not each turn changes the beginning of the prompt, and
  /// with it all that the cache holds. The last turn stays, with as little room as it leaves. kInvalidArgument when
  /// that alone fills the context; then, as with errors of Render, nothing has changed. `c` has a turn.
  Result<ChatPrompt> Fit(Conversation& c, int32_t context, int32_t max_new) const;

 private:
  explicit ChatPrompter(const text::Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  const text::Tokenizer* tokenizer_;
  std::unique_ptr<text::ChatTemplate> template_;
  text::Value variables_;
};

}  // namespace bonsai::cli
