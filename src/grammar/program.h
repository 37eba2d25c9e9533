// A compiled grammar: automata that call each other, and the shortest way out of every state.
//
//   BONSAI_ASSIGN(std::shared_ptr<const Program> program, Compile(grammar, root));
//
// Small rules that are not recursive are inlined, so that most of a schema is one automaton. What repeats a large set
// (the contents of strings) becomes an automaton of its own, minimal, so that it is the same in all grammars and what a
// vocabulary knows about it (vocabulary.h) is found once. A long count over such a set is a number beside the state,
// not a chain of states: "counted" automata read body*, and enter `boundary` after each.
//
// No automaton accepts the empty string: where a rule may be empty, its callers have a way around it. So every call
// reads at least a byte, and following calls without reading ends, because left recursion is refused.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "grammar/automaton.h"
#include "grammar/grammar.h"

namespace bonsai::grammar {

/// Immutable, hence thread safe.
class Program {
 public:
  /// Lengths above this are all the same to us.
  static constexpr uint64_t kFar = uint64_t{1} << 40;

  const Automaton& automaton(uint32_t i) const { return *automata_[i].automaton; }
  const std::shared_ptr<const Automaton>& shared_automaton(uint32_t i) const { return automata_[i].automaton; }
  uint32_t automata() const { return static_cast<uint32_t>(automata_.size()); }
  uint32_t root() const { return 0; }
  /// Whether the empty string belongs to the language.
  bool accepts_empty() const { return accepts_empty_; }

  /// Bytes of the shortest string from a state to the end of its automaton; with counts: when `count` bodies are over.
  uint64_t Distance(uint32_t automaton, uint32_t state, uint32_t count) const;
  /// Appends that string, the first in byte order among those of its length; at most `most` bytes of it. The rest of
  /// such a string is such a string of the state behind its beginning, which is what makes a plan that is followed stay
  /// valid.
  void AppendShortest(uint32_t automaton, uint32_t state, uint32_t count, size_t most, std::string& out) const;

 private:
  friend class Compiler;
  friend class Distances;
  /// The first step of the shortest string: a byte, or a call.
  struct Step {
    uint32_t target = kNoState;
    uint32_t callee = kNoState;  ///< kNoState: a byte.
    uint8_t byte = 0;
  };
  struct Part {
    std::shared_ptr<const Automaton> automaton;
    std::string name;                ///< Of the rule, for messages.
    std::vector<uint64_t> distance;  ///< [states]; counted ones: to the boundary.
    std::vector<Step> step;          ///< [states]
  };
  std::vector<Part> automata_;
  bool accepts_empty_ = false;
};

/// kInvalidArgument: the grammar's own error, a limit, left recursion (names the rule), or a grammar that no text
/// matches.
Result<std::shared_ptr<const Program>> Compile(const Grammar& grammar, RuleId root);

/// The automaton of an expression without recursion, counts unrolled; minimal when that is not too much work. For the
/// algebra of automaton.h.
Result<Automaton> CompilePlain(const Grammar& grammar, ExprId expr);

}  // namespace bonsai::grammar
