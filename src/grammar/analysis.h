// What the compiler wants to know about expressions before it builds automata. Internal to grammar/.
#pragma once

#include <cstdint>
#include <vector>

#include "grammar/grammar.h"

namespace bonsai::grammar {

/// Facts about every expression of a grammar that is complete. Time and memory are linear in it, whatever its rules do.
class Analysis {
 public:
  explicit Analysis(const Grammar& grammar);

  bool nullable(ExprId e) const { return nullable_[e] != 0; }
  /// Whether the rule's body can reach itself.
  bool recursive(RuleId rule) const { return facts_[g_.rule_body(rule)].recursive; }
  /// Whether references to the rule become its body: it is small and not recursive.
  bool inlined(RuleId rule) const { return Inlined(g_.rule_body(rule)); }
  /// About how many states it becomes, with inlined rules; saturates.
  uint64_t size(ExprId e) const { return facts_[e].size; }
  /// Whether it is a regular expression of moderate size that may begin with any of many bytes: what is worth an
  /// automaton of its own when it repeats, because each of its states allows many tokens.
  bool wide(ExprId e) const;

 private:
  struct Facts {
    uint64_t size = 0, plain_size = 0;      ///< plain: all rules inlined.
    uint32_t height = 0, plain_height = 0;  ///< Levels of recursion that building it takes.
    bool plain = true;                      ///< Reaches no recursive rule.
    bool recursive = false;
  };
  /// Rules of up to so many states are inlined, in up to so many levels: as large as the rules of JSON's grammar are,
  /// so that only objects and arrays remain calls.
  static constexpr uint64_t kInlineSize = 256;
  static constexpr uint32_t kInlineHeight = 300;

  bool Inlined(ExprId body) const {
    const Facts& f = facts_[body];
    return !f.recursive && f.size <= kInlineSize && f.height <= kInlineHeight;
  }
  void FindNullable();
  void Visit(ExprId root);
  void Finish(ExprId e, bool recursive);
  ExprId Child(ExprId e, size_t i) const;
  size_t Children(ExprId e) const;

  const Grammar& g_;
  std::vector<uint8_t> nullable_;
  std::vector<Facts> facts_;
  std::vector<ByteSet> first_;
  // Tarjan's algorithm, over expressions and what they refer to.
  std::vector<uint32_t> index_, low_;
  std::vector<uint8_t> on_stack_;
  std::vector<ExprId> stack_;
  uint32_t next_ = 0;
};

}  // namespace bonsai::grammar
