// The tokenizer model "gpt2" (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2).
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/utf8.h"
#include "text/nfc.h"
#include "text/pretokenizer.h"
#include "text/token_model.h"

namespace bonsai::text {
namespace {

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

/// The bytes that a token's text stands for; the text itself when a character is outside the alphabet.
std::string_view FromAlphabet(std::string_view text, std::string& bytes) {
  bytes.clear();
  for (size_t i = 0; i < text.size();) {
    auto c = static_cast<uint32_t>(static_cast<uint8_t>(text[i]));
    size_t length = 1;
    if (c >= 0x80) {  // the alphabet ends at U+0143: two bytes of UTF-8
      if (Utf8CharLength(text.substr(i)) != 2) return text;
      c = (c & 0x1f) << 6 | (static_cast<uint8_t>(text[i + 1]) & 0x3f);
      length = 2;
    }
    if (c >= kAlphabet.byte_of.size() || kAlphabet.byte_of[c] < 0) return text;
    bytes += static_cast<char>(kAlphabet.byte_of[c]);
    i += length;
  }
  return bytes;
}

/// A byte's character in the alphabet, as UTF-8.
std::string ToAlphabet(uint8_t byte) {
  const uint32_t c = kAlphabet.char_of[byte];
  if (c < 0x80) return {static_cast<char>(c)};
  return {static_cast<char>(0xc0 | c >> 6), static_cast<char>(0x80 | (c & 0x3f))};
}

class ByteBpe : public TokenModel {
 public:
  ByteBpe(Vocabulary v, const TokenTexts& texts, MergeTable merges, std::unique_ptr<PreTokenizer> pre)
      : TokenModel(std::move(v)),
        merges_(std::move(merges)),
        pre_(std::move(pre)),
        whole_(static_cast<size_t>(vocabulary().size()), RandomSeed()) {
    FindBytes(texts);
    FindWholePieces();
  }

  std::unique_ptr<TextEncoder> NewEncoder() const override;
  bool AddsBosByDefault() const override { return pre_->adds_bos(); }
  const PreTokenizer& pre() const { return *pre_; }

  /// Appends the ids of one piece of text to `out`. A byte that the vocabulary lacks becomes its `<0xNN>` token, else
  /// the unknown token, else nothing (the synthetic vocabularies of benchmarks lack most bytes; real ones none).
  void EncodePiece(std::string_view text, MergeScratch& scratch, std::vector<int32_t>& out) const;

 private:
  void FindBytes(const TokenTexts& texts);
  void FindWholePieces();
  void EncodeByMerging(std::string_view text, MergeScratch& scratch, std::vector<int32_t>& out) const;

