#include "server/choice.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "server/fields.h"

namespace bonsai::server {
namespace {

using Json = nlohmann::json;

/// A probability of nothing is -inf, which JSON does not have; OpenAI writes -9999.
double JsonLogprob(float logprob) { return std::max(static_cast<double>(logprob), -9999.0); }

std::string ReasonOf(const engine::GenerateResult& result) {
  using engine::FinishReason;
  // An endless repetition was cut off, as a length is.
  return result.reason == FinishReason::kLength || result.reason == FinishReason::kLoop ? "length" : "stop";
}

class ChoiceBase : public Choice {
 public:
  ChoiceBase(int index, bool logprobs, const text::Tokenizer& tokenizer)
      : index_(index), with_logprobs_(logprobs), tokenizer_(tokenizer) {}
  void Finish(const engine::GenerateResult& result) override { reason_ = ReasonOf(result); }
  std::string finish_reason() const override { return reason_; }
  const std::string& text() const override { return text_; }

 protected:
  const int index_;
  const bool with_logprobs_;
  const text::Tokenizer& tokenizer_;
  std::string text_;    // all of it
  std::string reason_;  // empty until the end
};

class ChatChoice final : public ChoiceBase {
 public:
  ChatChoice(const ChatChoiceOptions& o, const text::Tokenizer& tokenizer)
      : ChoiceBase(o.index, o.logprobs, tokenizer),
        options_(o),
        parser_(o.output, [this](const OutputEvent& e) { Take(e); }) {}

  bool Push(const engine::Token& token) override {
    reasoning_tokens_ += token.id >= 0 && parser_.reasoning() ? 1 : 0;
    if (with_logprobs_ && token.id >= 0) logprobs_.push_back(LogprobOf(token));
    text_ += token.text;
    parser_.Push(token.text);
    return options_.parallel_calls || parser_.calls() == 0;
  }

  void Finish(const engine::GenerateResult& result) override {
    parser_.Finish();
    ChoiceBase::Finish(result);
    // A call that was cut off must not look like one to run.
    if (parser_.calls() > 0 && reason_ != "length") reason_ = "tool_calls";
  }

  Json Take() override {
    Json delta = Json::object();
    const auto add = [&](const char* name, std::string& text) {
      if (!text.empty()) delta[name] = std::exchange(text, {});
    };
    add("reasoning_content", reasoning_);
    add("content", content_);
    if (!calls_.empty()) delta["tool_calls"] = std::exchange(calls_, Json::array());
    if (delta.empty() && reason_.empty()) return nullptr;
    const Json reason = reason_.empty() ? Json(nullptr) : Json(reason_);
    return {{"index", index_}, {"delta", std::move(delta)}, {"logprobs", TakeLogprobs()}, {"finish_reason", reason}};
  }

  Json Whole() override {
    Json message = {{"role", "assistant"}, {"refusal", nullptr}, {"content", content_}};
    if (!reasoning_.empty()) message["reasoning_content"] = reasoning_;
    if (!calls_.empty()) {
      for (Json& call : calls_) call.erase("index");
      message["tool_calls"] = calls_;
      if (content_.empty()) message["content"] = nullptr;
    }
    return {
        {"index", index_}, {"message", std::move(message)}, {"logprobs", TakeLogprobs()}, {"finish_reason", reason_}};
  }

  int reasoning_tokens() const override { return reasoning_tokens_; }

 private:
  void Take(const OutputEvent& e) {
    switch (e.kind) {
      case OutputEvent::Kind::kContent:
        content_ += e.text;
        break;
      case OutputEvent::Kind::kReasoning:
        reasoning_ += e.text;
        break;
      case OutputEvent::Kind::kCall:
        calls_.push_back({{"index", e.call},
                          {"id", fmt::format("{}{}", options_.call_id_prefix, e.call)},
                          {"type", "function"},
                          {"function", {{"name", e.text}, {"arguments", ""}}}});
        break;
      case OutputEvent::Kind::kArguments:
        // Of a call whose beginning has been taken already, only the arguments go on.
        if (calls_.empty() || calls_.back()["index"] != e.call)
          calls_.push_back({{"index", e.call}, {"function", {{"arguments", ""}}}});
        calls_.back()["function"]["arguments"].get_ref<std::string&>() += e.text;
        break;
    }
  }

