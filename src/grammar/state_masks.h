// What a vocabulary's tokens do in the states of one automaton, whoever called it: the part of a mask that does not
// depend on the stack. Internal to grammar/.
//
// From a state, a token either stays inside the automaton (it is allowed, whatever the stack), or has no way, or leaves
// by an accepting state, back to the caller. Of the latter kind only the remainders behind these exits are kept, as a
// trie: `",`, `":` and so on for the contents of a string; these few are tried on the stack. The state itself is no
// exit, because stacks are closed over what needs no byte (stacks.h).
//
// Automata with calls have none of this: they are the structure around texts and numbers, whose states allow few
// tokens, and trying these on the stacks takes microseconds.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "grammar/automaton.h"
#include "grammar/byte_trie.h"

namespace bonsai::grammar {

/// Ids, as a list or as a bit mask, whichever is smaller.
class TokenSet {
 public:
  TokenSet() = default;
  TokenSet(std::vector<uint32_t> ids, size_t words);
  /// Of a mask of so many words.
  explicit TokenSet(std::span<const uint64_t> mask);
  void AddTo(std::span<uint64_t> mask) const;
  size_t MemoryBytes() const { return ids_.capacity() * sizeof(uint32_t) + words_.capacity() * sizeof(uint64_t); }

 private:
  std::vector<uint32_t> ids_;
  std::vector<uint64_t> words_;
};

inline void SetBit(std::span<uint64_t> mask, int32_t id) {
  mask[static_cast<size_t>(id) / 64] |= uint64_t{1} << (static_cast<uint32_t>(id) % 64);
}

/// One state's.
struct StateMask {
  /// A counted automaton's token and how many more bodies it needs: those that end in it, and the one that it is in.
  struct Need {
    uint32_t bodies;
    uint32_t token;
  };
  /// The tokens inside, by the state that they lead to.
  struct End {
    uint32_t state;
    TokenSet tokens;
  };
  std::vector<End> ends;
  ByteTrie behind;          ///< What is left of tokens that leave. Counted automata: Item::count bodies ended before.
  std::vector<Need> needs;  ///< Counted automata: of all tokens inside, the largest first.
};

/// Of one automaton without calls. Thread safe; each state's is made when it is first asked for, in time linear in the
/// part of the vocabulary that begins with bytes the state allows (milliseconds for the inside of a string, then never
/// again).
class StateMasks {
 public:
  /// The trie outlives it; masks have `words` words.
  StateMasks(std::shared_ptr<const Automaton> automaton, const ByteTrie& trie, size_t words);
  const StateMask& Of(uint32_t state) const;

 private:
  std::unique_ptr<StateMask> Make(uint32_t state) const;

  std::shared_ptr<const Automaton> automaton_;
  const ByteTrie& trie_;
  size_t words_;
  std::vector<uint32_t> same_;  ///< The first state with the same edges: accepting or not is all the same here.
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<StateMask>> masks_;
};

}  // namespace bonsai::grammar
