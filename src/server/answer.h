// One request's generations and its answer: one JSON document, or a stream of server-sent events.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "server/choice.h"
#include "server/generation_request.h"
#include "server/service.h"

namespace bonsai::server {

struct AnswerPlan {
  bool chat = true;  ///< chat.completion, else text_completion.
  GenerationRequest generation;
  /// generation.choices answers for each.
  std::vector<std::vector<int32_t>> prompts;
  std::function<std::unique_ptr<Choice>(int index, size_t prompt)> make_choice;
  /// For each choice; may be empty.
  std::function<std::shared_ptr<engine::LogitsProcessor>()> make_processor;
  std::string id;  ///< "chatcmpl-…"
};

/// Starts generating. Answers through the call's exchange, now (what the engine refuses) or later, and logs it.
void StartAnswer(Service& service, const Call& call, AnswerPlan plan);

/// "chatcmpl-" and 24 random letters and digits.
std::string NewId(std::string_view prefix);

}  // namespace bonsai::server
