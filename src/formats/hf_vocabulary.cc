#include "formats/hf_vocabulary.h"

#include <algorithm>
#include <utility>

namespace bonsai::formats {

Status HfVocabulary::Add(std::string_view text, int64_t id, HfTokenType type) {
  const auto at = ids_.emplace(text, id).first;
  if (at->second != id) {
    return Error(ErrorCode::kCorrupt, "token {} has the ids {} and {}", Quote(text), at->second, id);
  }
  if (id >= size()) tokens_.resize(static_cast<size_t>(id) + 1);
  Token& token = tokens_[static_cast<size_t>(id)];
  if (token.present && token.text != text) {
    return Error(ErrorCode::kCorrupt, "tokens {} and {} have the id {}", Quote(token.text), Quote(text), id);
  }
  token.text = text;
  token.type = type;
  token.present = true;
  return {};
}

Status HfVocabulary::AddMerge(std::string text) {
  const size_t space = text.find(' ');
  if (space == 0 || space >= text.size() - 1 || text.find(' ', space + 1) != std::string::npos) {
    return Error(ErrorCode::kCorrupt, "merge {} is not two tokens with a space between them", merges_.size());
  }
  merges_.push_back(std::move(text));
  return {};
}

void HfVocabulary::MarkBytes() {
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
  for (Token& token : tokens_) {
    const std::string& t = token.text;
    if (t.size() == 6 && t.starts_with("<0x") && is_hex(t[3]) && is_hex(t[4]) && t[5] == '>') token.type = kHfByte;
  }
}

void HfVocabulary::FillUp(int64_t rows) {
  tokens_.resize(static_cast<size_t>(std::max(size(), rows)));
  for (size_t i = 0; i < tokens_.size(); i++) {
    Token& t = tokens_[i];
    if (t.present) continue;
    t.text = fmt::format("[PAD{}]", i);
    while (!ids_.emplace(t.text, static_cast<int64_t>(i)).second) t.text += '_';
  }
}

int64_t HfVocabulary::Find(std::string_view text) const {
  const auto at = ids_.find(text);
  return at == ids_.end() ? -1 : at->second;
}

/// Of the first merge that makes a token: 0, −1, −2 and so on; lower than all for other text, 0 for what is no text.
std::vector<double> HfVocabulary::Scores() const {
  const auto none = -static_cast<double>(merges_.size());
  std::vector<double> scores;
  for (const Token& t : tokens_) scores.push_back(t.type == kHfNormal ? none : 0);
  std::string joined;
  for (size_t i = merges_.size(); i-- > 0;) {
    const size_t space = merges_[i].find(' ');
    joined.assign(merges_[i], 0, space).append(merges_[i], space + 1, std::string::npos);
    if (const int64_t id = Find(joined); id >= 0) scores[static_cast<size_t>(id)] = -static_cast<double>(i);
  }
  return scores;
}

Status HfVocabulary::Emit(Metadata& metadata, bool with_scores) const {
  StringList texts, merges;
  std::vector<int64_t> types;
  for (const Token& t : tokens_) texts.Add(t.text), types.push_back(t.type);
  for (const std::string& merge : merges_) merges.Add(merge);
  const auto add = [&](std::string_view key, ValueKind element, Array data) {
    return metadata.Add(fmt::format("tokenizer.ggml.{}", key),
                        {.kind = ValueKind::kArray, .element = element, .data = std::move(data)});
  };
  BONSAI_RETURN_IF_ERROR(add("tokens", ValueKind::kString, std::move(texts)));
  BONSAI_RETURN_IF_ERROR(add("token_type", ValueKind::kI32, std::move(types)));
  if (with_scores) BONSAI_RETURN_IF_ERROR(add("scores", ValueKind::kF32, Scores()));
  return add("merges", ValueKind::kString, std::move(merges));
}

}  // namespace bonsai::formats
