// One generation under a grammar: what may come next, as a mask over the vocabulary.
//
//   auto constraint = std::make_shared<const Constraint>(program, vocabulary);   // once for each grammar
//   Matcher matcher(constraint);                                                 // once for each generation
//   std::vector<uint64_t> mask(vocabulary->words());
//   BONSAI_RETURN_IF_ERROR(matcher.Mask(mask, tokens_left));                     // bit id: token id may follow
//   BONSAI_RETURN_IF_ERROR(matcher.AcceptToken(id));
//
// A budget is kept like this: TokensToEnd() is how many tokens the shortest completion takes, spelled greedily. While
// it is at most the tokens that are left, Mask(…, tokens_left) allows only tokens behind which it is at most one less;
// one such token always exists, so whoever obeys the masks reaches an end in time. Tokens that end a generation are not
// counted.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "grammar/program.h"
#include "grammar/stacks.h"
#include "grammar/vocabulary.h"

namespace bonsai::grammar {

/// A program with what a vocabulary's tokens do in it. Immutable to its users and thread safe.
class Constraint {
 public:
  Constraint(std::shared_ptr<const Program> program, std::shared_ptr<const Vocabulary> vocabulary,
             const Limits& limits = {});
  const Program& program() const { return *program_; }
  const Vocabulary& vocabulary() const { return *vocabulary_; }
  const Limits& limits() const { return limits_; }
  /// Of an automaton without calls.
  const StateMask& MaskOf(uint32_t automaton, uint32_t state) const { return masks_[automaton]->Of(state); }

 private:
  std::shared_ptr<const Vocabulary> vocabulary_;  // first: masks refer to it
  std::shared_ptr<const Program> program_;
  Limits limits_;
  std::vector<std::shared_ptr<const StateMasks>> masks_;
};

/// Not thread safe; one for each generation.
class Matcher {
 public:
  static constexpr uint32_t kNoBudget = UINT32_MAX;

  explicit Matcher(std::shared_ptr<const Constraint> constraint);

  /// Goes on by these bytes, all of them or (kInvalidArgument, with the offset of the first that does not fit) none.
  Status AcceptBytes(std::string_view bytes);
  /// The same for a token; one that ends a generation needs CanEnd(), and nothing follows it.
  Status AcceptToken(int32_t id);

  /// Whether the text so far matches the grammar.
  bool CanEnd() const { return !ended_ && stacks_->can_end(set_); }
  /// Whether a token that ends a generation has been accepted, or none but such can follow.
  bool ended() const { return ended_; }

  /// Sets mask [Vocabulary::words()] to the tokens that may follow; those that end a generation only where CanEnd().
  /// With a budget (tokens that may still be generated, the next one included): see above; when no completion fits it,
  /// what leads to the shortest one. kInvalidArgument: nothing may follow, not even the end (after an end, or when the
  /// vocabulary cannot spell what the grammar wants, or its parses exceed Limits::stacks).
  Status Mask(std::span<uint64_t> mask, uint32_t budget = kNoBudget);

  /// Bytes that must come next, as far as there is one way only and no end, at most `most`.
  std::string ForcedBytes(size_t most = 4096);
  /// Bytes of the shortest completion; 0 when CanEnd().
  uint64_t BytesToEnd() const { return stacks_->Distance(set_); }
  /// A number of tokens that is enough for a completion, and can be kept to: see above. UINT32_MAX: the vocabulary
  /// cannot spell it. Completions over 64 KB count a token a byte.
  uint32_t TokensToEnd() { return TokensToEnd(set_); }
  /// Such a completion.
  std::string Completion();
  /// Equal while nothing is accepted, and for equal states between resets of the memory: for statistics.
  uint32_t state() const { return set_; }

 private:
  using NodeId = Stacks::NodeId;
  using SetId = Stacks::SetId;
  struct Known {
    TokenSet tokens;
    uint64_t farthest;  ///< Most bytes to an end behind any of the tokens.
  };
  /// What a mask is made for: with a limit, tokens behind which more than that many are needed are left out.
  struct Job {
    std::span<uint64_t> mask;
    uint32_t limit = kNoBudget;
    uint64_t farthest = 0;
  };

  uint32_t TokensToEnd(SetId set);
  uint32_t TokensFrom(NodeId node);
  bool AddKnown(std::span<uint64_t> mask, uint32_t limit);
  void Collect(Job& job);
  void AddNode(NodeId node, Job& job);
  bool ExitsMatter(NodeId node);
  uint32_t BodiesLeft(NodeId node) const;
  std::vector<const TokenSet*> EndsThatFit(NodeId node, const StateMask& known, Job& job);
  bool NodeFits(NodeId node, Job& job);
  void AddWithinCount(NodeId node, const StateMask& known, Job& job);
  void AddInsideOneByOne(NodeId node, Job& job);
  void AddBehind(NodeId node, const ByteTrie& trie, Job& job);
  void AddAll(NodeId node, Job& job);
  bool Fits(SetId set, Job& job);
  void MakeRoom();

  std::shared_ptr<const Constraint> constraint_;
  std::unique_ptr<Stacks> stacks_;
  SetId set_;
  bool ended_ = false;
  std::unordered_map<SetId, Known> known_;
  size_t known_bytes_ = 0;
  std::vector<uint32_t> tokens_;  ///< By node, for TokensFrom; kNotCounted.
};

}  // namespace bonsai::grammar
