#include "server/completion_request.h"

#include <nlohmann/json.hpp>

namespace bonsai::server {
namespace {

using Json = nlohmann::json;

constexpr int32_t kDefaultMaxTokens = 16;  // OpenAI's
constexpr int kMaxCompletionLogprobs = 5;

void ReadPrompts(Fields& f, const text::Tokenizer& tokenizer, std::vector<std::vector<int32_t>>& prompts) {
  const Json* v = f.Find("prompt");
  if (v == nullptr) return f.Fail("prompt", "is missing");
  std::optional<ApiError> error;
  const auto add = [&](const Json& prompt, const std::string& path) {
    if (prompt.is_string()) {
      prompts.push_back(tokenizer.Encode(prompt.get_ref<const std::string&>(), {.add_special = true}));
    } else if (prompt.is_array()) {
      prompts.push_back(ReadTokens(prompt, path, tokenizer.vocab_size(), error));
    } else {
      error = ApiError{.message = fmt::format("'{}' must be a string or token ids, not {}", path, KindName(prompt)),
                       .param = path};
    }
  };
  const bool several = v->is_array() && !v->empty() && !v->front().is_number();
  if (several && v->size() > kMaxPrompts)
    return f.Fail("prompt", fmt::format("has {} prompts; at most {} are taken", v->size(), kMaxPrompts));
  if (several) {
    for (size_t i = 0; i < v->size() && !error; i++) add((*v)[i], fmt::format("prompt[{}]", i));
  } else {
    add(*v, "prompt");
  }
  if (error) return f.Fail(*error);
  for (const auto& ids : prompts)
    if (ids.empty()) return f.Fail("prompt", "is empty");
}

}  // namespace

std::optional<ApiError> ReadCompletion(std::string_view body, const engine::GenerateOptions& defaults,
                                       const text::Tokenizer& tokenizer, CompletionRequest& request) {
  std::optional<ApiError> error;
  const Json json = ParseBody(body, error);
  if (error) return error;
  Fields f(json);
  engine::GenerateOptions base = defaults;
  if (base.max_tokens < 0) base.max_tokens = kDefaultMaxTokens;
  request.generation = ReadGeneration(f, base, tokenizer.vocab_size());
  request.echo = f.Bool("echo", false);
  const int64_t logprobs = f.Integer("logprobs", -1, 0, kMaxCompletionLogprobs);
  request.generation.options.logprobs = static_cast<int32_t>(logprobs);
  if (request.echo && logprobs >= 0) f.Fail("logprobs", "of the prompt ('echo') are not computed");
  if (f.Find("suffix") != nullptr) f.Fail("suffix", "is not supported: text is written at the end only");
  const int64_t best_of = f.Integer("best_of", request.generation.choices, 1, kMaxChoices);
  if (best_of != request.generation.choices) f.Fail("best_of", "is not supported: it must equal 'n'");
  if (f.ok()) ReadPrompts(f, tokenizer, request.prompts);
  if (f.ok() && request.prompts.size() * static_cast<size_t>(request.generation.choices) > kMaxPrompts)
    f.Fail("n", fmt::format("times the number of prompts is more than {}", kMaxPrompts));
  return f.error();
}

}  // namespace bonsai::server
