// The vocabulary of a byte-level BPE model, read and checked: what each id is, and how bytes become ids.
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

/// Immutable once loaded; const methods are thread safe.
class Vocabulary {
 public:
  /// Reads `tokenizer.ggml.{tokens,token_type,merges}` and `unknown_token_id`. kCorrupt names the key and the index.
  static Result<Vocabulary> Load(const formats::Metadata& metadata);

  int32_t size() const { return static_cast<int32_t>(types_.size()); }
  TokenType type(int32_t id) const { return types_[static_cast<size_t>(id)]; }
  /// The bytes of a token: of an added one, its text.
  std::string_view piece(int32_t id) const { return pieces_[static_cast<size_t>(id)]; }
  const AddedTokens& added() const { return added_; }

  /// Appends the ids of one piece of text to `out`. A byte that the vocabulary lacks becomes its `<0xNN>` token, else
  /// the unknown token, else nothing (the synthetic vocabularies of benchmarks lack most bytes; real ones none).
  void EncodePiece(std::string_view piece, MergeScratch& scratch, std::vector<int32_t>& out) const;

 private:
  Vocabulary(size_t tokens, size_t merges, uint64_t seed) : merges_(merges, seed), whole_(tokens, seed) {}

  Status ReadTokens(const formats::Metadata& metadata, StringIndex& by_text);
  Status ReadMerges(const formats::Metadata& metadata, const StringIndex& by_text);
  void FindWholePieces();
  void EncodeByMerging(std::string_view piece, MergeScratch& scratch, std::vector<int32_t>& out) const;

  formats::StringList pieces_;
  std::vector<TokenType> types_;
  AddedTokens added_;
  std::array<int32_t, 256> byte_ids_{};  // -1: the vocabulary lacks the byte
  int32_t unknown_ = -1;
  MergeTable merges_;
  StringIndex whole_;  // tokens whose bytes merge to exactly themselves
};

}  // namespace bonsai::text
