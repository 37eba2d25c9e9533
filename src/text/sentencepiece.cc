// The tokenizer model "llama". What merges is worked out on loading: every token is cut in two at every character, and
// the halves that symbols can be become a row (left, right) → token whose rank is that of the token's score. Then
// merging is that of byte-level BPE (text/bpe.h), n log n on any text.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "base/utf8.h"
#include "text/token_model.h"

namespace bonsai::text {
namespace {

constexpr std::string_view kSpace = "\xe2\x96\x81";  // U+2581, how token texts write a space
constexpr std::string_view kScoresKey = "tokenizer.ggml.scores";

std::string_view FromSpaces(std::string_view text, std::string& bytes) {
  bytes.clear();
  for (size_t at = 0;;) {
    const size_t space = text.find(kSpace, at);
    bytes += text.substr(at, space - at);
    if (space == std::string_view::npos) return bytes;
    bytes += ' ';
    at = space + kSpace.size();
  }
}

/// Characters → symbols. A symbol is a token's id, or, for a character that is no token but begins or ends some, a
/// number from the vocabulary's size on: what merging must see and no one else.
class Characters {
 private:
  auto TextOf() const {
    return [this](int32_t i) { return texts_[static_cast<size_t>(i)]; };
  }

 public:
  Characters(int32_t tokens, size_t capacity) : tokens_(tokens), index_(capacity, RandomSeed()) { ascii_.fill(-1); }

  /// -1 when no token has the character.
  int32_t Find(std::string_view c) const {
    if (c.size() == 1 && static_cast<uint8_t>(c[0]) < 0x80) return ascii_[static_cast<uint8_t>(c[0])];
    const int32_t i = index_.Find(c, TextOf());
    return i < 0 ? -1 : symbols_[static_cast<size_t>(i)];
  }
  /// `c` must be new.
  void Add(std::string_view c, int32_t symbol) {
    if (c.size() == 1) ascii_[static_cast<uint8_t>(c[0])] = symbol;
    texts_.Add(c);
    symbols_.push_back(symbol);
    index_.Insert(c, static_cast<int32_t>(symbols_.size()) - 1, TextOf());
  }
  int32_t AddNoToken(std::string_view c) {
    const auto symbol = tokens_ + static_cast<int32_t>(no_tokens_.size());
    no_tokens_.push_back(symbols_.size());
    Add(c, symbol);
    return symbol;
  }
  /// The text of a symbol that is no token.
  std::string_view TextOfNoToken(int32_t symbol) const {
    return texts_[no_tokens_[static_cast<size_t>(symbol - tokens_)]];
  }

 private:
  int32_t tokens_;
  std::array<int32_t, 128> ascii_;
  formats::StringList texts_;
  std::vector<int32_t> symbols_;   // of texts_[i]
  std::vector<size_t> no_tokens_;  // indices into texts_
  StringIndex index_;
};

class SentencePiece : public TokenModel {
 public:
  SentencePiece(Vocabulary v, Characters characters, MergeTable merges, bool space_prefix, bool one_space)
      : TokenModel(std::move(v)),
        characters_(std::move(characters)),
        merges_(std::move(merges)),
        space_prefix_(space_prefix),
        one_space_(one_space) {}

  std::unique_ptr<TextEncoder> NewEncoder() const override;
  bool AddsSpacePrefix() const override { return space_prefix_; }
  bool AddsBosByDefault() const override { return true; }

  /// Appends the symbol of one character, or what stands for it when no token has it.
  void AppendCharacter(std::string_view c, std::vector<int32_t>& symbols) const {
    const int32_t symbol = characters_.Find(c);
    if (symbol >= 0) {
      symbols.push_back(symbol);
    } else {
      AppendBytes(c, symbols);
    }
  }
  /// Merges `symbols` and appends their ids.
  void Merge(std::vector<int32_t>& symbols, MergeScratch& scratch, std::vector<int32_t>& ids) const {
    const size_t left = MergeSymbols(symbols, merges_, scratch);
    for (size_t i = 0; i < left; i++) {
      if (symbols[i] < vocabulary().size()) {
        ids.push_back(symbols[i]);
      } else {
        AppendBytes(characters_.TextOfNoToken(symbols[i]), ids);
      }
    }
    symbols.clear();
  }
  bool one_space() const { return one_space_; }

