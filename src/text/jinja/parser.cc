#include "text/jinja/parser.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <utility>

#include "formats/metadata.h"
#include "text/jinja/builtins.h"
#include "text/jinja/lexer.h"

namespace bonsai::text::jinja {
namespace {

using TokenKind = Token::Kind;
using EKind = Expr::Kind;
using SKind = Stmt::Kind;

constexpr int kMaxExprDepth = 200;  ///< Of the tree: a chain of as many + signs is as deep.
constexpr int kMaxNesting = 60;     ///< Of brackets and, apart, of blocks.

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

/// Counts how deep a recursion is while it lives.
class Deeper {
 public:
  explicit Deeper(int& depth) : depth_(++depth) {}
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;
  ~Deeper() { --depth_; }

 private:
  int& depth_;
};

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Result<Body> Template() {
    BONSAI_ASSIGN(Body body, ParseBody({}));
    if (!Is(TokenKind::kEnd)) return Bad(fmt::format("{{% {} %}} has nothing to end", Now().text));
    return body;
  }

 private:
  const Token& Now() const { return tokens_[at_]; }
  const Token& Ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  bool Is(TokenKind kind) const { return Now().kind == kind; }
  bool IsOp(std::string_view s) const { return Is(TokenKind::kOperator) && Now().text == s; }
  bool IsName(std::string_view s) const { return Is(TokenKind::kName) && Now().text == s; }
  bool SkipOp(std::string_view s) { return IsOp(s) && ++at_ != 0; }
  bool SkipName(std::string_view s) { return IsName(s) && ++at_ != 0; }

  ErrorValue Bad(std::string_view what, ErrorCode code = ErrorCode::kCorrupt) const {
    return Error(code, "line {}: {}", Now().line, what);
  }
  ErrorValue Unexpected(std::string_view wanted) const {
    constexpr std::string_view kNames[] = {"text", "'{{'", "'}}'", "'{%'", "'%}'"};
    const auto kind = static_cast<size_t>(Now().kind);
    const std::string found = Is(TokenKind::kEnd)        ? "the end of the template"
                              : kind < std::size(kNames) ? std::string(kNames[kind])
                              : Is(TokenKind::kString)   ? "a string"
                              : Now().text.empty()       ? "a number"
                                                         : formats::Quote(Now().text);
    return Bad(fmt::format("expected {}, found {}", wanted, found));
  }
  Status Expect(std::string_view op) { return SkipOp(op) ? Status() : Status(Unexpected(fmt::format("'{}'", op))); }
  Status ExpectBlockEnd() {
    if (!Is(TokenKind::kBlockEnd)) return Unexpected("'%}'");
    at_++;
    return {};
  }
  Result<std::string> Name() {
    if (!Is(TokenKind::kName)) return Unexpected("a name");
    return tokens_[at_++].text;
  }

  Expr New(EKind kind) const {
    Expr e;
    e.kind = kind;
    e.line = Now().line;
    return e;
  }
  Result<ExprPtr> Make(Expr e) const {
    for (const ExprPtr& o : e.operands) e.depth = std::max(e.depth, o == nullptr ? 1 : o->depth + 1);
    for (const auto& [name, value] : e.named) e.depth = std::max(e.depth, value->depth + 1);
    if (e.depth > kMaxExprDepth) return Bad("an expression of too many parts", ErrorCode::kUnsupported);
    return ExprPtr(std::make_unique<Expr>(std::move(e)));
  }
  Result<ExprPtr> MakePair(Expr e, ExprPtr a, ExprPtr b) const {
    e.operands.push_back(std::move(a));
    e.operands.push_back(std::move(b));
    return Make(std::move(e));
  }

  // Expressions, from loose to tight.
  Result<ExprPtr> Tuple(bool conditional = true);
  Result<ExprPtr> Expression();
  Result<ExprPtr> Or();
  Result<ExprPtr> And();
  Result<ExprPtr> Not();
  Result<ExprPtr> Comparison();
  std::optional<Operator> ComparisonOperator();
  Result<ExprPtr> Binary(int level);
  Result<ExprPtr> Unary(bool with_filters);
  Result<ExprPtr> Primary();
  Result<ExprPtr> Literal();
  Result<ExprPtr> Sequence(EKind kind, std::string_view close);
  Result<ExprPtr> Postfix(ExprPtr e);
  Result<ExprPtr> Subscript(ExprPtr e);
  Result<ExprPtr> Filters(ExprPtr e);
  Result<ExprPtr> FilterCall(ExprPtr e);
  Result<ExprPtr> TestCall(ExprPtr e);
  Status Arguments(Expr& call);

