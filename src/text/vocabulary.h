// The tokens of a model, read and checked: what each id is and which bytes it stands for. How text becomes ids is the
// business of a TokenModel.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/metadata.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/hash.h"

namespace bonsai::text {

/// Numbered as in `tokenizer.ggml.token_type`.
enum class TokenType : uint8_t { kUndefined, kNormal, kUnknown, kControl, kUserDefined, kUnused, kByte };

/// Control and user-defined tokens: found in text as they stand, never made by merging.
inline bool IsAdded(TokenType type) { return type == TokenType::kControl || type == TokenType::kUserDefined; }

/// How some converters write "there is no such token".
constexpr uint32_t kNoToken = 0xffffffff;

/// A seed for the tables of text/hash.h, another one each time.
uint64_t RandomSeed();

/// Texts of tokens, as the file writes them → ids. For loading: it refers to the metadata.
class TokenTexts {
 public:
  /// Reads `tokenizer.ggml.tokens`. kCorrupt when there are none, too many or two equal ones.
  static Result<TokenTexts> Read(const formats::Metadata& metadata);

  size_t size() const { return list_.size(); }
  std::string_view operator[](size_t id) const { return list_[id]; }
  /// -1 when there is none.
  int32_t Find(std::string_view text) const;

 private:
  explicit TokenTexts(const formats::StringList& list) : list_(list), index_(list.size(), RandomSeed()) {}

  const formats::StringList& list_;
  StringIndex index_;
};

/// Immutable once loaded; const methods are thread safe.
class Vocabulary {
 public:
  /// The bytes of a token that is neither added nor a byte: how a tokenizer model writes text. May use `storage`.
  using ToBytes = std::string_view (*)(std::string_view text, std::string& storage);

  /// Reads `tokenizer.ggml.token_type` and `unknown_token_id`. kCorrupt names the key and the index.
  static Result<Vocabulary> Load(const formats::Metadata& metadata, const TokenTexts& texts, ToBytes to_bytes);

  int32_t size() const { return static_cast<int32_t>(types_.size()); }
  TokenType type(int32_t id) const { return types_[static_cast<size_t>(id)]; }
  /// The bytes of a token: of an added one, its text.
  std::string_view piece(int32_t id) const { return pieces_[static_cast<size_t>(id)]; }
  const AddedTokens& added() const { return added_; }
  /// The id of the token "<0xNN>" (type 6) for a byte, or -1.
  int32_t byte_token(uint8_t byte) const { return byte_tokens_[byte]; }
  /// What stands for text that the vocabulary lacks, or -1.
  int32_t unknown() const { return unknown_; }

 private:
  Vocabulary() { byte_tokens_.fill(-1); }
  Status ReadTypes(const formats::Metadata& metadata, size_t tokens);
  Status ReadPieces(const formats::Metadata& metadata, const TokenTexts& texts, ToBytes to_bytes);

  formats::StringList pieces_;
  std::vector<TokenType> types_;
  AddedTokens added_;
  std::array<int32_t, 256> byte_tokens_;
  int32_t unknown_ = -1;
};

/// Reads `tokenizer.ggml.merges`, "left right" each, in order of rank. kCorrupt when a line is not two tokens, names
/// one that the vocabulary lacks or a control token, joins to a token with other bytes, or comes twice.
Result<MergeTable> ReadMerges(const formats::Metadata& metadata, const Vocabulary& vocabulary, const TokenTexts& texts);

}  // namespace bonsai::text