 private:
  void AppendBytes(std::string_view c, std::vector<int32_t>& ids) const {
    const auto token = [&](char byte) { return vocabulary().byte_token(static_cast<uint8_t>(byte)); };
    if (std::all_of(c.begin(), c.end(), [&](char byte) { return token(byte) >= 0; })) {
      for (const char byte : c) ids.push_back(token(byte));
    } else if (vocabulary().unknown() >= 0) {
      ids.push_back(vocabulary().unknown());
    }
  }

  Characters characters_;
  MergeTable merges_;
  bool space_prefix_, one_space_;
};

class SentencePieceEncoder : public TextEncoder {
 public:
  explicit SentencePieceEncoder(const SentencePiece& model) : model_(model) {}

  void Encode(std::string_view text, std::vector<int32_t>& ids) override {
    constexpr size_t kMost = size_t{1} << 30;  // positions are 32 bits; a longer text is cut
    if (model_.one_space()) text = Trim(text);
    if (text.empty()) return;
    if (model_.AddsSpacePrefix()) model_.AppendCharacter(" ", symbols_);
    bool after_space = false;
    while (!text.empty()) {
      std::string_view c = text.substr(0, std::max<size_t>(1, Utf8CharLength(text)));
      text.remove_prefix(c.size());
      if (c == kSpace) c = " ";  // the two are one to the model
      const bool again = c == " " && after_space;
      after_space = c == " ";
      if (again && model_.one_space()) continue;
      model_.AppendCharacter(c, symbols_);
      if (symbols_.size() >= kMost) model_.Merge(symbols_, merge_, ids);
    }
    model_.Merge(symbols_, merge_, ids);
  }

 private:
  static std::string_view Trim(std::string_view text) {
    const size_t begin = std::min(text.find_first_not_of(' '), text.size());
    return text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
  }

  const SentencePiece& model_;
  MergeScratch merge_;
  std::vector<int32_t> symbols_;
};

std::unique_ptr<TextEncoder> SentencePiece::NewEncoder() const { return std::make_unique<SentencePieceEncoder>(*this); }

/// rank[id]: how many tokens have a higher score; equal scores have equal ranks, so that the leftmost goes first.
Result<std::vector<uint32_t>> ReadRanks(const formats::Metadata& metadata, size_t tokens) {
  BONSAI_ASSIGN(const std::vector<double>* const list, metadata.GetFloats(kScoresKey));
  const std::vector<double>& scores = *list;
  if (scores.size() != tokens) {
    return Error(ErrorCode::kCorrupt, "{}: {} has {} entries for {} tokens", metadata.source(), kScoresKey,
                 scores.size(), tokens);
  }
  const auto bad = std::find_if(scores.begin(), scores.end(), [](double s) { return std::isnan(s); });
  if (bad != scores.end()) {
    return Error(ErrorCode::kCorrupt, "{}: {}[{}] is not a number", metadata.source(), kScoresKey,
                 bad - scores.begin());
  }
  std::vector<uint32_t> order(tokens), rank(tokens);
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return scores[a] > scores[b]; });
  for (size_t i = 1; i < tokens; i++) {
    const bool lower = scores[order[i]] < scores[order[i - 1]];
    rank[order[i]] = lower ? static_cast<uint32_t>(i) : rank[order[i - 1]];
  }
  return rank;
}

/// What loading works on: the tokens that merging may make, by their text with real spaces.
class Loader {
 private:
  auto TextOf() const {
    return [this](int32_t id) { return list_[static_cast<size_t>(id)]; };
  }

 public:
  Loader(const Vocabulary& v, const TokenTexts& texts) : vocabulary_(v), index_(texts.size(), RandomSeed()) {
    std::string storage;
    for (size_t i = 0; i < texts.size(); i++) {
      const auto id = static_cast<int32_t>(i);
      const TokenType type = v.type(id);
      // Added tokens are found as they stand, before anything is merged, and must never come out of what a user types;
      // the other types are no text. A real space cannot come in: it is U+2581 by then.
      const bool mergeable = (type == TokenType::kNormal || type == TokenType::kUndefined) &&
                             texts[i].find(' ') == std::string_view::npos && IsUtf8(texts[i]);
      list_.Add(mergeable ? FromSpaces(texts[i], storage) : std::string_view());
      const std::string_view text = list_[i];
      if (text.empty()) continue;
      index_.Insert(text, id, TextOf());
      if (Utf8CharLength(text) == text.size()) single_.push_back(id);
    }
  }

