// The part of the parser that reads expressions: Jinja's precedence, which is Python's but for filters and tests.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/metadata.h"
#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace bonsai::text::jinja {

class ExpressionParser {
 protected:
  static constexpr int kMaxNesting = 60;  ///< Of brackets and, apart, of blocks.

  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& Now() const { return tokens_[at_]; }
  const Token& Ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  bool Is(Token::Kind kind) const { return Now().kind == kind; }
  bool IsOp(std::string_view s) const { return Is(Token::Kind::kOperator) && Now().text == s; }
  bool IsName(std::string_view s) const { return Is(Token::Kind::kName) && Now().text == s; }
  bool SkipOp(std::string_view s) { return IsOp(s) && ++at_ != 0; }
  bool SkipName(std::string_view s) { return IsName(s) && ++at_ != 0; }

  ErrorValue Bad(std::string_view what, ErrorCode code = ErrorCode::kCorrupt) const {
    return Error(code, "line {}: {}", Now().line, what);
  }
  ErrorValue Unexpected(std::string_view wanted) const;
  Status Expect(std::string_view op) { return SkipOp(op) ? Status() : Status(Unexpected(fmt::format("'{}'", op))); }
  Status ExpectBlockEnd() {
    if (!Is(Token::Kind::kBlockEnd)) return Unexpected("'%}'");
    at_++;
    return {};
  }
  Result<std::string> Name() {
    if (!Is(Token::Kind::kName)) return Unexpected("a name");
    return tokens_[at_++].text;
  }

  Expr New(Expr::Kind kind) const {
    Expr e;
    e.kind = kind;
    e.line = Now().line;
    return e;
  }
  /// kUnsupported when the tree is too deep.
  Result<ExprPtr> Make(Expr e) const;
  Result<ExprPtr> MakePair(Expr e, ExprPtr a, ExprPtr b) const {
    e.operands.push_back(std::move(a));
    e.operands.push_back(std::move(b));
    return Make(std::move(e));
  }

  // What statements need of expressions.
  Result<ExprPtr> Tuple(bool conditional = true);
  Result<ExprPtr> Expression();
  /// | filter … is test …
  Result<ExprPtr> Filters(ExprPtr e);
  /// Behind the |.
  Result<ExprPtr> FilterCall(ExprPtr e);

  std::vector<Token> tokens_;
  size_t at_ = 0;

 private:
  // Expressions, from loose to tight.
  Result<ExprPtr> Or();
  Result<ExprPtr> And();
  Result<ExprPtr> Not();
  Result<ExprPtr> Comparison();
  std::optional<Operator> ComparisonOperator();
  Result<ExprPtr> Binary(int level);
  Result<ExprPtr> Unary(bool with_filters);
  Result<ExprPtr> Primary();
  Result<ExprPtr> Literal();
  Result<ExprPtr> Sequence(Expr::Kind kind, std::string_view close);
  Result<ExprPtr> Postfix(ExprPtr e);
  Result<ExprPtr> Subscript(ExprPtr e);
  Result<ExprPtr> TestCall(ExprPtr e);
  Status Arguments(Expr& call);

  int brackets_ = 0;
};

}  // namespace bonsai::text::jinja
