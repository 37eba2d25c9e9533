#include "text/chat_template.h"

#include <algorithm>
#include <array>
#include <utility>

#include "formats/metadata.h"
#include "text/jinja/evaluator.h"
#include "text/jinja/parser.h"

namespace bonsai::text {
namespace {

using Kind = Value::Kind;

constexpr std::array<std::string_view, 5> kInputs = {"messages", "tools", "add_generation_prompt", "bos_token",
                                                     "eos_token"};

Status AddVariables(const Value& variables, jinja::Frame& frame) {
  if (!variables.defined()) return {};
  if (!variables.is(Kind::kDict)) {
    return Error(ErrorCode::kInvalidArgument, "the variables must be a dictionary, not a {}", variables.KindName());
  }
  for (const auto& [key, value] : variables.dict()) {
    if (!key.is(Kind::kString)) return Error(ErrorCode::kInvalidArgument, "a variable's name is no string");
    const std::string& name = key.text().bytes();
    if (std::find(kInputs.begin(), kInputs.end(), name) != kInputs.end()) {
      return Error(ErrorCode::kInvalidArgument, "the variable {} cannot be replaced", formats::Quote(name));
    }
    frame.variables[name] = value;
  }
  return {};
}

RenderedPrompt Spans(const jinja::Text& text) {
  RenderedPrompt prompt;
  size_t begin = 0;
  for (const jinja::Text::Run& run : text.runs()) {
    prompt.spans.push_back({text.bytes().substr(begin, run.end - begin), run.trusted});
    begin = run.end;
  }
  return prompt;
}

}  // namespace

struct ChatTemplate::Impl {
  std::string name;
  jinja::Body body;
};

Value MessagesValue(const std::vector<ChatMessage>& messages) {
  jinja::List list;
  for (const ChatMessage& m : messages) {
    list.push_back(Value::Of(jinja::Dict{{Value("role"), Value(m.role)}, {Value("content"), Value(m.content)}}));
  }
  return Value::Of(std::move(list));
}

std::string RenderedPrompt::Text() const {
  std::string all;
  for (const Span& span : spans) all += span.text;
  return all;
}

std::vector<int32_t> RenderedPrompt::Encode(const Tokenizer& tokenizer) const {
  std::vector<TextSpan> parts;
  for (const Span& span : spans) parts.push_back({span.text, span.trusted});
  return tokenizer.EncodeSpans(parts);
}

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::~ChatTemplate() = default;

Result<std::unique_ptr<ChatTemplate>> ChatTemplate::Parse(std::string name, std::string_view source) {
  Result<jinja::Body> body = jinja::Parse(source);
  if (!body) return body.error().WithPrefix(name);
  auto impl = std::make_unique<Impl>(Impl{std::move(name), std::move(*body)});
  return std::unique_ptr<ChatTemplate>(new ChatTemplate(std::move(impl)));
}

Result<RenderedPrompt> ChatTemplate::Render(const ChatInput& input, const RenderLimits& limits) const {
  jinja::Frame frame;
  if (const Status added = AddVariables(input.variables, frame); !added) return added.error().WithPrefix(impl_->name);
  frame.variables["messages"] = input.messages;
  frame.variables["tools"] = input.tools.defined() ? input.tools : Value(nullptr);
  frame.variables["add_generation_prompt"] = Value(input.add_generation_prompt);
  frame.variables["bos_token"] = Value(jinja::Text(input.bos_token, true));
  frame.variables["eos_token"] = Value(jinja::Text(input.eos_token, true));
  jinja::Evaluator evaluator({limits.steps, limits.text_bytes}, input.now);
  const Result<jinja::Text> text = evaluator.Render(impl_->body, frame);
  if (!text) return text.error().WithPrefix(impl_->name);
  return Spans(*text);
}

}  // namespace bonsai::text