  // Statements. Each begins behind the tag's name.
  Result<Body> ParseBody(std::initializer_list<std::string_view> ends);
  Status Statement(Body& body);
  Status If(Stmt& s);
  Status For(Stmt& s);
  Status SetStatement(Stmt& s);
  Status Macro(Stmt& s);
  Status CallBlock(Stmt& s);
  Status FilterBlock(Stmt& s);
  Status With(Stmt& s);
  Status Generation(Stmt& s);
  Status Jump(Stmt& s, SKind kind);
  Status Break(Stmt& s) { return Jump(s, SKind::kBreak); }
  Status Continue(Stmt& s) { return Jump(s, SKind::kContinue); }
  Status Targets(Stmt& s);
  Status Parameters(Stmt& s);
  Status MacroBody(Stmt& s, std::string_view end);
  /// What stands between the current tag and {% end %}, and that.
  Status BodyUntil(Stmt& s, std::string_view end);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int brackets_ = 0, blocks_ = 0, loops_ = 0;
};

Result<ExprPtr> Parser::Tuple(bool conditional) {
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

Result<ExprPtr> Parser::Expression() {
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

Result<ExprPtr> Parser::Or() {
  BONSAI_ASSIGN(ExprPtr left, And());
  while (IsName("or")) {
    Expr e = New(EKind::kOr);
    at_++;
    BONSAI_ASSIGN(ExprPtr right, And());
    BONSAI_ASSIGN(left, MakePair(std::move(e), std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> Parser::And() {
  BONSAI_ASSIGN(ExprPtr left, Not());
  while (IsName("and")) {
    Expr e = New(EKind::kAnd);
    at_++;
    BONSAI_ASSIGN(ExprPtr right, Not());
    BONSAI_ASSIGN(left, MakePair(std::move(e), std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> Parser::Not() {
  if (!IsName("not")) return Comparison();
  const Deeper deeper(brackets_);
  if (brackets_ > kMaxNesting) return Bad("'not' is nested too deep", ErrorCode::kUnsupported);
  Expr e = New(EKind::kNot);
  at_++;
  BONSAI_ASSIGN(ExprPtr operand, Not());
  e.operands.push_back(std::move(operand));
  return Make(std::move(e));
}

std::optional<Operator> Parser::ComparisonOperator() {
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

Result<ExprPtr> Parser::Comparison() {
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

Result<ExprPtr> Parser::Binary(int level) {
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

Result<ExprPtr> Parser::Unary(bool with_filters) {
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

Result<ExprPtr> Parser::Primary() {
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

Result<ExprPtr> Parser::Literal() {
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
Result<ExprPtr> Parser::Sequence(EKind kind, std::string_view close) {
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

Result<ExprPtr> Parser::Postfix(ExprPtr node) {
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
Result<ExprPtr> Parser::Subscript(ExprPtr node) {
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

Result<ExprPtr> Parser::Filters(ExprPtr node) {
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
Result<ExprPtr> Parser::FilterCall(ExprPtr node) {
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
Result<ExprPtr> Parser::TestCall(ExprPtr node) {
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
Status Parser::Arguments(Expr& call) {
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

Result<Body> Parser::ParseBody(std::initializer_list<std::string_view> ends) {
  const Deeper deeper(blocks_);
  if (blocks_ > kMaxNesting) return Bad("blocks are nested too deep", ErrorCode::kUnsupported);
  Body body;
  for (; !Is(TokenKind::kEnd); at_++) {
    auto s = std::make_unique<Stmt>();
    s->line = Now().line;
    if (Is(TokenKind::kData)) {
      s->value = Value(Text(Now().text, true));
      body.push_back(std::move(s));
    } else if (Is(TokenKind::kPrintBegin)) {
      at_++;
      s->kind = SKind::kPrint;
      BONSAI_ASSIGN(ExprPtr e, Tuple());
      s->exprs.push_back(std::move(e));
      if (!Is(TokenKind::kPrintEnd)) return Unexpected("'}}'");
      body.push_back(std::move(s));
    } else {
      at_++;
      if (!Is(TokenKind::kName)) return Unexpected("the name of a tag");
      if (Now().text.starts_with("end") || std::find(ends.begin(), ends.end(), Now().text) != ends.end()) break;
      BONSAI_RETURN_IF_ERROR(Statement(body));
    }
  }
  const bool at_end = ends.size() == 0 || std::find(ends.begin(), ends.end(), Now().text) != ends.end();
  if (at_end && (ends.size() == 0 || Is(TokenKind::kName))) return body;
  return Unexpected(fmt::format("{{% {} %}}", *(ends.end() - 1)));
}

/// From the tag's name to its (last) %}, on which it stops.
Status Parser::Statement(Body& body) {
  struct Row {
    std::string_view name;
    Status (Parser::*parse)(Stmt&);
  };
  constexpr Row kTags[] = {
      {"if", &Parser::If},
      {"for", &Parser::For},
      {"set", &Parser::SetStatement},
      {"macro", &Parser::Macro},
      {"call", &Parser::CallBlock},
      {"filter", &Parser::FilterBlock},
      {"with", &Parser::With},
      {"generation", &Parser::Generation},
      {"break", &Parser::Break},
      {"continue", &Parser::Continue},
  };
  for (const Row& row : kTags) {
    if (row.name != Now().text) continue;
    auto s = std::make_unique<Stmt>();
    s->line = Now().line;
    at_++;
    BONSAI_RETURN_IF_ERROR((this->*row.parse)(*s));
    if (!Is(TokenKind::kBlockEnd)) return Unexpected("'%}'");
    body.push_back(std::move(s));
    return {};
  }
  return Bad(fmt::format("tag {} is not supported", formats::Quote(Now().text)), ErrorCode::kUnsupported);
}

Status Parser::BodyUntil(Stmt& s, std::string_view end) {
  BONSAI_RETURN_IF_ERROR(ExpectBlockEnd());
  BONSAI_ASSIGN(Body body, ParseBody({end}));
  at_++;
  s.bodies.push_back(std::move(body));
  return {};
}

Status Parser::If(Stmt& s) {
  s.kind = SKind::kIf;
  for (;;) {
    BONSAI_ASSIGN(ExprPtr condition, Tuple());
    s.exprs.push_back(std::move(condition));
    BONSAI_RETURN_IF_ERROR(ExpectBlockEnd());
    BONSAI_ASSIGN(Body body, ParseBody({"elif", "else", "endif"}));
    s.bodies.push_back(std::move(body));
    if (SkipName("elif")) continue;
    if (SkipName("else")) return BodyUntil(s, "endif");
    at_++;
    return {};
  }
}

Status Parser::For(Stmt& s) {
  s.kind = SKind::kFor;
  BONSAI_RETURN_IF_ERROR(Targets(s));
  if (!SkipName("in")) return Unexpected("'in'");
  s.exprs.resize(2);
  BONSAI_ASSIGN(s.exprs[0], Tuple(false));
  if (SkipName("if")) {
    BONSAI_ASSIGN(s.exprs[1], Expression());
  }
  if (IsName("recursive")) return Bad("recursive loops are not supported", ErrorCode::kUnsupported);
  BONSAI_RETURN_IF_ERROR(ExpectBlockEnd());
  loops_++;
  BONSAI_ASSIGN(Body body, ParseBody({"else", "endfor"}));
  loops_--;
  s.bodies.push_back(std::move(body));
  if (SkipName("else")) return BodyUntil(s, "endfor");
  at_++;
  return {};
}

/// a   a, b   (a, b)
Status Parser::Targets(Stmt& s) {
  const bool bracket = SkipOp("(");
  do {
    BONSAI_ASSIGN(std::string name, Name());
    s.names.push_back(std::move(name));
  } while (SkipOp(","));
  return bracket ? Expect(")") : Status();
}

Status Parser::SetStatement(Stmt& s) {
  s.kind = SKind::kSet;
  BONSAI_RETURN_IF_ERROR(Targets(s));
  if (s.names.size() == 1 && SkipOp(".")) {
    BONSAI_ASSIGN(s.attribute, Name());
  }
  if (SkipOp("=")) {
    BONSAI_ASSIGN(ExprPtr value, Tuple());
    s.exprs.push_back(std::move(value));
    return {};
  }
  if (s.names.size() != 1) return Unexpected("'='");
  s.kind = SKind::kSetBlock;
  BONSAI_ASSIGN(ExprPtr inner, Make(New(EKind::kInner)));
  BONSAI_ASSIGN(inner, Filters(std::move(inner)));
  s.exprs.push_back(std::move(inner));
  return BodyUntil(s, "endset");
}

/// (a, b=1)
Status Parser::Parameters(Stmt& s) {
  BONSAI_RETURN_IF_ERROR(Expect("("));
  bool optional = false;
  while (!IsOp(")")) {
    BONSAI_ASSIGN(std::string name, Name());
    s.names.push_back(std::move(name));
    if (SkipOp("=")) {
      optional = true;
      BONSAI_ASSIGN(ExprPtr value, Expression());
      s.exprs.push_back(std::move(value));
    } else if (optional) {
      return Bad("a parameter without a default follows one with a default");
    }
    if (!SkipOp(",")) break;
  }
  return Expect(")");
}

/// A break inside a macro does not end a loop around it.
Status Parser::MacroBody(Stmt& s, std::string_view end) {
  const int outside = std::exchange(loops_, 0);
  BONSAI_RETURN_IF_ERROR(BodyUntil(s, end));
  loops_ = outside;
  return {};
}

Status Parser::Macro(Stmt& s) {
  s.kind = SKind::kMacro;
  BONSAI_ASSIGN(std::string name, Name());
  s.names.push_back(std::move(name));
  BONSAI_RETURN_IF_ERROR(Parameters(s));
  return MacroBody(s, "endmacro");
}

Status Parser::CallBlock(Stmt& s) {
  s.kind = SKind::kCallBlock;
  s.names.push_back("caller");
  s.exprs.resize(1);
  if (IsOp("(")) BONSAI_RETURN_IF_ERROR(Parameters(s));
  BONSAI_ASSIGN(s.exprs[0], Expression());
  if (s.exprs[0]->kind != EKind::kCall) return Bad("{% call %} needs a call of a macro");
  return MacroBody(s, "endcall");
}

Status Parser::FilterBlock(Stmt& s) {
  s.kind = SKind::kFilterBlock;
  BONSAI_ASSIGN(ExprPtr inner, Make(New(EKind::kInner)));
  BONSAI_ASSIGN(inner, FilterCall(std::move(inner)));
  BONSAI_ASSIGN(inner, Filters(std::move(inner)));
  s.exprs.push_back(std::move(inner));
  return BodyUntil(s, "endfilter");
}

Status Parser::With(Stmt& s) {
  s.kind = SKind::kWith;
  while (!Is(TokenKind::kBlockEnd)) {
    BONSAI_ASSIGN(std::string name, Name());
    s.names.push_back(std::move(name));
    BONSAI_RETURN_IF_ERROR(Expect("="));
    BONSAI_ASSIGN(ExprPtr value, Expression());
    s.exprs.push_back(std::move(value));
    if (!SkipOp(",")) break;
  }
  return BodyUntil(s, "endwith");
}

/// Marks what a model has said, for training; printing is not changed.
Status Parser::Generation(Stmt& s) {
  s.kind = SKind::kWith;
  return BodyUntil(s, "endgeneration");
}

Status Parser::Jump(Stmt& s, SKind kind) {
  s.kind = kind;
  if (loops_ == 0) return Bad("break and continue belong into a loop");
  return {};
}

}  // namespace

Result<Body> Parse(std::string_view source) {
  constexpr size_t kMaxSource = size_t{4} << 20;  // the longest that we know has 30 kB
  if (source.size() > kMaxSource) {
    return Error(ErrorCode::kUnsupported, "a template of {} bytes; at most {} are read", source.size(), kMaxSource);
  }
  BONSAI_ASSIGN(std::vector<Token> tokens, Lex(source));
  return Parser(std::move(tokens)).Template();
}

}  // namespace bonsai::text::jinja
