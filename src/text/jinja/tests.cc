// Tests: what may stand behind `is`.
#include "text/jinja/builtins.h"
#include "text/jinja/evaluator.h"
#include "text/jinja/operators.h"

namespace bonsai::text::jinja {
namespace {

using Kind = Value::Kind;

template <Kind kKind>
Result<Value> TestKind(Evaluator&, const Args& a) {
  return Value(a.values[0].is(kKind));
}

template <bool kTruth>
Result<Value> TestBool(Evaluator&, const Args& a) {
  return Value(a.values[0].is(Kind::kBool) && a.values[0].boolean() == kTruth);
}

template <Operator kOperator>
Result<Value> TestOperator(Evaluator& e, const Args& a) {
  return Apply(kOperator, a.values[0], a.values[1], e.budget());
}

Result<Value> TestDefined(Evaluator&, const Args& a) { return Value(a.values[0].defined()); }
Result<Value> TestNumber(Evaluator&, const Args& a) { return Value(a.values[0].IsNumber()); }

/// As in Jinja, an undefined value is an empty sequence, and a dictionary and a text are sequences.
Result<Value> TestSequence(Evaluator&, const Args& a) {
  const Kind kind = a.values[0].kind();
  return Value(kind == Kind::kUndefined || kind == Kind::kString || kind == Kind::kList || kind == Kind::kDict);
}

Result<Value> TestCallable(Evaluator&, const Args& a) {
  return Value(a.values[0].As<Macro>() != nullptr || a.values[0].As<Bound>() != nullptr);
}

Result<Value> Divisible(const Value& v, const Value& by, int64_t rest, Budget& budget) {
  BONSAI_ASSIGN(const Value remainder, Apply(Operator::kModulo, v, by, budget));
  return Value(Equal(remainder, Value(rest), budget));
}
Result<Value> TestDivisibleBy(Evaluator& e, const Args& a) {
  return Divisible(a.values[0], a.values[1], 0, e.budget());
}
template <int64_t kRest>
Result<Value> TestParity(Evaluator& e, const Args& a) {
  return Divisible(a.values[0], Value(int64_t{2}), kRest, e.budget());
}

/// Whether the text has letters, and all of this case.
template <Case kCase>
Result<Value> TestCase(Evaluator& e, const Args& a) {
  const Text text = ToText(a.values[0], e.budget());
  e.budget().Spend(16 * text.size());
  constexpr Case kOther = kCase == Case::kUpper ? Case::kLower : Case::kUpper;
  return Value(ChangeCase(text, kCase).bytes() == text.bytes() && ChangeCase(text, kOther).bytes() != text.bytes());
}

/// Python's `is`: the same kind, and equal. (Two equal lists may be two.)
Result<Value> TestSameAs(Evaluator& e, const Args& a) {
  return Value(a.values[0].kind() == a.values[1].kind() && Equal(a.values[0], a.values[1], e.budget()));
}

constexpr Builtin kTests[] = {
    {"!=", "a b", TestOperator<Operator::kNotEqual>},
    {"<", "a b", TestOperator<Operator::kLess>},
    {"<=", "a b", TestOperator<Operator::kLessEqual>},
    {"==", "a b", TestOperator<Operator::kEqual>},
    {">", "a b", TestOperator<Operator::kGreater>},
    {">=", "a b", TestOperator<Operator::kGreaterEqual>},
    {"boolean", "value", TestKind<Kind::kBool>},
    {"callable", "value", TestCallable},
    {"defined", "value", TestDefined},
    {"divisibleby", "value num", TestDivisibleBy},
    {"eq", "a b", TestOperator<Operator::kEqual>},
    {"equalto", "a b", TestOperator<Operator::kEqual>},
    {"even", "value", TestParity<0>},
    {"false", "value", TestBool<false>},
    {"float", "value", TestKind<Kind::kFloat>},
    {"ge", "a b", TestOperator<Operator::kGreaterEqual>},
    {"greaterthan", "a b", TestOperator<Operator::kGreater>},
    {"gt", "a b", TestOperator<Operator::kGreater>},
    {"in", "value seq", TestOperator<Operator::kIn>},
    {"integer", "value", TestKind<Kind::kInt>},
    {"iterable", "value", TestSequence},  // what we iterate over is what has a length
    {"le", "a b", TestOperator<Operator::kLessEqual>},
    {"lessthan", "a b", TestOperator<Operator::kLess>},
    {"lower", "value", TestCase<Case::kLower>},
    {"lt", "a b", TestOperator<Operator::kLess>},
    {"mapping", "value", TestKind<Kind::kDict>},
    {"ne", "a b", TestOperator<Operator::kNotEqual>},
    {"none", "value", TestKind<Kind::kNull>},
    {"number", "value", TestNumber},
    {"odd", "value", TestParity<1>},
    {"sameas", "value other", TestSameAs},
    {"sequence", "value", TestSequence},
    {"string", "value", TestKind<Kind::kString>},
    {"true", "value", TestBool<true>},
    {"undefined", "value", TestKind<Kind::kUndefined>},
    {"upper", "value", TestCase<Case::kUpper>},
};

}  // namespace

const Builtin* FindTest(std::string_view name) {
  for (const Builtin& b : kTests) {
    if (b.name == name) return &b;
  }
  return nullptr;
}

}  // namespace bonsai::text::jinja