  /// Single characters that are tokens.
  Characters SingleCharacters(size_t capacity) const {
    Characters characters(vocabulary_.size(), capacity);
    for (const int32_t id : single_) {
      if (const std::string_view c = list_[static_cast<size_t>(id)]; characters.Find(c) < 0) characters.Add(c, id);
    }
    return characters;
  }

  size_t TextBytes() const {
    size_t n = 0;
    for (size_t i = 0; i < list_.size(); i++) n += list_[i].size();
    return n;
  }

  /// Cutting is quadratic in a token's length. Real ones have up to about a hundred bytes.
  static constexpr size_t kMaxLength = 256;
  std::optional<size_t> TooLong() const {
    for (size_t i = 0; i < list_.size(); i++)
      if (list_[i].size() > kMaxLength) return i;
    return std::nullopt;
  }

  struct Pair {
    int32_t left, right, whole;
  };
  /// Every cut of every token into two that symbols can be. Adds the characters that are no tokens.
  std::vector<Pair> Pairs(Characters& characters) const {
    std::vector<Pair> pairs;
    const auto symbol = [&](std::string_view s) {
      const int32_t id = index_.Find(s, TextOf());
      if (id >= 0 || Utf8CharLength(s) != s.size()) return id;
      const int32_t known = characters.Find(s);
      return known >= 0 ? known : characters.AddNoToken(s);
    };
    for (size_t i = 0; i < list_.size(); i++) {
      const std::string_view s = list_[i];
      for (size_t cut = Utf8CharLength(s); cut < s.size(); cut += Utf8CharLength(s.substr(cut))) {
        const int32_t left = symbol(s.substr(0, cut)), right = symbol(s.substr(cut));
        if (left >= 0 && right >= 0) pairs.push_back({left, right, static_cast<int32_t>(i)});
      }
    }
    return pairs;
  }

 private:
  const Vocabulary& vocabulary_;
  formats::StringList list_;
  StringIndex index_;
  std::vector<int32_t> single_;
};

}  // namespace

Result<std::unique_ptr<TokenModel>> LoadSentencePiece(const formats::Metadata& metadata) {
  BONSAI_ASSIGN(const bool space_prefix, metadata.GetBoolOr("tokenizer.ggml.add_space_prefix", true));
  BONSAI_ASSIGN(const bool one_space, metadata.GetBoolOr("tokenizer.ggml.remove_extra_whitespaces", false));
  BONSAI_ASSIGN(const TokenTexts texts, TokenTexts::Read(metadata));
  BONSAI_ASSIGN(Vocabulary vocabulary, Vocabulary::Load(metadata, texts, FromSpaces));
  const Loader loader(vocabulary, texts);
  const auto make = [&](Characters characters, MergeTable merges) {
    return std::unique_ptr<TokenModel>(std::make_unique<SentencePiece>(std::move(vocabulary), std::move(characters),
                                                                       std::move(merges), space_prefix, one_space));
  };
  if (metadata.Has("tokenizer.ggml.merges")) {
    BONSAI_ASSIGN(MergeTable merges, ReadMerges(metadata, vocabulary, texts));
    return make(loader.SingleCharacters(texts.size()), std::move(merges));
  }
  BONSAI_ASSIGN(const std::vector<uint32_t> rank, ReadRanks(metadata, texts.size()));
  if (const auto id = loader.TooLong()) {
    return Error(ErrorCode::kCorrupt, "{}: tokenizer.ggml.tokens[{}] is longer than {} bytes", metadata.source(), *id,
                 Loader::kMaxLength);
  }
  constexpr size_t kAllCharacters = 0x10f800;  // of Unicode
  Characters characters = loader.SingleCharacters(std::min(loader.TextBytes(), kAllCharacters));
  const std::vector<Loader::Pair> pairs = loader.Pairs(characters);
  MergeTable merges(pairs.size(), RandomSeed());
  for (const Loader::Pair& p : pairs) merges.Add(p.left, p.right, {rank[static_cast<size_t>(p.whole)], p.whole});
  return make(std::move(characters), std::move(merges));
}

}  // namespace bonsai::text
