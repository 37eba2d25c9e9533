// GBNF, llama.cpp's grammar notation, → Grammar.
//
//   BONSAI_ASSIGN(const ParsedGrammar parsed, ParseGbnf("root ::= \"yes\" | \"no\""));
//   BONSAI_ASSIGN(const auto program, Compile(parsed.grammar, parsed.root));
//
// What it has, after llama.cpp's grammars/README.md: rules `name ::= …` (letters, digits, '-'), `|`, sequences,
// groups, `*` `+` `?` `{m}` `{m,}` `{m,n}`, literals and classes of characters (escapes \n \t \r \\ \" \[ \] \xHH
// \uHHHH \UHHHHHHHH, each a code point; ranges; negation), `.` (any character, newlines too), comments from '#' on. A
// rule ends with its line, except within parentheses and after `::=` and `|`. Tokens (`<[id]>`, `<text>`, `!<…>`) are
// refused: a grammar here speaks of text. So are a rule that is defined twice, and left recursion (by Compile).
#pragma once

#include <string_view>

#include "base/status.h"
#include "grammar/grammar.h"

namespace bonsai::grammar {

struct ParsedGrammar {
  Grammar grammar;
  RuleId root;
};

/// kInvalidArgument: "line L, column C: what", or a limit. Linear. `root` must be one of the rules.
Result<ParsedGrammar> ParseGbnf(std::string_view source, const Limits& limits = {}, std::string_view root = "root");

}  // namespace bonsai::grammar
