// The form that JSON Schema, GBNF, regular expressions and choices of literals compile to: expressions over bytes, and
// rules that name them.
//
//   Grammar g;
//   const RuleId list = g.AddRule("list");                       // list ::= "[" (list ("," list)*)? "]"
//   const ExprId item = g.Reference(list);
//   const ExprId more = g.Repeat(g.Sequence({g.Literal(","), item}), 0, kUnbounded);
//   g.Define(list, g.Sequence({g.Literal("["), g.Optional(g.Sequence({item, more})), g.Literal("]")}));
//   BONSAI_ASSIGN(const auto program, Compile(g, list));         // program.h
//
// Rules may be recursive, but not on their left (Compile names the rule). Every function is total: what is wrong (a
// limit, an id of another grammar) is kept and returned by status(), and by Compile.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "grammar/automaton.h"
#include "grammar/char_set.h"
#include "grammar/limits.h"

namespace bonsai::grammar {

using ExprId = uint32_t;
using RuleId = uint32_t;

/// As the largest number of a repetition: any.
inline constexpr uint32_t kUnbounded = UINT32_MAX;

struct Expr {
  enum class Kind : uint8_t { kLiteral, kBytes, kChars, kSequence, kChoice, kRepeat, kReference, kAutomaton };
  Kind kind;
  uint32_t depth;        ///< Expressions below it, 1 for a leaf; references count as leaves.
  uint32_t first, size;  ///< In the pool of its kind; kRepeat: `first` is the body; kReference: the rule.
  uint32_t min = 1, max = 1;
};

/// A builder and its result. Move-only in spirit (copies are deep); not thread safe while it is built.
class Grammar {
 public:
  explicit Grammar(const Limits& limits = {}) : limits_(limits) {}

  /// Exactly these bytes; none of them is the empty string.
  ExprId Literal(std::string_view bytes);
  /// One byte of the set, UTF-8 or not.
  ExprId Bytes(const ByteSet& set);
  /// One character of the set, in UTF-8.
  ExprId Chars(const CharSet& set);
  ExprId Sequence(std::span<const ExprId> parts);
  ExprId Sequence(std::initializer_list<ExprId> parts) { return Sequence(std::span(parts.begin(), parts.size())); }
  /// One of the parts; of no parts: nothing matches, not even the empty string.
  ExprId Choice(std::span<const ExprId> parts);
  ExprId Choice(std::initializer_list<ExprId> parts) { return Choice(std::span(parts.begin(), parts.size())); }
  /// min ≤ max; max may be kUnbounded.
  ExprId Repeat(ExprId body, uint32_t min, uint32_t max);
  ExprId Optional(ExprId body) { return Repeat(body, 0, 1); }
  ExprId Reference(RuleId rule);
  /// The strings of a plain automaton (no calls, no counts): the way back from automaton.h's algebra.
  ExprId Embed(Automaton automaton);

  RuleId AddRule(std::string_view name);
  /// Once for each rule.
  void Define(RuleId rule, ExprId body);

  /// The first thing that went wrong; rules that are not defined are named.
  Status status() const;
  /// The same while rules are still to come.
  const Status& status_so_far() const { return status_; }

  const Limits& limits() const { return limits_; }
  size_t size() const { return exprs_.size(); }
  const Expr& expr(ExprId id) const { return exprs_[id]; }
  std::span<const ExprId> parts(const Expr& e) const { return std::span(parts_).subspan(e.first, e.size); }
  std::string_view literal(const Expr& e) const { return std::string_view(text_).substr(e.first, e.size); }
  const ByteSet& bytes(const Expr& e) const { return byte_sets_[e.first]; }
  const CharSet& chars(const Expr& e) const { return char_sets_[e.first]; }
  const Automaton& automaton(const Expr& e) const { return automata_[e.first]; }
  size_t rules() const { return rules_.size(); }
  const std::string& rule_name(RuleId rule) const { return rules_[rule].name; }
  ExprId rule_body(RuleId rule) const { return rules_[rule].body; }

 private:
  struct Rule {
    std::string name;
    ExprId body;
  };
  ExprId Add(Expr expr);
  ExprId AddParts(Expr::Kind kind, std::span<const ExprId> parts);
  void Fail(ErrorValue error);

  Limits limits_;
  std::vector<Expr> exprs_;
  std::vector<ExprId> parts_;
  std::string text_;
  std::vector<ByteSet> byte_sets_;
  std::vector<CharSet> char_sets_;
  std::vector<Automaton> automata_;
  std::vector<Rule> rules_;
  Status status_;
};

/// A choice of literals as a grammar; `rule` is its root.
Grammar LiteralChoice(std::span<const std::string> literals, RuleId& rule, const Limits& limits = {});

}  // namespace bonsai::grammar