  Json OneLogprob(int32_t id, float logprob) const {
    const std::string_view piece = tokenizer_.Piece(id);
    Json bytes = Json::array();
    for (const char c : piece) bytes.push_back(static_cast<unsigned char>(c));
    return {{"token", piece}, {"logprob", JsonLogprob(logprob)}, {"bytes", std::move(bytes)}};
  }

  Json LogprobOf(const engine::Token& token) const {
    Json one = OneLogprob(token.id, token.logprob), top = Json::array();
    for (const auto& [id, logprob] : token.top) top.push_back(OneLogprob(id, logprob));
    one["top_logprobs"] = std::move(top);
    return one;
  }

  Json TakeLogprobs() {
    if (!with_logprobs_) return nullptr;
    return {{"content", std::exchange(logprobs_, Json::array())}, {"refusal", nullptr}};
  }

  const ChatChoiceOptions options_;
  OutputParser parser_;
  std::string content_, reasoning_;
  Json calls_ = Json::array(), logprobs_ = Json::array();
  int reasoning_tokens_ = 0;
};

class TextChoice final : public ChoiceBase {
 public:
  TextChoice(const TextChoiceOptions& o, const text::Tokenizer& tokenizer)
      : ChoiceBase(o.index, o.logprobs, tokenizer), news_(o.echo) {
    offset_ = CodePoints(o.echo);
  }

  bool Push(const engine::Token& token) override {
    if (with_logprobs_ && token.id >= 0) Record(token);
    text_ += token.text;
    news_ += token.text;
    return true;
  }

  Json Take() override {
    if (news_.empty() && reason_.empty()) return nullptr;
    return Whole();
  }

  Json Whole() override {
    const Json reason = reason_.empty() ? Json(nullptr) : Json(reason_);
    return {{"index", index_},
            {"text", std::exchange(news_, {})},
            {"logprobs", with_logprobs_ ? std::exchange(logprobs_, NoLogprobs()) : Json(nullptr)},
            {"finish_reason", reason}};
  }

 private:
  static Json NoLogprobs() {
    return {{"tokens", Json::array()},
            {"token_logprobs", Json::array()},
            {"top_logprobs", Json::array()},
            {"text_offset", Json::array()}};
  }
  static int64_t CodePoints(std::string_view s) {
    return std::count_if(s.begin(), s.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
  }

  void Record(const engine::Token& token) {
    const std::string_view piece = tokenizer_.Piece(token.id);
    logprobs_["tokens"].push_back(piece);
    logprobs_["token_logprobs"].push_back(JsonLogprob(token.logprob));
    Json top = Json::object();
    for (const auto& [id, logprob] : token.top) top[std::string(tokenizer_.Piece(id))] = JsonLogprob(logprob);
    logprobs_["top_logprobs"].push_back(std::move(top));
    logprobs_["text_offset"].push_back(offset_);
    offset_ += CodePoints(piece);
  }

  std::string news_;
  Json logprobs_ = NoLogprobs();
  int64_t offset_ = 0;  // of the next token, in characters
};

}  // namespace

std::unique_ptr<Choice> MakeChatChoice(const ChatChoiceOptions& options, const text::Tokenizer& tokenizer) {
  return std::make_unique<ChatChoice>(options, tokenizer);
}

std::unique_ptr<Choice> MakeTextChoice(const TextChoiceOptions& options, const text::Tokenizer& tokenizer) {
  return std::make_unique<TextChoice>(options, tokenizer);
}

}  // namespace bonsai::server
