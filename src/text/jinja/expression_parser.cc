#include "text/jinja/expression_parser.h"

#include <algorithm>

#include "text/jinja/builtins.h"

namespace bonsai::text::jinja {
namespace {

using TokenKind = Token::Kind;
using EKind = Expr::Kind;

constexpr int kMaxExprDepth = 200;  ///< Of the tree: a chain of as many + signs is as deep.

/// Binary operators that bind alike, from loose to tight. Those of a row associate to the left.
struct BinaryRow {
  std::string_view spelling;
  int level;
  Operator op;
};
constexpr BinaryRow kBinary[] = {
    {"+", 0, Operator::kAdd},      {"-", 0, Operator::kSubtract}, {"~", 1, Operator::kConcatenate},
    {"*", 2, Operator::kMultiply}, {"/", 2, Operator::kDivide},   {"//", 2, Operator::kFloorDivide},
    {"%", 2, Operator::kModulo},   {"**", 3, Operator::kPower},
};
constexpr int kBinaryLevels = 4;
constexpr std::pair<std::string_view, Operator> kCompare[] = {
    {"==", Operator::kEqual},     {"!=", Operator::kNotEqual}, {"<", Operator::kLess},
    {"<=", Operator::kLessEqual}, {">", Operator::kGreater},   {">=", Operator::kGreaterEqual},
};

}  // namespace

ErrorValue ExpressionParser::Unexpected(std::string_view wanted) const {
  constexpr std::string_view kNames[] = {"text", "'{{'", "'}}'", "'{%'", "'%}'"};
  const auto kind = static_cast<size_t>(Now().kind);
  const std::string found = Is(TokenKind::kEnd)        ? "the end of the template"
                            : kind < std::size(kNames) ? std::string(kNames[kind])
                            : Is(TokenKind::kString)   ? "a string"
                            : Now().text.empty()       ? "a number"
                                                       : formats::Quote(Now().text);
  return Bad(fmt::format("expected {}, found {}", wanted, found));
}

Result<ExprPtr> ExpressionParser::Make(Expr e) const {
  for (const ExprPtr& o : e.operands) e.depth = std::max(e.depth, o == nullptr ? 1 : o->depth + 1);
  for (const auto& [name, value] : e.named) e.depth = std::max(e.depth, value->depth + 1);
  if (e.depth > kMaxExprDepth) return Bad("an expression of too many parts", ErrorCode::kUnsupported);
  return ExprPtr(std::make_unique<Expr>(std::move(e)));
}

Result<ExprPtr> ExpressionParser::Tuple(bool conditional) {
  Expr list = New(EKind::kList);
  BONSAI_ASSIGN(ExprPtr first, conditional ? Expression() : Or());
  if (!IsOp(",")) return first;
  list.operands.push_back(std::move(first));
  while (SkipOp(",")) {
    if (Is(TokenKind::kPrintEnd) || Is(TokenKind::kBlockEnd) || IsOp(")")) break;
    BONSAI_ASSIGN(ExprPtr item, conditional ? Expression() : Or());
    list.operands.push_back(std::move(item));
  }
  return Make(std::move(list));
}

Result<ExprPtr> ExpressionParser::Expression() {
  const Deeper deeper(brackets_);
  if (brackets_ > kMaxNesting) return Bad("brackets are nested too deep", ErrorCode::kUnsupported);
  BONSAI_ASSIGN(ExprPtr value, Or());
  while (IsName("if")) {
    Expr e = New(EKind::kConditional);
    at_++;
    BONSAI_ASSIGN(ExprPtr condition, Or());
    ExprPtr otherwise;
    if (SkipName("else")) {
      BONSAI_ASSIGN(otherwise, Expression());
    }
    e.operands.push_back(std::move(value));
    e.operands.push_back(std::move(condition));
    e.operands.push_back(std::move(otherwise));
    BONSAI_ASSIGN(value, Make(std::move(e)));
  }
  return value;
}

Result<ExprPtr> ExpressionParser::Or() {
  BONSAI_ASSIGN(ExprPtr left, And());
  while (IsName("or")) {
    Expr e = New(EKind::kOr);
    at_++;
    BONSAI_ASSIGN(ExprPtr right, And());
    BONSAI_ASSIGN(left, MakePair(std::move(e), std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::And() {
  BONSAI_ASSIGN(ExprPtr left, Not());
  while (IsName("and")) {
    Expr e = New(EKind::kAnd);
    at_++;
    BONSAI_ASSIGN(ExprPtr right, Not());
    BONSAI_ASSIGN(left, MakePair(std::move(e), std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::Not() {
  if (!IsName("not")) return Comparison();
  const Deeper deeper(brackets_);
  if (brackets_ > kMaxNesting) return Bad("'not' is nested too deep", ErrorCode::kUnsupported);
  Expr e = New(EKind::kNot);
  at_++;
  BONSAI_ASSIGN(ExprPtr operand, Not());
  e.operands.push_back(std::move(operand));
  return Make(std::move(e));
}

std::optional<Operator> ExpressionParser::ComparisonOperator() {
  for (const auto& [spelling, op] : kCompare) {
    if (SkipOp(spelling)) return op;
  }
  if (SkipName("in")) return Operator::kIn;
  if (IsName("not") && Ahead().kind == TokenKind::kName && Ahead().text == "in") {
    at_ += 2;
    return Operator::kNotIn;
  }
  return std::nullopt;
}

Result<ExprPtr> ExpressionParser::Comparison() {
  Expr e = New(EKind::kCompare);
  BONSAI_ASSIGN(ExprPtr first, Binary(0));
  e.operands.push_back(std::move(first));
  while (const auto op = ComparisonOperator()) {
    e.operators.push_back(*op);
    BONSAI_ASSIGN(ExprPtr next, Binary(0));
    e.operands.push_back(std::move(next));
  }
  if (e.operators.empty()) return std::move(e.operands[0]);
  return Make(std::move(e));
}

Result<ExprPtr> ExpressionParser::Binary(int level) {
  if (level == kBinaryLevels) return Unary(true);
  BONSAI_ASSIGN(ExprPtr left, Binary(level + 1));
  for (;;) {
    const auto row = std::find_if(std::begin(kBinary), std::end(kBinary),
                                  [&](const BinaryRow& r) { return r.level == level && IsOp(r.spelling); });
    if (row == std::end(kBinary)) return left;
    Expr e = New(EKind::kBinary);
    e.operators.push_back(row->op);
    at_++;
    BONSAI_ASSIGN(ExprPtr right, Binary(level + 1));
    BONSAI_ASSIGN(left, MakePair(std::move(e), std::move(left), std::move(right)));
  }
}

Result<ExprPtr> ExpressionParser::Unary(bool with_filters) {
  ExprPtr node;
  if (IsOp("-") || IsOp("+")) {
    const Deeper deeper(brackets_);
    if (brackets_ > kMaxNesting) return Bad("signs are nested too deep", ErrorCode::kUnsupported);
    Expr e = New(IsOp("-") ? EKind::kNegative : EKind::kPositive);
    at_++;
    BONSAI_ASSIGN(ExprPtr operand, Unary(false));
    e.operands.push_back(std::move(operand));
    BONSAI_ASSIGN(node, Make(std::move(e)));
  } else {
    BONSAI_ASSIGN(node, Primary());
  }
  BONSAI_ASSIGN(node, Postfix(std::move(node)));
  if (!with_filters) return node;
  return Filters(std::move(node));
}

Result<ExprPtr> ExpressionParser::Primary() {
  if (SkipOp("(")) {
    if (IsOp(")")) return Sequence(EKind::kList, ")");
    BONSAI_ASSIGN(ExprPtr e, Tuple());
    BONSAI_RETURN_IF_ERROR(Expect(")"));
    return e;
  }
  if (SkipOp("[")) return Sequence(EKind::kList, "]");
  if (SkipOp("{")) return Sequence(EKind::kDict, "}");
  return Literal();
}

Result<ExprPtr> ExpressionParser::Literal() {
  Expr e = New(EKind::kLiteral);
  if (Is(TokenKind::kName)) {
    const std::string& name = Now().text;
    if (name == "true" || name == "True" || name == "false" || name == "False") {
      e.value = Value(name[0] == 't' || name[0] == 'T');
    } else if (name == "none" || name == "None") {
      e.value = Value(nullptr);
    } else {
      e.kind = EKind::kName;
      e.name = name;
    }
  } else if (Is(TokenKind::kString)) {
    std::string text = Now().text;  // neighbours are one
    for (; Ahead().kind == TokenKind::kString; at_++) text += Ahead().text;
    e.value = Value(Text(std::move(text), true));
  } else if (Is(TokenKind::kInteger)) {
    e.value = Value(Now().integer);
  } else if (Is(TokenKind::kFloat)) {
    e.value = Value(Now().real);
  } else {
    return Unexpected("an expression");
  }
  at_++;
  return Make(std::move(e));
}

/// [a, b], (), {a: b}, behind the opening bracket.
Result<ExprPtr> ExpressionParser::Sequence(EKind kind, std::string_view close) {
  Expr e = New(kind);
  while (!IsOp(close)) {
    BONSAI_ASSIGN(ExprPtr item, Expression());
    e.operands.push_back(std::move(item));
    if (kind == EKind::kDict) {
      BONSAI_RETURN_IF_ERROR(Expect(":"));
      BONSAI_ASSIGN(ExprPtr value, Expression());
      e.operands.push_back(std::move(value));
    }
    if (!SkipOp(",")) break;
  }
  BONSAI_RETURN_IF_ERROR(Expect(close));
  return Make(std::move(e));
}

Result<ExprPtr> ExpressionParser::Postfix(ExprPtr node) {
  for (;;) {
    if (SkipOp(".")) {
      Expr e = New(EKind::kAttribute);
      if (Is(TokenKind::kInteger)) {  // a.0
        e.kind = EKind::kItem;
        BONSAI_ASSIGN(ExprPtr index, Literal());
        BONSAI_ASSIGN(node, MakePair(std::move(e), std::move(node), std::move(index)));
        continue;
      }
      BONSAI_ASSIGN(e.name, Name());
      e.operands.push_back(std::move(node));
      BONSAI_ASSIGN(node, Make(std::move(e)));
    } else if (SkipOp("[")) {
      BONSAI_ASSIGN(node, Subscript(std::move(node)));
    } else if (IsOp("(")) {
      Expr e = New(EKind::kCall);
      e.operands.push_back(std::move(node));
      BONSAI_RETURN_IF_ERROR(Arguments(e));
      BONSAI_ASSIGN(node, Make(std::move(e)));
    } else {
      return node;
    }
  }
}

/// a[i], a[begin:end:step], behind the bracket.
Result<ExprPtr> ExpressionParser::Subscript(ExprPtr node) {
  Expr e = New(EKind::kSlice);
  e.operands.push_back(std::move(node));
  e.operands.resize(4);
  size_t part = 1;
  for (; part < 4; part++) {
    if (!IsOp(":") && !IsOp("]")) {
      BONSAI_ASSIGN(e.operands[part], Expression());
    }
    if (!SkipOp(":")) break;
  }
  if (part == 1) {
    if (e.operands[1] == nullptr) return Unexpected("an index");
    e.kind = EKind::kItem;
    e.operands.resize(2);
  }
  BONSAI_RETURN_IF_ERROR(Expect("]"));
  return Make(std::move(e));
}

Result<ExprPtr> ExpressionParser::Filters(ExprPtr node) {
  for (;;) {
    if (SkipOp("|")) {
      BONSAI_ASSIGN(node, FilterCall(std::move(node)));
    } else if (SkipName("is")) {
      BONSAI_ASSIGN(node, TestCall(std::move(node)));
    } else if (IsOp("(")) {
      BONSAI_ASSIGN(node, Postfix(std::move(node)));
    } else {
      return node;
    }
  }
}

/// Behind the |.
Result<ExprPtr> ExpressionParser::FilterCall(ExprPtr node) {
  Expr e = New(EKind::kFilter);
  e.builtin = Is(TokenKind::kName) ? FindFilter(Now().text) : nullptr;
  if (Is(TokenKind::kName) && e.builtin == nullptr) {
    return Bad(fmt::format("filter {} is not supported", formats::Quote(Now().text)), ErrorCode::kUnsupported);
  }
  BONSAI_ASSIGN(e.name, Name());
  e.operands.push_back(std::move(node));
  if (IsOp("(")) BONSAI_RETURN_IF_ERROR(Arguments(e));
  return Make(std::move(e));
}

/// Behind the `is`. One argument may come without parentheses.
Result<ExprPtr> ExpressionParser::TestCall(ExprPtr node) {
  Expr e = New(EKind::kTest);
  const bool negated = SkipName("not");
  e.builtin = Is(TokenKind::kName) ? FindTest(Now().text) : nullptr;
  if (Is(TokenKind::kName) && e.builtin == nullptr) {
    return Bad(fmt::format("test {} is not supported", formats::Quote(Now().text)), ErrorCode::kUnsupported);
  }
  BONSAI_ASSIGN(e.name, Name());
  e.operands.push_back(std::move(node));
  constexpr std::string_view kKeywords[] = {"else", "or", "and", "if", "is", "in", "not", "recursive"};
  const bool operand = Is(TokenKind::kString) || Is(TokenKind::kInteger) || Is(TokenKind::kFloat) || IsOp("[") ||
                       IsOp("{") ||
                       (Is(TokenKind::kName) &&
                        std::find(std::begin(kKeywords), std::end(kKeywords), Now().text) == std::end(kKeywords));
  if (IsOp("(")) {
    BONSAI_RETURN_IF_ERROR(Arguments(e));
  } else if (operand) {
    BONSAI_ASSIGN(ExprPtr argument, Primary());
    BONSAI_ASSIGN(argument, Postfix(std::move(argument)));
    e.operands.push_back(std::move(argument));
  }
  Expr wrap = New(EKind::kNot);
  BONSAI_ASSIGN(ExprPtr test, Make(std::move(e)));
  if (!negated) return test;
  wrap.operands.push_back(std::move(test));
  return Make(std::move(wrap));
}

/// (a, b, name=c), from the bracket on.
Status ExpressionParser::Arguments(Expr& call) {
  BONSAI_RETURN_IF_ERROR(Expect("("));
  while (!IsOp(")")) {
    if (IsOp("*") || IsOp("**")) return Bad("* and ** before arguments are not supported", ErrorCode::kUnsupported);
    if (Is(TokenKind::kName) && Ahead().kind == TokenKind::kOperator && Ahead().text == "=") {
      BONSAI_ASSIGN(std::string name, Name());
      at_++;
      BONSAI_ASSIGN(ExprPtr value, Expression());
      call.named.emplace_back(std::move(name), std::move(value));
    } else {
      if (!call.named.empty()) return Bad("an argument without a name follows one with a name");
      BONSAI_ASSIGN(ExprPtr value, Expression());
      call.operands.push_back(std::move(value));
    }
    if (!SkipOp(",")) break;
  }
  return Expect(")");
}

}  // namespace bonsai::text::jinja
