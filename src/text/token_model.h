// What differs between tokenizer models: how text becomes ids. Each is one file and one row of the table in
// tokenizer.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "formats/metadata.h"
#include "text/vocabulary.h"

namespace bonsai::text {

/// The working memory of one call of Tokenizer::Encode. Not thread safe; must not outlive its model.
class TextEncoder {
 public:
  virtual ~TextEncoder() = default;
  /// Appends the ids of `text`: any bytes, none of them an added token; what stands between two of those, or between
  /// one and an end of the whole. n log n.
  virtual void Encode(std::string_view text, std::vector<int32_t>& ids) = 0;
};

/// Immutable, thread safe.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  virtual std::unique_ptr<TextEncoder> NewEncoder() const = 0;
  /// Whether Encode puts a space before each stretch of text, which decoding then takes away.
  virtual bool AddsSpacePrefix() const { return false; }
  /// Whether texts begin with bos when the file does not say.
  virtual bool AddsBosByDefault() const = 0;
  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  explicit TokenModel(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}

 private:
  Vocabulary vocabulary_;
};

/// "gpt2": bytes in the alphabet of GPT-2, split by a pattern, merged by rank. Reads
/// `tokenizer.ggml.{tokens,token_type, merges,pre}`. kUnsupported names a pattern that we do not have, kCorrupt a
/// broken key.
Result<std::unique_ptr<TokenModel>> LoadByteBpe(const formats::Metadata& metadata);

/// "llama": SentencePiece BPE (Kudo and Richardson 2018, https://arxiv.org/abs/1808.06226). Characters of UTF-8, with
/// U+2581 for a space, merged by score: repeatedly the two neighbours that together are the normal token of highest
/// score, the leftmost of equals. Characters that are left and no token become their bytes' tokens <0xNN>, else the
/// unknown token, else nothing. Reads `tokenizer.ggml.{tokens,token_type,scores,merges,add_space_prefix,
/// remove_extra_whitespaces}`; where a file has `merges`, their order counts instead of the scores (tokenizers trained
/// with Hugging Face's library, in which not every split of a token merges to it).
Result<std::unique_ptr<TokenModel>> LoadSentencePiece(const formats::Metadata& metadata);

}  // namespace bonsai::text
