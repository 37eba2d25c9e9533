// Text ↔ token ids, built from GGUF metadata: byte-level BPE and SentencePiece BPE (text/token_model.h).
//
//   BONSAI_ASSIGN(const auto tok, text::Tokenizer::FromMetadata(file.metadata()));
//   std::vector<int32_t> ids = tok->Encode("Hello", {.parse_special = false});
//   std::string back = tok->Decode(ids);
//
// SentencePiece models write a word as " word" and most put a space before the first one, too. Encode adds it, at the
// beginning and after each added token; Decode and StreamDecoder take it away in the same places, so that decoding
// undoes encoding, a chat's answer begins without a space, and a story that goes on in the middle keeps its spaces.
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
  /// Add the beginning-of-sequence token when the file asks for one (`tokenizer.ggml.add_bos_token`, which is on by
  /// default for SentencePiece and Llama 3).
  bool add_special = false;
  /// Add the end-of-sequence token when the file asks for one (`add_eos_token`): for whole texts, never for a prompt.
  bool add_end = false;
  /// Recognise added tokens (control and user-defined) in the text. Off, "<|im_end|>" is nine ordinary characters
  /// or so: what a user types can never become a control token.
  bool parse_special = false;
};

/// A part of a text whose parts differ in whom they are from.
struct TextSpan {
  std::string_view text;
  bool parse_special = false;  ///< Recognise added tokens in it.
};

/// Immutable after construction; every const method is thread safe.
class Tokenizer {
 public:
  /// kUnsupported names a tokenizer model or pre-tokenizer that we do not have; kCorrupt a broken vocabulary
  /// (duplicate tokens, merges that are not pairs of tokens, ids out of range).
  static Result<std::unique_ptr<Tokenizer>> FromMetadata(const formats::Metadata& metadata);
  ~Tokenizer();

  /// Never fails: any bytes are accepted, those that are not UTF-8 pass through unchanged. Models that want it (Qwen)
  /// get well-formed stretches in NFC. Linear in the input up to a logarithm, and re-entrant.
  std::vector<int32_t> Encode(std::string_view text, const EncodeOptions& options = {}) const;

  /// The ids of the spans' texts as one text, in which added tokens count only where they lie within neighbouring spans
  /// that allow them. What is left between two added tokens is encoded as one piece, wherever its spans begin and end,
  /// so that quoting someone does not change how words are cut. Nothing is added.
  std::vector<int32_t> EncodeSpans(std::span<const TextSpan> spans) const;

  /// Bytes of the tokens of a whole text (of a text that goes on: StreamDecoder); ids out of range contribute nothing.
  /// Control tokens are skipped unless `with_special`.
  std::string Decode(std::span<const int32_t> ids, bool with_special = false) const;
  /// Bytes of one token (control tokens give their text, words of SentencePiece their space); empty when out of range.
  std::string_view Piece(int32_t id) const;

  int32_t vocab_size() const;
  /// Control tokens (type 3): never shown to a user.
  bool IsControl(int32_t id) const;
  /// Whether Encode puts a space before text that follows `id` (-1: before the first): see the top of the file.
  bool AddsSpaceAfter(int32_t id) const;
  /// Every id that ends a generation: eos, eot and eom ids of the metadata, lists included, and the well-known names
  /// (<|im_end|>, <|endoftext|>, <|eot_id|>, <|eom_id|>, <|end_of_text|>, <end_of_turn>) when they are control tokens
  /// of this vocabulary. Sorted.
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
  friend class StreamDecoder;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  /// Appends what `id` shows; drop_space: as AddsSpaceAfter of what came before, and, on return, for what comes next.
  void AppendPiece(int32_t id, bool with_special, bool& drop_space, std::string& out) const;
  std::unique_ptr<Impl> impl_;
};

/// Turns a stream of tokens into text that is always whole characters: holds back the bytes of an unfinished UTF-8
/// character until the rest arrives. Bytes that can never become a character are passed on unchanged. Not thread safe.
class StreamDecoder {
 public:
  /// `previous` is the token before the stream, the last of the prompt that it continues; -1 when it begins a text. It
  /// decides whether a leading space is part of the text.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool with_special = false, int32_t previous = -1)
      : tokenizer_(tokenizer), with_special_(with_special), drop_space_(tokenizer.AddsSpaceAfter(previous)) {}
  /// The text that this token completes, possibly empty.
  std::string Push(int32_t id);
  /// What is still held back, at the end of a generation.
  std::string Finish();

 private:
  const Tokenizer& tokenizer_;
  bool with_special_;
  bool drop_space_;
  std::string pending_;
};

}  // namespace bonsai::text
