#include "grammar/gbnf.h"

#include <gtest/gtest.h>

#include "grammar/grammar_testing.h"
#include "grammar/test_json_grammar.h"

namespace bonsai::grammar {
namespace {

bool Accepts(const std::string& gbnf, const std::string& text) {
  const auto parsed = ParseGbnf(gbnf);
  EXPECT_TRUE(parsed.ok()) << gbnf << ": " << parsed.error().message();
  if (!parsed.ok()) return false;
  const auto program = Compile(parsed->grammar, parsed->root);
  EXPECT_TRUE(program.ok()) << gbnf << ": " << program.error().message();
  if (!program.ok()) return false;
  Matcher m(std::make_shared<const Constraint>(*program, TestVocabulary({})));
  const bool accepts = m.AcceptBytes(text).ok() && m.CanEnd();
  if (text.size() < 60) {
    EXPECT_EQ(accepts, Reference(parsed->grammar, text).Matches(parsed->root)) << gbnf << " " << text;
  }
  return accepts;
}

TEST(Gbnf, ReadsEverythingOfTheNotation) {
  struct Case {
    const char* gbnf;
    std::vector<std::string> yes, no;
  };
  const Case cases[] = {
      {"root ::= \"a\" | \"bc\"", {"a", "bc"}, {"", "b", "abc"}},
      {"root ::= \"a\"* \"b\"+ \"c\"?", {"b", "aab", "abbc"}, {"a", "c", "bcc"}},
      {"root ::= \"ab\"*", {"", "ab", "abab"}, {"aab", "a"}},
      {"root ::= \"a\"{2} \"b\"{1,} \"c\"{0,2}", {"aab", "aabbcc"}, {"ab", "aaab", "aabccc"}},
      {"root ::= \"a\" { 1 , 2 }", {"a", "aa"}, {"", "aaa"}},
      {"root ::= [a-cx] [^0-9] [-z] [z-]", {"ab--", "x\xc3\xa9z-"}, {"dz--", "a1--", "ab0-"}},
      {"root ::= [\\]\\[\\\\] \"\\\"\\n\\t\\r\\\\\"", {"]\"\n\t\r\\", "\\\"\n\t\r\\"}, {"a\"\n\t\r\\"}},
      {"root ::= \"\\x41\\xe9\\u20AC\\U0001F600\"", {"A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"}, {"A\xe9"}},
      {"root ::= . . # two\n", {"\n\xe2\x82\xac"}, {"a", "abc", "a\xff"}},
      {"# first\nroot ::= (  # group\n \"a\"\n | \"b\" )+ other\r\n\r\nother ::=\n  \"c\" |\n  \"d\"",
       {"abd", "bc"},
       {"c", "ab"}},
      {"root ::= | \"x\"", {"", "x"}, {"xx"}},
      {"root ::= \"(\" root \")\" | \"\"", {"", "((()))"}, {"(()"}},
      {"root ::= a-1 A2\na-1 ::= \"1\"\nA2 ::= \"2\"", {"12"}, {"1"}},
      {"root ::= \"\" \"\xc3\xa9\"", {"\xc3\xa9"}, {""}},
  };
  for (const Case& c : cases) {
    for (const std::string& text : c.yes) EXPECT_TRUE(Accepts(c.gbnf, text)) << c.gbnf << " " << text;
    for (const std::string& text : c.no) EXPECT_FALSE(Accepts(c.gbnf, text)) << c.gbnf << " " << text;
  }
}

TEST(Gbnf, ErrorsSayWhere) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "there is no rule \"root\""},
      {"root ::= other", "line 1, column 10: rule \"other\" is not defined"},
      {"root = \"a\"", "line 1, column 6: \"::=\" is missing"},
      {"root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: rule \"root\" is defined twice"},
      {"root ::= \"a\n", "line 1, column 10: the literal is not closed"},
      {"root ::= \"a\"\n  \xc3\xa9", "line 2, column 3: a rule begins with its name"},
      {"root ::= [a", "line 1, column 10: the class is not closed"},
      {"root ::= [z-a]", "line 1, column 14: the range ends before"},
      {"root ::= (\"a\"", "line 1, column 14: ')' is missing"},
      {"root ::= \"a\")", "line 1, column 13: a newline or the end is missing"},
      {"root ::= * \"a\"", "line 1, column 10: there is nothing before"},
      {"root ::= \"a\"{2,1}", "ends before it begins"},
      {"root ::= \"a\"{,1}", "a number is missing"},
      {"root ::= \"a\"{99999999999999999999}", "the count is too large"},
      {"root ::= \"\\q\"", "line 1, column 11: unknown escape"},
      {"root ::= \"\\xg0\"", "hexadecimal"},
      {"root ::= \"\\ud800\"", "no Unicode character"},
      {"root ::= \"\\U00110000\"", "no Unicode character"},
      {"root ::= \"\xff\"", "this is not UTF-8"},
      {"root ::= <[1]>", "line 1, column 10: tokens"},
      {"root ::= !<think>", "line 1, column 10: tokens"},
  };
  for (const auto& [gbnf, says] : cases) {
    const auto parsed = ParseGbnf(gbnf);
    ASSERT_FALSE(parsed.ok()) << gbnf;
    EXPECT_NE(parsed.error().message().find(says), std::string::npos) << gbnf << ": " << parsed.error().message();
  }
}

TEST(Gbnf, BombsAreErrors) {
  std::string deep = "root ::= ";
  for (int i = 0; i < 100'000; i++) deep += "(";
  EXPECT_FALSE(ParseGbnf(deep).ok());
  EXPECT_FALSE(ParseGbnf("root ::= " + std::string(2'000'000, '.')).ok());
  std::string stars = "root ::= \"a\"";
  for (int i = 0; i < 100'000; i++) stars += "?";
  EXPECT_FALSE(ParseGbnf(stars).ok());
  const auto counts = ParseGbnf("root ::= ((((\"a\"{1000}){1000}){1000}){1000}){1000}");
  ASSERT_TRUE(counts.ok());
  EXPECT_FALSE(Compile(counts->grammar, counts->root).ok());
  const auto left = ParseGbnf("root ::= a\na ::= b \"x\" | \"y\"\nb ::= \"z\"? a");
  ASSERT_TRUE(left.ok());
  EXPECT_FALSE(Compile(left->grammar, left->root).ok());
}

TEST(Gbnf, JsonIsJson) {
  EXPECT_TRUE(Accepts(kJsonGbnf, R"({"a": [1, -2.5e+3, true, null, "x\u00e9\n\"", {}], "": {"b": []}})"));
  EXPECT_TRUE(Accepts(kJsonGbnf, " \"\xf0\x9f\x98\x80\" "));
  EXPECT_FALSE(Accepts(kJsonGbnf, "{\"a\": 01}"));
  EXPECT_FALSE(Accepts(kJsonGbnf, "[1,]"));
  EXPECT_FALSE(Accepts(kJsonGbnf, "\"\n\""));
  EXPECT_FALSE(Accepts(kJsonGbnf, "\"\xed\xa0\x80\""));
}

}  // namespace
}  // namespace bonsai::grammar
