// Splits text into the pieces within which byte pairs are merged: about a word each. The pattern of a model is a row in
// the table of pretokenizer.cc; PCRE2 runs it, and a row may add a faster way for ASCII.
//
//   BONSAI_ASSIGN(const auto pre, text::PreTokenizer::Create("qwen2"));
//   text::PreTokenizer::Splitter split(*pre);
//   split.Start("Hello, world");
//   for (std::string_view piece; !(piece = split.Next()).empty();) …    // "Hello", ",", " world"
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace bonsai::text {

/// A compiled pattern. Immutable, thread safe.
class PreTokenizer {
 public:
  /// `name` is a value of `tokenizer.ggml.pre`. kUnsupported names what there is.
  static Result<std::unique_ptr<PreTokenizer>> Create(std::string_view name);
  ~PreTokenizer();
  PreTokenizer(const PreTokenizer&) = delete;
  PreTokenizer& operator=(const PreTokenizer&) = delete;

  // What else the name says about the models that use it.
  bool normalizes() const;      ///< Text is brought into NFC before it is split.
  bool ignores_merges() const;  ///< A piece that is a token is that token, whether or not its bytes merge to it.
  bool adds_bos() const;        ///< Texts begin with bos when the file does not say.

  /// The state of one walk over one text: one for each thread. Cheap until a piece needs PCRE2.
  class Splitter {
   public:
    /// `fast` = false asks PCRE2 for every piece: slower, same pieces (a test compares them).
    explicit Splitter(const PreTokenizer& pre, bool fast = true) : pre_(pre), fast_(fast) {}
    ~Splitter();
    Splitter(const Splitter&) = delete;
    Splitter& operator=(const Splitter&) = delete;

    /// `text` must be well-formed UTF-8 and outlive the walk.
    void Start(std::string_view text) { text_ = text, at_ = 0; }
    /// The next piece, empty at the end. The pieces, joined, are the text.
    std::string_view Next();

   private:
    size_t MatchLength();

    const PreTokenizer& pre_;
    const bool fast_;
    std::string_view text_;
    size_t at_ = 0;
    void* match_data_ = nullptr;     // pcre2_match_data, made when first needed
    void* match_context_ = nullptr;  // pcre2_match_context
  };

 private:
  struct Row;
  static const Row kRows[];
  PreTokenizer(const Row& row, void* code) : row_(row), code_(code) {}

  const Row& row_;
  void* code_;  // pcre2_code; PCRE2 stays out of the header
};

}  // namespace bonsai::text
