#include "text/vocabulary.h"

#include <optional>
#include <random>
#include <utility>

namespace bonsai::text {
namespace {

constexpr std::string_view kTokensKey = "tokenizer.ggml.tokens";
constexpr std::string_view kTypesKey = "tokenizer.ggml.token_type";
constexpr std::string_view kMergesKey = "tokenizer.ggml.merges";
constexpr std::string_view kUnknownKey = "tokenizer.ggml.unknown_token_id";
constexpr size_t kMost = size_t{1} << 30;  // ids are int32_t

ErrorValue Corrupt(const formats::Metadata& metadata, std::string_view key, size_t i, std::string_view what) {
  return Error(ErrorCode::kCorrupt, "{}: {}[{}] {}", metadata.source(), key, i, what);
}

/// The byte of "<0x0A>".
std::optional<uint8_t> HexByte(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return std::nullopt;
  uint32_t value = 0;
  for (const char c : text.substr(3, 2)) {
    const std::string_view digits = "0123456789ABCDEF";
    const size_t digit = digits.find(c >= 'a' && c <= 'f' ? static_cast<char>(c - 'a' + 'A') : c);
    if (digit == std::string_view::npos) return std::nullopt;
    value = value << 4 | static_cast<uint32_t>(digit);
  }
  return static_cast<uint8_t>(value);
}

}  // namespace

uint64_t RandomSeed() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

Result<TokenTexts> TokenTexts::Read(const formats::Metadata& metadata) {
  BONSAI_ASSIGN(const formats::StringList* const list, metadata.GetStrings(kTokensKey));
  if (list->size() == 0 || list->size() > kMost) {
    return Error(ErrorCode::kCorrupt, "{}: {} has {} entries; expected 1 to {}", metadata.source(), kTokensKey,
                 list->size(), kMost);
  }
  TokenTexts texts(*list);
  for (size_t i = 0; i < list->size(); i++) {
    const auto text_of = [&](int32_t id) { return (*list)[static_cast<size_t>(id)]; };
    if (const int32_t first = texts.index_.Insert((*list)[i], static_cast<int32_t>(i), text_of); first >= 0) {
      return Corrupt(metadata, kTokensKey, i, fmt::format("repeats the token of id {}", first));
    }
  }
  return texts;
}

int32_t TokenTexts::Find(std::string_view text) const {
  return index_.Find(text, [&](int32_t id) { return list_[static_cast<size_t>(id)]; });
}

Result<Vocabulary> Vocabulary::Load(const formats::Metadata& metadata, const TokenTexts& texts, ToBytes to_bytes) {
  Vocabulary v;
  BONSAI_RETURN_IF_ERROR(v.ReadTypes(metadata, texts.size()));
  BONSAI_RETURN_IF_ERROR(v.ReadPieces(metadata, texts, to_bytes));
  if (!metadata.Has(kUnknownKey)) return v;
  BONSAI_ASSIGN(const uint32_t id, metadata.GetU32(kUnknownKey));
  if (id == kNoToken) return v;
  if (id >= texts.size()) {
    return Error(ErrorCode::kCorrupt, "{}: {} is {}, but there are {} tokens", metadata.source(), kUnknownKey, id,
                 texts.size());
  }
  v.unknown_ = static_cast<int32_t>(id);
  return v;
}

Status Vocabulary::ReadTypes(const formats::Metadata& metadata, size_t tokens) {
  types_.assign(tokens, TokenType::kNormal);
  if (!metadata.Has(kTypesKey)) return {};
  BONSAI_ASSIGN(const std::vector<int64_t>* const types, metadata.GetInts(kTypesKey));
  if (types->size() != tokens) {
    return Error(ErrorCode::kCorrupt, "{}: {} has {} entries for {} tokens", metadata.source(), kTypesKey,
                 types->size(), tokens);
  }
  for (size_t i = 0; i < tokens; i++) {
    const int64_t type = (*types)[i];
    if (type < 0 || type > static_cast<int64_t>(TokenType::kByte)) {
      return Corrupt(metadata, kTypesKey, i, fmt::format("is {}; expected 0 to 6", type));
    }
    types_[i] = static_cast<TokenType>(type);
  }
  return {};
}

Status Vocabulary::ReadPieces(const formats::Metadata& metadata, const TokenTexts& texts, ToBytes to_bytes) {
  pieces_.Reserve(texts.size(), texts.size() * 8);
  std::string storage;
  for (size_t i = 0; i < texts.size(); i++) {
    const auto id = static_cast<int32_t>(i);
    const std::string_view text = texts[i];
    if (IsAdded(types_[i])) {
      if (text.empty() || text.size() > AddedTokens::kMaxLength) {
        return Corrupt(
            metadata, kTokensKey, i,
            fmt::format("is an added token of {} bytes; expected 1 to {}", text.size(), AddedTokens::kMaxLength));
      }
      added_.Add(text, id);
      pieces_.Add(text);
    } else if (const auto byte = HexByte(text); types_[i] == TokenType::kByte && byte) {
      byte_tokens_[*byte] = id;
      pieces_.Add({reinterpret_cast<const char*>(&*byte), 1});
    } else {
      pieces_.Add(to_bytes(text, storage));
    }
  }
  return {};
}

Result<MergeTable> ReadMerges(const formats::Metadata& metadata, const Vocabulary& v, const TokenTexts& texts) {
  BONSAI_ASSIGN(const formats::StringList* const merges, metadata.GetStrings(kMergesKey));
  if (merges->size() > kMost) {
    return Error(ErrorCode::kCorrupt, "{}: {} has {} entries; expected up to {}", metadata.source(), kMergesKey,
                 merges->size(), kMost);
  }
  MergeTable table(merges->size(), RandomSeed());
  std::string joined;
  for (size_t i = 0; i < merges->size(); i++) {
    const std::string_view line = (*merges)[i];
    const auto corrupt = [&](std::string_view what) { return Corrupt(metadata, kMergesKey, i, what); };
    const size_t space = line.find(' ');
    if (space == 0 || space >= line.size() - 1 || line.find(' ', space + 1) != std::string_view::npos) {
      return corrupt("is not two tokens with a space between them");
    }
    const std::string_view left_text = line.substr(0, space), right_text = line.substr(space + 1);
    joined.assign(left_text).append(right_text);
    const int32_t left = texts.Find(left_text), right = texts.Find(right_text), whole = texts.Find(joined);
    for (const int32_t id : {left, right, whole}) {
      // What a user types must never become a control token.
      if (id < 0 || v.type(id) == TokenType::kControl) return corrupt("names a token that the vocabulary lacks");
    }
    // Always so for tokens in one alphabet; it is what makes decoding undo encoding.
    if (v.piece(whole).size() != v.piece(left).size() + v.piece(right).size() ||
        !v.piece(whole).starts_with(v.piece(left)) || !v.piece(whole).ends_with(v.piece(right))) {
      return corrupt("joins tokens to one that has other bytes");
    }
    if (!table.Add(left, right, {static_cast<uint32_t>(i), whole})) return corrupt("repeats an earlier merge");
  }
  return table;
}

}  // namespace bonsai::text
