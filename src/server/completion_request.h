// The body of POST /v1/completions: text goes on where a prompt ends, without any template.
#pragma once

#include <optional>
#include <vector>

#include "server/generation_request.h"
#include "text/tokenizer.h"

namespace bonsai::server {

/// Most prompts in one request.
inline constexpr size_t kMaxPrompts = 16;

struct CompletionRequest {
  GenerationRequest generation;
  std::vector<std::vector<int32_t>> prompts;
  bool echo = false;  ///< The answer begins with the prompt.
};

/// Reads a request. `prompt` is a text, token ids, or an array of one of them; texts are encoded as the model expects
/// them, and control tokens in them stay plain text.
std::optional<ApiError> ReadCompletion(std::string_view body, const engine::GenerateOptions& defaults,
                                       const text::Tokenizer& tokenizer, CompletionRequest& request);

}  // namespace bonsai::server
