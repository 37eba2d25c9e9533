#include "text/vocabulary.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <random>
#include <utility>

#include "base/utf8.h"

namespace bonsai::text {
namespace {

constexpr std::string_view kTokensKey = "tokenizer.ggml.tokens";
constexpr std::string_view kTypesKey = "tokenizer.ggml.token_type";
constexpr std::string_view kMergesKey = "tokenizer.ggml.merges";
constexpr std::string_view kUnknownKey = "tokenizer.ggml.unknown_token_id";

/// The alphabet of GPT-2, in which tokens are written: a printable character for each byte. Bytes that are printable in
/// Latin-1 stand for themselves, the other 68 for U+0100, U+0101 and so on.
struct ByteAlphabet {
  std::array<uint16_t, 256> char_of{};
  std::array<int16_t, 324> byte_of{};  // -1: no byte

  constexpr ByteAlphabet() {
    for (auto& b : byte_of) b = -1;
    uint16_t next = 256;
    for (uint16_t b = 0; b < 256; b++) {
      const bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b != 0xad);
      char_of[b] = printable ? b : next++;
      byte_of[char_of[b]] = static_cast<int16_t>(b);
    }
  }
};
constexpr ByteAlphabet kAlphabet;

/// The bytes that a token's text stands for; none when a character is outside the alphabet.
bool FromAlphabet(std::string_view text, std::string& bytes) {
  bytes.clear();
  for (size_t i = 0; i < text.size();) {
    auto c = static_cast<uint32_t>(static_cast<uint8_t>(text[i]));
    size_t length = 1;
    if (c >= 0x80) {  // the alphabet ends at U+0143: two bytes of UTF-8
      if (Utf8CharLength(text.substr(i)) != 2) return false;
      c = (c & 0x1f) << 6 | (static_cast<uint8_t>(text[i + 1]) & 0x3f);
      length = 2;
    }
    if (c >= kAlphabet.byte_of.size() || kAlphabet.byte_of[c] < 0) return false;
    bytes += static_cast<char>(kAlphabet.byte_of[c]);
    i += length;
  }
  return true;
}

/// A byte's character in the alphabet, as UTF-8.
std::string ToAlphabet(uint8_t byte) {
  const uint32_t c = kAlphabet.char_of[byte];
  if (c < 0x80) return {static_cast<char>(c)};
  return {static_cast<char>(0xc0 | c >> 6), static_cast<char>(0x80 | (c & 0x3f))};
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

bool IsAdded(TokenType type) { return type == TokenType::kControl || type == TokenType::kUserDefined; }

uint64_t RandomSeed() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

}  // namespace

Result<Vocabulary> Vocabulary::Load(const formats::Metadata& metadata) {
  BONSAI_ASSIGN(const formats::StringList* const tokens, metadata.GetStrings(kTokensKey));
  BONSAI_ASSIGN(const formats::StringList* const merges, metadata.GetStrings(kMergesKey));
  constexpr size_t kMost = size_t{1} << 30;  // ids are int32_t
  if (tokens->size() == 0 || tokens->size() > kMost || merges->size() > kMost) {
    return Error(ErrorCode::kCorrupt, "{}: {} has {} entries and {} {}; expected 1 to {} of each", metadata.source(),
                 kTokensKey, tokens->size(), kMergesKey, merges->size(), kMost);
  }
  const uint64_t seed = RandomSeed();
  Vocabulary v(tokens->size(), merges->size(), seed);
  StringIndex by_text(tokens->size(), seed);
  BONSAI_RETURN_IF_ERROR(v.ReadTokens(metadata, by_text));
  BONSAI_RETURN_IF_ERROR(v.ReadMerges(metadata, by_text));
  v.FindWholePieces();
  return v;
}

Status Vocabulary::ReadTokens(const formats::Metadata& metadata, StringIndex& by_text) {
  BONSAI_ASSIGN(const formats::StringList* const list, metadata.GetStrings(kTokensKey));
  const formats::StringList& tokens = *list;
  const auto corrupt = [&](std::string_view key, size_t i, std::string_view what) {
    return Error(ErrorCode::kCorrupt, "{}: {}[{}] {}", metadata.source(), key, i, what);
  };
  types_.assign(tokens.size(), TokenType::kNormal);
  if (metadata.Has(kTypesKey)) {
    BONSAI_ASSIGN(const std::vector<int64_t>* const types, metadata.GetInts(kTypesKey));
    if (types->size() != tokens.size()) {
      return Error(ErrorCode::kCorrupt, "{}: {} has {} entries for {} tokens", metadata.source(), kTypesKey,
                   types->size(), tokens.size());
    }
    for (size_t i = 0; i < types->size(); i++) {
      const int64_t type = (*types)[i];
      if (type < 0 || type > static_cast<int64_t>(TokenType::kByte)) {
        return corrupt(kTypesKey, i, fmt::format("is {}; expected 0 to 6", type));
      }
      types_[i] = static_cast<TokenType>(type);
    }
  }
  const auto text_of = [&](int32_t id) { return tokens[static_cast<size_t>(id)]; };
  pieces_.Reserve(tokens.size(), tokens.size() * 8);
  std::string bytes;
  std::array<int32_t, 256> hex_ids;
  hex_ids.fill(-1);
  for (size_t i = 0; i < tokens.size(); i++) {
    const auto id = static_cast<int32_t>(i);
    const std::string_view text = tokens[i];
    if (const int32_t first = by_text.Insert(text, id, text_of); first >= 0) {
      return corrupt(kTokensKey, i, fmt::format("repeats the token of id {}", first));
    }
    if (IsAdded(types_[i])) {
      if (text.empty() || text.size() > AddedTokens::kMaxLength) {
        return corrupt(
            kTokensKey, i,
            fmt::format("is an added token of {} bytes; expected 1 to {}", text.size(), AddedTokens::kMaxLength));
      }
      added_.Add(text, id);
      pieces_.Add(text);
    } else if (const auto byte = HexByte(text); types_[i] == TokenType::kByte && byte) {
      hex_ids[*byte] = id;
      pieces_.Add({reinterpret_cast<const char*>(&*byte), 1});
    } else {
      pieces_.Add(FromAlphabet(text, bytes) ? std::string_view(bytes) : text);
    }
  }
  if (metadata.Has(kUnknownKey)) {
    BONSAI_ASSIGN(const uint32_t id, metadata.GetU32(kUnknownKey));
    if (id >= tokens.size()) {
      return Error(ErrorCode::kCorrupt, "{}: {} is {}, but there are {} tokens", metadata.source(), kUnknownKey, id,
                   tokens.size());
    }
    unknown_ = static_cast<int32_t>(id);
  }
  for (size_t b = 0; b < byte_ids_.size(); b++) {
    const auto byte = static_cast<char>(b);
    const int32_t id = by_text.Find(ToAlphabet(static_cast<uint8_t>(b)), text_of);
    // A user-defined "\u00e9" is that text, not the byte E9.
    const bool usable = id >= 0 && type(id) != TokenType::kControl && piece(id) == std::string_view(&byte, 1);
    byte_ids_[b] = usable ? id : hex_ids[b];
  }
  return {};
}

Status Vocabulary::ReadMerges(const formats::Metadata& metadata, const StringIndex& by_text) {
  BONSAI_ASSIGN(const formats::StringList* const tokens, metadata.GetStrings(kTokensKey));
  BONSAI_ASSIGN(const formats::StringList* const merges, metadata.GetStrings(kMergesKey));
  const auto text_of = [&](int32_t id) { return (*tokens)[static_cast<size_t>(id)]; };
  std::string joined;
  for (size_t i = 0; i < merges->size(); i++) {
    const std::string_view line = (*merges)[i];
    const auto corrupt = [&](std::string_view what) {
      return Error(ErrorCode::kCorrupt, "{}: {}[{}] {}", metadata.source(), kMergesKey, i, what);
    };
    const size_t space = line.find(' ');
    if (space == 0 || space >= line.size() - 1 || line.find(' ', space + 1) != std::string_view::npos) {
      return corrupt("is not two tokens with a space between them");
    }
    const std::string_view left_text = line.substr(0, space), right_text = line.substr(space + 1);
    joined.assign(left_text).append(right_text);
    const int32_t left = by_text.Find(left_text, text_of), right = by_text.Find(right_text, text_of);
    const int32_t whole = by_text.Find(joined, text_of);
    for (const int32_t id : {left, right, whole}) {
      // What a user types must never become a control token.
      if (id < 0 || type(id) == TokenType::kControl) return corrupt("names a token that the vocabulary lacks");
    }
    // Always so for tokens in the byte alphabet; it is what makes decoding undo encoding.
    if (piece(whole).size() != piece(left).size() + piece(right).size() || !piece(whole).starts_with(piece(left)) ||
        !piece(whole).ends_with(piece(right))) {
      return corrupt("joins tokens to one that has other bytes");
    }
    if (!merges_.Add(left, right, {static_cast<uint32_t>(i), whole})) return corrupt("repeats an earlier merge");
  }
  return {};
}

/// The reference (ignore_merges = false) always merges. A token that its own bytes merge to may be looked up instead,
/// which is several times faster; one that no sequence of merges reaches must never be.
void Vocabulary::FindWholePieces() {
  MergeScratch scratch;
  std::vector<int32_t> ids;
  const auto text_of = [&](int32_t id) { return piece(id); };
  for (int32_t id = 0; id < size(); id++) {
    if (IsAdded(type(id)) || piece(id).empty()) continue;
    ids.clear();
    EncodeByMerging(piece(id), scratch, ids);
    if (ids.size() == 1 && ids[0] == id) whole_.Insert(piece(id), id, text_of);
  }
}

void Vocabulary::EncodePiece(std::string_view piece_text, MergeScratch& scratch, std::vector<int32_t>& out) const {
  const int32_t id = whole_.Find(piece_text, [&](int32_t i) { return piece(i); });
  if (id >= 0) {
    out.push_back(id);
  } else {
    EncodeByMerging(piece_text, scratch, out);
  }
}

void Vocabulary::EncodeByMerging(std::string_view text, MergeScratch& scratch, std::vector<int32_t>& out) const {
  constexpr size_t kMost = size_t{1} << 30;  // positions are 32 bits; a longer piece is cut
  for (; !text.empty(); text.remove_prefix(std::min(kMost, text.size()))) {
    const size_t begin = out.size();
    for (const char c : text.substr(0, kMost)) out.push_back(byte_ids_[static_cast<uint8_t>(c)]);
    out.resize(begin + MergeSymbols(std::span(out).subspan(begin), merges_, scratch));
    const auto first = out.begin() + static_cast<std::ptrdiff_t>(begin);
    if (unknown_ >= 0) std::replace(first, out.end(), -1, unknown_);
    out.erase(std::remove(first, out.end(), -1), out.end());
  }
}

}  // namespace bonsai::text
