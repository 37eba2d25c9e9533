// The body of POST /v1/chat/completions: OpenAI's fields, and the conversation as the model's template wants it.
#pragma once

#include <optional>
#include <string>

#include "server/generation_request.h"
#include "text/chat_template.h"

namespace bonsai::server {

struct ChatRequest {
  GenerationRequest generation;
  /// messages, tools, variables; the caller adds the vocabulary's texts.
  text::ChatInput input;
  bool tools = false;          ///< Tool calls may come.
  bool parallel_calls = true;  ///< More than one of them.
};

/// What a request may leave out.
struct ChatDefaults {
  engine::GenerateOptions options;
  bool thinking = true;  ///< False: as if every request had enable_thinking false, unless it says otherwise.
  int32_t vocab = 0;
};

/// Reads a request. The error says which field, as "messages[2].tool_calls[0].function". What we cannot do yet
/// (images, audio, output that must match a schema) is refused by name, never ignored; unknown fields are ignored.
std::optional<ApiError> ReadChat(std::string_view body, const ChatDefaults& defaults, ChatRequest& request);

/// The part that POST /apply-template has, too: messages, tools and variables.
std::optional<ApiError> ReadConversation(std::string_view body, const ChatDefaults& defaults, text::ChatInput& input);

}  // namespace bonsai::server
