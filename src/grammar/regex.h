// Regular expressions as JSON Schema's "pattern" has them, → Grammar: ECMA-262 with the u flag.
//
//   BONSAI_ASSIGN(const ExprId year, AddRegex(grammar, "^\\d{4}$"));
//
// The expression added is that of all whole strings in which the pattern is found somewhere: "b" is any text with a b.
// Characters are code points in UTF-8; what surrounds a match may be any characters.
//
// What there is: `|`, groups (capturing, named and not), `*` `+` `?` `{m}` `{m,}` `{m,n}` and their lazy forms (the
// same strings), `.`, classes with ranges, \d \w \s and their opposites, \t \n \v \f \r \0 \cX \xHH \uHHHH (pairs of
// surrogates too) \u{H…}, any escaped ASCII punctuation, `^` and `$` outside of repetitions. Refused by name, with the
// byte: look-around, back-references, \b and \B, \p{…}, flags, anchors in repetitions.
#pragma once

#include <string_view>

#include "base/status.h"
#include "grammar/grammar.h"

namespace bonsai::grammar {

/// kInvalidArgument: the pattern is broken or a limit is exceeded; kUnsupported: something that is refused. Both say
/// "byte N of the pattern". Linear.
Result<ExprId> AddRegex(Grammar& grammar, std::string_view pattern);

}  // namespace bonsai::grammar
