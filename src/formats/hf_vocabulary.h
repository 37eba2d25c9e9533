// The tokens and merges of a Hugging Face tokenizer, collected from its files in any order. For hf_tokenizer.cc.
//
//   BONSAI_RETURN_IF_ERROR(vocabulary.Add("the", 5, kHfNormal));
//   BONSAI_RETURN_IF_ERROR(vocabulary.AddMerge("th e"));
//   vocabulary.FillUp(rows);
//   BONSAI_RETURN_IF_ERROR(vocabulary.Emit(metadata, true));
//
// Errors are kCorrupt and do not name the file. Not thread safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/hf_patterns.h"
#include "formats/metadata.h"

namespace bonsai::formats {

class HfVocabulary {
 public:
  using Ids = std::map<std::string, int64_t, std::less<>>;

  /// `id` is not negative, and memory is taken for all below: the caller bounds it. Files may say the same twice; the
  /// last type counts. Fails when the token has another id, or the id another token.
  Status Add(std::string_view text, int64_t id, HfTokenType type);
  /// "left right". Fails unless these are two tokens with one space, because GGUF's merges are such texts, so that a
  /// token with a space in it cannot be part of one.
  Status AddMerge(std::string text);
  void SetType(int64_t id, HfTokenType type) { tokens_[static_cast<size_t>(id)].type = type; }
  /// Tokens "<0x00>" to "<0xFF>" are bytes.
  void MarkBytes();
  /// At least `rows` ids: those that nothing has become "[PAD<id>]", unused.
  void FillUp(int64_t rows);

  const Ids& ids() const { return ids_; }
  /// -1 when there is none.
  int64_t Find(std::string_view text) const;
  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }
  /// Adds `tokenizer.ggml.{tokens,token_type,merges}`, and `scores` if asked for.
  Status Emit(Metadata& metadata, bool with_scores) const;

 private:
  std::vector<double> Scores() const;

  struct Token {
    std::string text;
    HfTokenType type = kHfUnused;
    bool present = false;
  };
  std::vector<Token> tokens_;
  Ids ids_;
  std::vector<std::string> merges_;
};

}  // namespace bonsai::formats