  std::array<int32_t, 256> byte_ids_{};  // -1: the vocabulary lacks the byte
  MergeTable merges_;
  std::unique_ptr<PreTokenizer> pre_;
  StringIndex whole_;  // tokens that a piece equal to them becomes
};

void ByteBpe::FindBytes(const TokenTexts& texts) {
  const Vocabulary& v = vocabulary();
  for (size_t b = 0; b < byte_ids_.size(); b++) {
    const auto byte = static_cast<char>(b);
    const int32_t id = texts.Find(ToAlphabet(static_cast<uint8_t>(b)));
    // A user-defined "\u00e9" is that text, not the byte E9.
    const bool usable = id >= 0 && v.type(id) != TokenType::kControl && v.piece(id) == std::string_view(&byte, 1);
    byte_ids_[b] = usable ? id : v.byte_token(static_cast<uint8_t>(b));
  }
}

/// Most references always merge: then a token that its own bytes merge to may be looked up instead, which is several
/// times faster, and one that no sequence of merges reaches must never be. Others ("ignore_merges") look up first.
void ByteBpe::FindWholePieces() {
  const Vocabulary& v = vocabulary();
  MergeScratch scratch;
  std::vector<int32_t> ids;
  const auto text_of = [&](int32_t id) { return v.piece(id); };
  for (int32_t id = 0; id < v.size(); id++) {
    if (IsAdded(v.type(id)) || v.piece(id).empty()) continue;
    if (!pre_->ignores_merges()) {
      ids.clear();
      EncodeByMerging(v.piece(id), scratch, ids);
      if (ids.size() != 1 || ids[0] != id) continue;
    } else if (v.type(id) != TokenType::kNormal) {
      continue;
    }
    whole_.Insert(v.piece(id), id, text_of);
  }
}

void ByteBpe::EncodePiece(std::string_view text, MergeScratch& scratch, std::vector<int32_t>& out) const {
  const int32_t id = whole_.Find(text, [&](int32_t i) { return vocabulary().piece(i); });
  if (id >= 0) {
    out.push_back(id);
  } else {
    EncodeByMerging(text, scratch, out);
  }
}

void ByteBpe::EncodeByMerging(std::string_view text, MergeScratch& scratch, std::vector<int32_t>& out) const {
  constexpr size_t kMost = size_t{1} << 30;  // positions are 32 bits; a longer piece is cut
  const int32_t unknown = vocabulary().unknown();
  for (; !text.empty(); text.remove_prefix(std::min(kMost, text.size()))) {
    const size_t begin = out.size();
    for (const char c : text.substr(0, kMost)) out.push_back(byte_ids_[static_cast<uint8_t>(c)]);
    out.resize(begin + MergeSymbols(std::span(out).subspan(begin), merges_, scratch));
    const auto first = out.begin() + static_cast<std::ptrdiff_t>(begin);
    if (unknown >= 0) std::replace(first, out.end(), -1, unknown);
    out.erase(std::remove(first, out.end(), -1), out.end());
  }
}

/// Stretches of UTF-8 are normalised where the model wants it, and split; what lies between them is a piece each.
class ByteBpeEncoder : public TextEncoder {
 public:
  explicit ByteBpeEncoder(const ByteBpe& model) : model_(model), splitter_(model.pre()) {}

  void Encode(std::string_view text, std::vector<int32_t>& ids) override {
    while (!text.empty()) {
      const size_t good = WellFormedPrefix(text);
      const std::string_view words = text.substr(0, good);
      splitter_.Start(model_.pre().normalizes() ? NormalizeNfc(words, normalized_) : words);
      for (std::string_view piece; !(piece = splitter_.Next()).empty();) model_.EncodePiece(piece, merge_, ids);
      text.remove_prefix(good);
      size_t bad = 0;
      while (bad < text.size() && Utf8CharLength(text.substr(bad)) == 0) bad++;
      if (bad != 0) model_.EncodePiece(text.substr(0, bad), merge_, ids);
      text.remove_prefix(bad);
    }
  }

 private:
  const ByteBpe& model_;
  PreTokenizer::Splitter splitter_;
  MergeScratch merge_;
  std::string normalized_;
};

std::unique_ptr<TextEncoder> ByteBpe::NewEncoder() const { return std::make_unique<ByteBpeEncoder>(*this); }

}  // namespace

Result<std::unique_ptr<TokenModel>> LoadByteBpe(const formats::Metadata& metadata) {
  BONSAI_ASSIGN(const std::string_view pre_name, metadata.GetStringOr("tokenizer.ggml.pre", "default"));
  auto pre = PreTokenizer::Create(pre_name);
  if (!pre) return pre.error().WithPrefix(metadata.source());
  BONSAI_ASSIGN(const TokenTexts texts, TokenTexts::Read(metadata));
  BONSAI_ASSIGN(Vocabulary vocabulary, Vocabulary::Load(metadata, texts, FromAlphabet));
  BONSAI_ASSIGN(MergeTable merges, ReadMerges(metadata, vocabulary, texts));
  return std::unique_ptr<TokenModel>(
      std::make_unique<ByteBpe>(std::move(vocabulary), texts, std::move(merges), std::move(*pre)));
}

}  // namespace bonsai::text
