// POST /v1/chat/completions and POST /v1/completions.
#include "server/answer.h"
#include "server/chat_request.h"
#include "server/completion_request.h"
#include "server/prompt.h"
#include "server/reasoning_budget.h"
#include "server/routes.h"

namespace bonsai::server::routes {
namespace {

/// Whether the prompt ends inside <think>: newer templates open it themselves.
bool EndsInReasoning(const std::string& prompt) {
  const size_t end = prompt.find_last_not_of(" \t\r\n");
  return end != std::string::npos && std::string_view(prompt).substr(0, end + 1).ends_with("<think>");
}

}  // namespace

std::optional<Response> ChatCompletions(Service& s, const Call& call) {
  ChatRequest request;
  if (const auto error = ReadChat(call.request().body, DefaultsOf(s), request)) return ToResponse(*error);
  const auto prompt = RenderPrompt(s, request.input);
  if (!prompt) return ToResponse(ToApiError(prompt.error()));
  const bool inside = EndsInReasoning(prompt->Text());
  const bool tools = request.tools, parallel = request.parallel_calls;
  const bool logprobs = request.generation.options.logprobs >= 0;
  const text::Tokenizer& tokenizer = s.tokenizer();
  AnswerPlan plan{.chat = true, .generation = std::move(request.generation), .id = NewId("chatcmpl-")};
  plan.prompts.push_back(prompt->Encode(tokenizer));
  plan.make_choice = [=, &tokenizer](int index, size_t) {
    return MakeChatChoice({.index = index,
                           .output = {.starts_in_reasoning = inside, .tools = tools},
                           .parallel_calls = parallel,
                           .logprobs = logprobs,
                           .call_id_prefix = NewId("call_")},
                          tokenizer);
  };
  if (const int32_t budget = s.options().reasoning_budget; budget > 0)
    plan.make_processor = [=, &tokenizer] { return std::make_shared<ReasoningBudget>(tokenizer, budget, inside); };
  StartAnswer(s, call, std::move(plan));
  return std::nullopt;
}

std::optional<Response> Completions(Service& s, const Call& call) {
  CompletionRequest request;
  const text::Tokenizer& tokenizer = s.tokenizer();
  if (const auto error = ReadCompletion(call.request().body, s.model().defaults, tokenizer, request))
    return ToResponse(*error);
  std::vector<std::string> echoes;
  for (const auto& ids : request.prompts) echoes.push_back(request.echo ? tokenizer.Decode(ids) : "");
  const bool logprobs = request.generation.options.logprobs >= 0;
  AnswerPlan plan{.chat = false,
                  .generation = std::move(request.generation),
                  .prompts = std::move(request.prompts),
                  .id = NewId("cmpl-")};
  plan.make_choice = [=, &tokenizer](int index, size_t prompt) {
    return MakeTextChoice({.index = index, .echo = echoes[prompt], .logprobs = logprobs}, tokenizer);
  };
  StartAnswer(s, call, std::move(plan));
  return std::nullopt;
}

}  // namespace bonsai::server::routes
