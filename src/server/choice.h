// One of the answers to a request while it is made: tokens in, JSON out, in OpenAI's form for chats or for texts.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/generation.h"
#include "server/output_parser.h"
#include "text/tokenizer.h"

namespace bonsai::server {

/// Not thread safe. Order: Push …, Finish; Take after any of them.
class Choice {
 public:
  virtual ~Choice() = default;
  /// False when nothing more is wanted.
  virtual bool Push(const engine::Token& token) = 0;
  virtual void Finish(const engine::GenerateResult& result) = 0;
  /// "stop", "length" or "tool_calls": OpenAI's words.
  virtual std::string finish_reason() const = 0;
  /// For a stream: a choice of a chunk with what came since the last Take, null when that is nothing. After Finish the
  /// last one has the finish_reason.
  virtual nlohmann::json Take() = 0;
  /// For one answer: the whole choice.
  virtual nlohmann::json Whole() = 0;
  /// All text so far, as the model wrote it.
  virtual const std::string& text() const = 0;
  /// How many of the tokens were reasoning.
  virtual int reasoning_tokens() const { return 0; }
};

struct ChatChoiceOptions {
  int index = 0;
  OutputOptions output;
  bool parallel_calls = true;
  bool logprobs = false;
  std::string call_id_prefix;  ///< Ids of tool calls: this and a number.
};
/// `tokenizer` outlives it.
std::unique_ptr<Choice> MakeChatChoice(const ChatChoiceOptions& options, const text::Tokenizer& tokenizer);

struct TextChoiceOptions {
  int index = 0;
  std::string echo;  ///< Comes first.
  bool logprobs = false;
};
std::unique_ptr<Choice> MakeTextChoice(const TextChoiceOptions& options, const text::Tokenizer& tokenizer);

}  // namespace bonsai::server
