#include "server/prompt.h"

namespace bonsai::server {

ChatDefaults DefaultsOf(const Service& s) {
  return {.options = s.model().defaults,
          .thinking = s.options().reasoning_budget != 0,
          .vocab = s.tokenizer().vocab_size()};
}

Result<text::RenderedPrompt> RenderPrompt(const Service& s, text::ChatInput input) {
  if (!s.chat_template()) return s.chat_template().error();
  input.bos_token = s.tokenizer().Piece(s.tokenizer().bos());
  input.eos_token = s.tokenizer().Piece(s.tokenizer().eos());
  return (*s.chat_template())->Render(input);
}

}  // namespace bonsai::server
