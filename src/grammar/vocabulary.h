// A vocabulary as grammars see it: the bytes of every token in a trie, and what was found out about automata.
//
//   auto vocabulary = Vocabulary::FromTokenizer(*tokenizer);   // once for each model, shared by all requests
//
// Qwen3's 151,669 tokens make a trie of about 400,000 nodes and 6 MB.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/byte_trie.h"
#include "grammar/state_masks.h"
#include "text/tokenizer.h"

namespace bonsai::grammar {

/// Immutable to its users and thread safe; what it caches is guarded.
class Vocabulary {
 public:
  /// Tokens that end a generation and control tokens spell nothing. Tokens are what Tokenizer::Piece says: the space
  /// that SentencePiece models put before a text and take away again is not modelled.
  static std::shared_ptr<const Vocabulary> FromTokenizer(const text::Tokenizer& tokenizer);
  /// pieces[id]: the bytes of each token; an empty one is never allowed. `ends`: the tokens that end a generation.
  Vocabulary(std::vector<std::string> pieces, std::vector<int32_t> ends);
  ~Vocabulary();

  int32_t size() const { return static_cast<int32_t>(pieces_.size()); }
  /// 64-bit words of a mask: token id is bit id % 64 of word id / 64.
  size_t words() const { return (pieces_.size() + 63) / 64; }
  /// Empty: never allowed, or an end, or no such id.
  std::string_view piece(int32_t id) const;
  std::span<const int32_t> ends() const { return ends_; }
  bool IsEnd(int32_t id) const;
  const ByteTrie& trie() const { return trie_; }
  /// Whether every byte is a token, so that any bytes can be spelled.
  bool complete() const { return complete_; }
  /// Tokens that spell `bytes`, always taking the longest; kUnspellable when there is none for some byte.
  uint32_t CountTokens(std::string_view bytes) const;
  static constexpr uint32_t kUnspellable = UINT32_MAX;

  /// What is known about an automaton's states: the same object for automata that are equal but for their counts, as
  /// long as somebody holds it or it is among the last few that hold large sets.
  std::shared_ptr<const StateMasks> MasksOf(const std::shared_ptr<const Automaton>& automaton) const;

 private:
  struct Cache;
  std::vector<std::string> pieces_;
  std::vector<int32_t> ends_;  ///< Sorted.
  ByteTrie trie_;
  bool complete_;
  std::unique_ptr<Cache> cache_;
};

}  // namespace bonsai::grammar
