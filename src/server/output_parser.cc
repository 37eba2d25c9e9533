#include "server/output_parser.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/json.h"

namespace bonsai::server {
namespace {

constexpr std::string_view kThink = "<think>", kThinkEnd = "</think>";
constexpr std::string_view kCallTag = "<tool_call>", kCallEnd = "</tool_call>";
/// Longer calls are taken for text: no real one comes near.
constexpr size_t kMaxCall = size_t{1} << 20;

bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

/// How many characters at the end of `text` may begin `tag`.
size_t Overlap(std::string_view text, std::string_view tag) {
  for (size_t n = std::min(text.size(), tag.size() - 1); n > 0; n--)
    if (text.substr(text.size() - n) == tag.substr(0, n)) return n;
  return 0;
}

/// The characters of a JSON string literal, quotes included; nothing when it is none.
std::string Unquote(const std::string& literal) {
  const Result<nlohmann::json> value = ParseJson("tool call", literal, {.bytes = kMaxCall});
  return value && value->is_string() ? value->get<std::string>() : "";
}

}  // namespace

bool ToolCallScanner::Push(char c) {
  const bool space = IsSpace(c);
  switch (state_) {
    case State::kStart:
      if (c == '{') state_ = State::kKey;
      return space || c == '{';
    case State::kKey:
      if (c == '"') key_ = c, state_ = State::kInKey, escaped_ = false;
      return space || c == '"';
    case State::kInKey:
      key_ += c;
      if (c == '"' && !escaped_) key_ = Unquote(key_), state_ = State::kColon;
      escaped_ = c == '\\' && !escaped_;
      return true;
    case State::kColon:
      if (c == ':') state_ = State::kValue;
      return space || c == ':';
    case State::kValue:
      if (space) return true;
      state_ = State::kInValue, value_.clear(), depth_ = 0, in_string_ = escaped_ = false;
      return PushValue(c);
    case State::kInValue:
      return PushValue(c);
    case State::kNext:
      if (c == ',') state_ = State::kKey;
      if (c == '}') state_ = State::kEnd;
      return space || c == ',' || c == '}';
    case State::kEnd:
      return space;
  }
  return false;
}

bool ToolCallScanner::PushValue(char c) {
  // Of a number, true, false or null only what follows shows the end.
  const bool scalar = depth_ == 0 && !in_string_ && !value_.empty() && value_[0] != '"';
  if (scalar && (c == ',' || c == '}' || IsSpace(c))) return EndValue() && Push(c);
  value_ += c;
  if (key_ == "arguments" && value_[0] != '"') arguments_ += c;
  if (in_string_) {
    if (c == '"' && !escaped_) {
      in_string_ = false;
      if (depth_ == 0) return EndValue();
    }
    escaped_ = c == '\\' && !escaped_;
    return true;
  }
  if (c == '"') in_string_ = true, escaped_ = false;
  if (c == '{' || c == '[') depth_++;
  if (c == '}' || c == ']') {
    if (depth_ == 0) return false;
    if (--depth_ == 0) return EndValue();
  }
  return true;
}

bool ToolCallScanner::EndValue() {
  state_ = State::kNext;
  if (key_ == "name") {
    name_ = Unquote(value_);
    return !name_.empty();
  }
  if (key_ != "arguments") return true;
  if (value_[0] == '"') {  // JSON in a string, as the API itself has it
    arguments_ = Unquote(value_);
    return true;
  }
  return ParseJson("tool call", value_, {.bytes = kMaxCall}).has_value();
}

std::string ToolCallScanner::TakeArguments() { return name_.empty() ? "" : std::exchange(arguments_, {}); }

OutputParser::OutputParser(const OutputOptions& options, std::function<void(const OutputEvent&)> sink)
    : options_(options),
      sink_(std::move(sink)),
      mode_(options.starts_in_reasoning && options.reasoning ? Mode::kReasoning : Mode::kContent) {}

void OutputParser::Enter(Mode mode) {
  mode_ = mode;
  fresh_ = true;
  spaces_.clear();
}

/// White space before the first word of a part and after its last is not part of it.
void OutputParser::Emit(OutputEvent::Kind kind, std::string_view text) {
  size_t begin = 0, end = text.size();
  if (fresh_)
    while (begin < end && IsSpace(text[begin])) begin++;
  if (begin == end) return;
  while (end > begin && IsSpace(text[end - 1])) end--;
  if (end > begin) {
    sink_({kind, std::exchange(spaces_, {}) + std::string(text.substr(begin, end - begin)), 0});
    fresh_ = false;
  }
  spaces_ += text.substr(std::max(begin, end));
}

void OutputParser::Push(std::string_view text) {
  pending_ += text;
  while (Step()) {
  }
}

/// Handles a part of what is pending; false when more text is needed.
bool OutputParser::Step() {
  if (mode_ == Mode::kCall) return StepCall();
  if (mode_ == Mode::kReasoning) return StepText(kThinkEnd, Mode::kContent);
  // Reasoning comes first or not at all: later on, "<think>" is what the answer talks about.
  if (options_.reasoning && fresh_ && calls_ == 0) {
    const size_t begin = std::min(pending_.find_first_not_of(" \n\r\t"), pending_.size());
    const std::string_view rest = std::string_view(pending_).substr(begin);
    if (rest.starts_with(kThink)) {
      pending_.erase(0, begin + kThink.size());
      Enter(Mode::kReasoning);
      return true;
    }
    if (kThink.starts_with(rest)) return false;
  }
  return StepText(options_.tools ? kCallTag : std::string_view(), Mode::kCall);
}

/// Hands out text up to a tag; behind it `next` begins. Without a tag, all of it.
bool OutputParser::StepText(std::string_view tag, Mode next) {
  const auto kind = mode_ == Mode::kReasoning ? OutputEvent::Kind::kReasoning : OutputEvent::Kind::kContent;
  const size_t at = tag.empty() ? std::string::npos : pending_.find(tag);
  if (at != std::string::npos) {
    Emit(kind, std::string_view(pending_).substr(0, at));
    pending_.erase(0, at + tag.size());
    if (next == Mode::kCall) scanner_ = {}, call_text_.clear(), call_broken_ = call_named_ = false;
    Enter(next);
    return true;
  }
  const size_t keep = tag.empty() ? 0 : Overlap(pending_, tag);
  Emit(kind, std::string_view(pending_).substr(0, pending_.size() - keep));
  pending_.erase(0, pending_.size() - keep);
  return false;
}

bool OutputParser::StepCall() {
  const size_t at = pending_.find(kCallEnd);
  const size_t take = at != std::string::npos ? at : pending_.size() - Overlap(pending_, kCallEnd);
  for (const char c : pending_.substr(0, take)) {
    call_text_ += c;
    call_broken_ = call_broken_ || call_text_.size() > kMaxCall || !scanner_.Push(c);
    if (call_broken_ || scanner_.name().empty()) continue;
    if (!call_named_) sink_({OutputEvent::Kind::kCall, scanner_.name(), calls_});
    call_named_ = true;
  }
  if (call_named_ && !call_broken_)
    if (std::string more = scanner_.TakeArguments(); !more.empty())
      sink_({OutputEvent::Kind::kArguments, std::move(more), calls_});
  pending_.erase(0, take);
  if (at == std::string::npos) return false;
  pending_.erase(0, kCallEnd.size());
  Enter(Mode::kContent);
  if (call_named_)
    calls_++;
  else
    Emit(OutputEvent::Kind::kContent, std::string(kCallTag) + call_text_ + std::string(kCallEnd));
  return true;
}

void OutputParser::Finish() {
  if (mode_ == Mode::kCall) {
    // Cut off in the middle: what was announced stays, anything else is text.
    if (!call_named_) {
      const std::string text = std::string(kCallTag) + call_text_ + std::exchange(pending_, {});
      Enter(Mode::kContent);
      Emit(OutputEvent::Kind::kContent, text);
    } else {
      calls_++;
    }
    return;
  }
  const auto kind = mode_ == Mode::kReasoning ? OutputEvent::Kind::kReasoning : OutputEvent::Kind::kContent;
  Emit(kind, std::exchange(pending_, {}));
}

}  // namespace bonsai::server
