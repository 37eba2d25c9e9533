// Text ↔ token ids: byte-level BPE (GPT-2 byte alphabet, Qwen pre-tokenizer pattern), built from GGUF metadata.
//
//   BONSAI_ASSIGN(const auto tok, text::Tokenizer::FromMetadata(file.metadata()));
//   std::vector<int32_t> ids = tok->Encode("Hello", {.parse_special = false});
//   std::string back = tok->Decode(ids);
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/metadata.h"

namespace bonsai::text {

struct EncodeOptions {
  /// Add the beginning-of-sequence token when the file asks for one (`tokenizer.ggml.add_bos_token`).
  bool add_special = false;
  /// Recognise added tokens (control and user-defined) in the text. Off, "<|im_end|>" is nine ordinary characters
  /// or so: what a user types can never become a control token.
  bool parse_special = false;
};

/// Immutable after construction; every const method is thread safe.
class Tokenizer {
 public:
  /// kUnsupported names a tokenizer model or pre-tokenizer that we do not have; kCorrupt a broken vocabulary
  /// (duplicate tokens, merges that are not pairs of tokens, ids out of range).
  static Result<std::unique_ptr<Tokenizer>> FromMetadata(const formats::Metadata& metadata);
  ~Tokenizer();

  /// Never fails: any bytes are accepted. Well-formed stretches are normalised to NFC, bytes that are not UTF-8 pass
  /// through unchanged and delimit them. Linear in the input up to a logarithm, and re-entrant.
  std::vector<int32_t> Encode(std::string_view text, const EncodeOptions& options = {}) const;

  /// Bytes of the tokens; ids out of range contribute nothing. Control tokens are skipped unless `with_special`.
  std::string Decode(std::span<const int32_t> ids, bool with_special = false) const;
  /// Bytes of one token (control tokens give their text); empty when out of range.
  std::string_view Piece(int32_t id) const;

  int32_t vocab_size() const;
  /// Control tokens (type 3): never shown to a user.
  bool IsControl(int32_t id) const;
  /// Every id that ends a generation: eos, eot and eom ids of the metadata, lists included, and the well-known
  /// end-of-turn tokens (<|im_end|>, <|endoftext|>) when they are control tokens of this vocabulary. Sorted.
  std::span<const int32_t> EndOfGeneration() const;
  bool IsEndOfGeneration(int32_t id) const;
  /// -1 when there is none.
  int32_t bos() const;
  int32_t eos() const;
  /// Id of the token with exactly these bytes among the added (control, user-defined) tokens; -1 when there is none.
  int32_t FindAdded(std::string_view text) const;
  /// `tokenizer.chat_template`, empty when the file has none.
  std::string_view chat_template() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Turns a stream of tokens into text that is always whole characters: holds back the bytes of an unfinished UTF-8
/// character until the rest arrives. Bytes that can never become a character are passed on unchanged. Not thread safe.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool with_special = false)
      : tokenizer_(tokenizer), with_special_(with_special) {}
  /// The text that this token completes, possibly empty.
  std::string Push(int32_t id);
  /// What is still held back, at the end of a generation.
  std::string Finish();

 private:
  const Tokenizer& tokenizer_;
  bool with_special_;
  std::string pending_;
};

}  // namespace bonsai::text
