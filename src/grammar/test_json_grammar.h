// Grammars like those that requests bring, for tests and benchmarks.
#pragma once

#include <string>

namespace bonsai::grammar {

/// All of RFC 8259.
inline constexpr const char* kJsonGbnf = R"(
root   ::= ws value ws
value  ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws (string ws ":" ws value ws ("," ws string ws ":" ws value ws)*)? "}"
array  ::= "[" ws (value ws ("," ws value ws)*)? "]"
string ::= "\"" ([^"\\\x00-\x1f] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}))* "\""
number ::= "-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)? ([eE] [-+]? [0-9]+)?
ws     ::= [ \t\n\r]*
)";

/// What a schema of so many required properties becomes: strings (some of limited length), numbers, arrays, enums.
inline std::string SchemaGbnf(int properties) {
  std::string root = "root ::= \"{\"";
  static const char* const kKinds[] = {"string", "number", "tags", "short", "(\"\\\"red\\\"\" | \"\\\"green\\\"\")",
                                       "any"};
  for (int i = 0; i < properties; i++) {
    root += i == 0 ? " " : " \", \" ";
    root += "\"\\\"property_" + std::to_string(i) + "\\\": \" " + kKinds[i % 6];
  }
  return root + " \"}\"\n" + R"(
any    ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" (string ": " any ("," " " string ": " any)*)? "}"
array  ::= "[" (any (", " any)*)? "]"
tags   ::= "[" (string (", " string){0,9})? "]"
short  ::= "\"" char{0,100} "\""
string ::= "\"" char* "\""
char   ::= [^"\\\x00-\x1f] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})
number ::= "-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)? ([eE] [-+]? [0-9]+)?
)";
}

}  // namespace bonsai::grammar
