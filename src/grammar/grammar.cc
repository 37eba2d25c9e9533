#include "grammar/grammar.h"

#include <algorithm>
#include <utility>

namespace bonsai::grammar {

namespace {
constexpr ExprId kUndefined = UINT32_MAX;
}  // namespace

void Grammar::Fail(ErrorValue error) {
  if (status_.ok()) status_ = std::move(error);
}

ExprId Grammar::Add(Expr expr) {
  if (exprs_.size() >= limits_.expressions) {
    Fail(Error(ErrorCode::kInvalidArgument, "the grammar has more than {} expressions", limits_.expressions));
    return 0;
  }
  if (expr.depth > limits_.depth) {
    Fail(Error(ErrorCode::kInvalidArgument, "the grammar nests deeper than {} levels", limits_.depth));
    expr.depth = limits_.depth;
  }
  exprs_.push_back(expr);
  return static_cast<ExprId>(exprs_.size() - 1);
}

ExprId Grammar::Literal(std::string_view bytes) {
  if (bytes.size() > limits_.nfa_states || text_.size() > UINT32_MAX - bytes.size()) {
    Fail(Error(ErrorCode::kInvalidArgument, "a literal of {} bytes is too long (at most {})", bytes.size(),
               limits_.nfa_states));
    bytes = {};
  }
  const auto first = static_cast<uint32_t>(text_.size());
  text_ += bytes;
  return Add({Expr::Kind::kLiteral, 1, first, static_cast<uint32_t>(bytes.size())});
}

ExprId Grammar::Bytes(const ByteSet& set) {
  byte_sets_.push_back(set);
  return Add({Expr::Kind::kBytes, 1, static_cast<uint32_t>(byte_sets_.size() - 1), 1});
}

ExprId Grammar::Chars(const CharSet& set) {
  char_sets_.push_back(set);
  static_cast<void>(char_sets_.back().ranges());  // sorted now, so that reading it later changes nothing
  return Add({Expr::Kind::kChars, 1, static_cast<uint32_t>(char_sets_.size() - 1), 1});
}

ExprId Grammar::AddParts(Expr::Kind kind, std::span<const ExprId> parts) {
  const auto first = static_cast<uint32_t>(parts_.size());
  uint32_t depth = 0;
  for (const ExprId part : parts) {
    if (part >= exprs_.size()) {
      Fail(Error(ErrorCode::kInvalidArgument, "expression {} does not exist", part));
      continue;
    }
    depth = std::max(depth, exprs_[part].depth);
    parts_.push_back(part);
  }
  return Add({kind, depth + 1, first, static_cast<uint32_t>(parts_.size()) - first});
}

ExprId Grammar::Sequence(std::span<const ExprId> parts) {
  return parts.size() == 1 ? parts[0] : AddParts(Expr::Kind::kSequence, parts);
}

ExprId Grammar::Choice(std::span<const ExprId> parts) {
  return parts.size() == 1 ? parts[0] : AddParts(Expr::Kind::kChoice, parts);
}

ExprId Grammar::Repeat(ExprId body, uint32_t min, uint32_t max) {
  if (body >= exprs_.size()) {
    Fail(Error(ErrorCode::kInvalidArgument, "expression {} does not exist", body));
    return Literal("");
  }
  if (min > max) {
    Fail(Error(ErrorCode::kInvalidArgument, "a repetition of {} to {} times ends before it begins", min, max));
    max = min;
  }
  const uint32_t largest = max == kUnbounded ? min : max;
  if (largest > limits_.repetitions) {
    Fail(Error(ErrorCode::kInvalidArgument, "a repetition of {} times is too long (at most {}; or leave it open)",
               largest, limits_.repetitions));
    return Literal("");
  }
  if (min == 1 && max == 1) return body;
  return Add({Expr::Kind::kRepeat, exprs_[body].depth + 1, body, 1, min, max});
}

ExprId Grammar::Reference(RuleId rule) {
  if (rule >= rules_.size()) {
    Fail(Error(ErrorCode::kInvalidArgument, "rule {} does not exist", rule));
    return Literal("");
  }
  return Add({Expr::Kind::kReference, 1, rule, 1});
}

ExprId Grammar::Embed(Automaton automaton) {
  if (!automaton.plain()) {
    Fail(Error(ErrorCode::kInvalidArgument, "only automata without calls can be embedded"));
    return Literal("");
  }
  automata_.push_back(std::move(automaton));
  return Add({Expr::Kind::kAutomaton, 1, static_cast<uint32_t>(automata_.size() - 1), 1});
}

RuleId Grammar::AddRule(std::string_view name) {
  if (rules_.size() >= limits_.rules) {
    Fail(Error(ErrorCode::kInvalidArgument, "the grammar has more than {} rules", limits_.rules));
    return 0;
  }
  rules_.push_back({std::string(name), kUndefined});
  return static_cast<RuleId>(rules_.size() - 1);
}

void Grammar::Define(RuleId rule, ExprId body) {
  if (rule >= rules_.size() || body >= exprs_.size()) {
    return Fail(Error(ErrorCode::kInvalidArgument, "rule {} or expression {} does not exist", rule, body));
  }
  if (rules_[rule].body != kUndefined) {
    return Fail(Error(ErrorCode::kInvalidArgument, "rule \"{}\" is defined twice", rules_[rule].name));
  }
  rules_[rule].body = body;
}

Status Grammar::status() const {
  if (!status_.ok()) return status_;
  for (const Rule& rule : rules_) {
    if (rule.body == kUndefined) return Error(ErrorCode::kInvalidArgument, "rule \"{}\" is not defined", rule.name);
  }
  return {};
}

Grammar LiteralChoice(std::span<const std::string> literals, RuleId& rule, const Limits& limits) {
  Grammar grammar(limits);
  rule = grammar.AddRule("root");
  std::vector<ExprId> parts;
  parts.reserve(literals.size());
  for (const std::string& literal : literals) parts.push_back(grammar.Literal(literal));
  grammar.Define(rule, grammar.Choice(parts));
  return grammar;
}

}  // namespace bonsai::grammar
