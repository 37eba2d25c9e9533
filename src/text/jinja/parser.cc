#include "text/jinja/parser.h"

#include <algorithm>
#include <initializer_list>

#include "text/jinja/expression_parser.h"

namespace bonsai::text::jinja {
namespace {

using TokenKind = Token::Kind;
using EKind = Expr::Kind;
using SKind = Stmt::Kind;

class Parser : private ExpressionParser {
 public:
  explicit Parser(std::vector<Token> tokens) : ExpressionParser(std::move(tokens)) {}

  Result<Body> Template() {
    BONSAI_ASSIGN(Body body, ParseBody({}));
    if (!Is(TokenKind::kEnd)) return Bad(fmt::format("{{% {} %}} has nothing to end", Now().text));
    return body;
  }

 private:
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

  int blocks_ = 0, loops_ = 0;
};

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
