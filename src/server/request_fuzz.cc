// Any bytes as the body of a request. What must hold: no crash, no endless work, errors of the client's own kind, a
// prompt in which only the template's author writes control tokens, and counts within their caps.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "server/chat_request.h"
#include "server/completion_request.h"
#include "server/conversation.h"
#include "text/test_vocabulary.h"

namespace bonsai::server {
namespace {

/// ChatML with tools and calls, as models have it.
constexpr const char* kTemplate =
    "{%- if tools %}{{ '<|im_start|>system\n' }}{%- for t in tools %}{{ t | tojson }}{%- endfor %}{{ '<|im_end|>' }}"
    "{%- endif %}{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}"
    "{%- for c in m.tool_calls or [] %}{{ c.function.name }}{{ c.function.arguments | tojson }}{%- endfor %}"
    "{{ '<|im_end|>' }}{%- endfor %}{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{ '<think></think>' }}{%- endif %}{%- endif %}";

struct Model {
  std::unique_ptr<text::Tokenizer> tokenizer;
  std::unique_ptr<text::ChatTemplate> chat;
};

Model MakeModel() {
  text::TestVocabulary v;
  for (int b = 0; b < 256; b++) v.Add(text::ByteChar(b));
  v.Add("<|im_start|>", 3), v.Add("<|im_end|>", 3);
  auto tokenizer = text::Tokenizer::FromMetadata(v.Build());
  auto chat = text::ChatTemplate::Parse("fuzz", kTemplate);
  BONSAI_CHECK(tokenizer && chat);
  return {std::move(*tokenizer), std::move(*chat)};
}

void CheckError(const ApiError& error) {
  BONSAI_CHECK(error.status >= 400 && error.status < 500 && !error.message.empty());
  BONSAI_CHECK(!ToResponse(error).body.empty());
}

void CheckGeneration(const GenerationRequest& g) {
  BONSAI_CHECK(g.choices >= 1 && g.choices <= kMaxChoices);
  BONSAI_CHECK(g.options.stop.size() <= kMaxStops && g.options.logit_bias.size() <= kMaxLogitBiases);
  BONSAI_CHECK(engine::Validate(g.options, 258).ok());
}

void Check(std::string_view body) {
  static const Model model = MakeModel();
  const ChatDefaults defaults{.vocab = model.tokenizer->vocab_size()};
  ChatRequest chat;
  if (const auto error = ReadChat(body, defaults, chat)) {
    CheckError(*error);
  } else {
    CheckGeneration(chat.generation);
    const auto prompt = model.chat->Render(chat.input, {.steps = 100'000, .text_bytes = size_t{1} << 20});
    if (prompt) {
      const size_t messages = chat.input.messages.list().size();
      size_t control = 0;
      for (const int32_t id : prompt->Encode(*model.tokenizer)) control += model.tokenizer->IsControl(id) ? 1 : 0;
      BONSAI_CHECK(control == 2 * messages + (chat.tools ? 2 : 0) + 1);
    }
  }
  text::ChatInput input;
  if (const auto error = ReadConversation(body, defaults, input)) CheckError(*error);
  CompletionRequest completion;
  if (const auto error = ReadCompletion(body, {}, *model.tokenizer, completion)) {
    CheckError(*error);
  } else {
    CheckGeneration(completion.generation);
    BONSAI_CHECK(!completion.prompts.empty() && completion.prompts.size() <= kMaxPrompts);
  }
  if (const auto value = text::ValueFromJson("fuzz", body)) {
    text::Value out;
    if (const auto error = NormalizeMessages(*value, out)) CheckError(*error);
  }
}

}  // namespace
}  // namespace bonsai::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  bonsai::server::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
