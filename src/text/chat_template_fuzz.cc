// Any bytes as a template, with a conversation whose text is easy to tell from it. What must hold: no crash, limits
// that hold, errors that name a place, and no trusted byte that the template's source does not have.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "text/chat_template.h"

namespace bonsai::text {
namespace {

/// Text of the messages. Where a template does not write its first byte, that byte is never trusted.
constexpr std::string_view kForeign = "\xf0\x9f\x8d\x8e";

void Check(std::string_view source) {
  const auto chat = ChatTemplate::Parse("fuzz", source);
  if (!chat) {
    BONSAI_CHECK(chat.error().message().starts_with("fuzz: "));
    return;
  }
  static const Value variables = *ValueFromJson(
      "variables", R"({"l": [3, 1, 2.5, null, "x"], "d": {"b": 1, "items": [true]}, "s": " a b\n", "n": -7})");
  static const Value tools = *ValueFromJson("tools", R"([{"function": {"name": "f", "parameters": {"type": "x"}}}])");
  const std::string foreign(kForeign);
  ChatInput input{
      .messages = MessagesValue({{"system", foreign}, {"user", "a " + foreign + " b"}, {"assistant", foreign}}),
      .tools = tools,
      .bos_token = "<s>",
      .eos_token = "</s>",
      .variables = variables,
      .now = [] { return std::tm{}; }};
  const RenderLimits limits{.steps = 100'000, .text_bytes = size_t{1} << 16};
  const auto prompt = (*chat)->Render(input, limits);
  if (!prompt) {
    BONSAI_CHECK(prompt.error().message().starts_with("fuzz: line "));
    return;
  }
  const bool own = source.find('\xf0') == std::string_view::npos && source.find('\\') == std::string_view::npos;
  bool before = !prompt->spans.empty() && !prompt->spans[0].trusted;
  for (const RenderedPrompt::Span& span : prompt->spans) {
    BONSAI_CHECK(!span.text.empty() && span.trusted != before);  // they take turns
    before = span.trusted;
    if (own && span.trusted) BONSAI_CHECK(span.text.find(kForeign[0]) == std::string::npos);
  }
  BONSAI_CHECK(prompt->Text().size() <= limits.text_bytes);
}

}  // namespace
}  // namespace bonsai::text

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  bonsai::text::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
