#include "grammar/regex.h"

#include <gtest/gtest.h>

#include <regex>
#include <string>
#include <vector>

#include "base/rng.h"
#include "grammar/grammar_testing.h"
#include "grammar/program.h"

namespace bonsai::grammar {
namespace {

/// The pattern's automaton, checked against the matcher's reading of the same expression.
struct Pattern {
  explicit Pattern(const std::string& pattern) {
    const auto added = AddRegex(grammar, pattern);
    EXPECT_TRUE(added.ok()) << pattern << ": " << added.error().message();
    if (!added.ok()) return;
    grammar.Define(grammar.AddRule("root"), *added);
    const auto program = Compile(grammar, 0);
    if (program.ok()) constraint = std::make_shared<const Constraint>(*program, TestVocabulary({}));
  }
  bool Finds(const std::string& text) const {
    if (!constraint) return false;  // nothing matches
    Matcher m(constraint);
    const bool found = m.AcceptBytes(text).ok() && m.CanEnd();
    EXPECT_EQ(found, Reference(grammar, text).Matches(0)) << text;
    return found;
  }
  Grammar grammar;
  std::shared_ptr<const Constraint> constraint;
};

TEST(Regex, FindsWhatEcmaScriptFinds) {
  struct Case {
    const char* pattern;
    std::vector<std::string> yes, no;
  };
  const Case cases[] = {
      {"b", {"b", "abc", "\nb\n"}, {"", "ac"}},
      {"", {"", "x"}, {"\xff"}},
      {"^a|b$", {"ax", "xb", "b"}, {"xa", "bx"}},
      {"^(a|b$)", {"ax", "b"}, {"bx", "xb"}},
      {"(^|,)x(,|$)", {"x", "a,x", "x,b", "a,x,b"}, {"ax", "xb", "ax,b"}},
      {"^$", {""}, {"a"}},
      {"a^b", {}, {"ab", "a", "b"}},
      {"(x|^)$y?", {"x", "", "ax"}, {"a", "xy", "y"}},
      {"^[^]$", {"\n", "\xf0\x9f\x98\x80"}, {"", "ab"}},
      {"[]", {}, {"", "a"}},
      {"^\\d{3}-\\w+?\\s\\D\\W\\S$", {"123-a_9 x.y"}, {"12-a x.y", "123-a_9 11y"}},
      {"^.$", {"a", "\xe2\x82\xac"}, {"\n", "\r", "\xe2\x80\xa8", ""}},
      {"^\\u00e9\\u{1F600}\\uD83D\\uDE00\\x41\\cA\\0$",
       {"\xc3\xa9\xf0\x9f\x98\x80\xf0\x9f\x98\x80"
        "A\x01" +
        std::string(1, '\0')},
       {""}},
      {"^[a\\-z\\]\\d_-]+$", {"a-z]5_"}, {"b", ""}},
      {"^(?:ab)+(?<name>c)*$", {"ab", "ababcc"}, {"abc c", "c"}},
      {"^a{2}b{1,}c{0,2}$", {"aab", "aabbcc"}, {"ab", "aabccc"}},
      {"^\\/\\.\\*\\{\\-\\@$", {"/.*{-@"}, {""}},
      {"^(^a)?b", {"ab", "b"}, {"xb"}},
  };
  for (const Case& c : cases) {
    const Pattern pattern(c.pattern);
    for (const std::string& text : c.yes) EXPECT_TRUE(pattern.Finds(text)) << c.pattern << " " << text;
    for (const std::string& text : c.no) EXPECT_FALSE(pattern.Finds(text)) << c.pattern << " " << text;
  }
}

TEST(Regex, ErrorsNameWhatAndWhere) {
  const std::pair<const char*, const char*> cases[] = {
      {"a(?=b)", "byte 1 of the pattern: look-around"},
      {"(?<!b)", "look-around"},
      {"(a)\\1", "byte 3 of the pattern: back-references"},
      {"\\k<x>", "back-references"},
      {"\\bword", "byte 0 of the pattern: word boundaries"},
      {"\\p{L}", "Unicode properties"},
      {"[\\p{L}]", "Unicode properties"},
      {"(?i:a)", "flags"},
      {"(^a)*", "inside of a repetition"},
      {"^*", "an anchor cannot be repeated"},
      {"a**", "nothing before"},
      {"*a", "nothing before"},
      {"(a", "the group is not closed"},
      {"a)", "byte 1 of the pattern: ')' without"},
      {"[a", "the class is not closed"},
      {"[b-a]", "ends before it begins"},
      {"[\\d-z]", "a character at both ends"},
      {"a{2,1}", "ends before"},
      {"a{x}", "a number is missing"},
      {"a{1", "'}' is missing"},
      {"a}", "stands alone"},
      {"a]", "stands alone"},
      {"\\", "ends with a backslash"},
      {"\\xg1", "hexadecimal"},
      {"\\u{110000}", "no Unicode"},
      {"\\ud800", "no Unicode"},
      {"\\a", "unknown escape"},
      {"\xff", "not UTF-8"},
      {"a{99999999999}", "too large"},
  };
  for (const auto& [pattern, says] : cases) {
    Grammar g;
    const auto added = AddRegex(g, pattern);
    ASSERT_FALSE(added.ok()) << pattern;
    EXPECT_NE(added.error().message().find(says), std::string::npos) << pattern << ": " << added.error().message();
  }
}

TEST(Regex, BombsAreErrors) {
  Grammar g;
  EXPECT_FALSE(AddRegex(g, std::string(100'000, '(')).ok());
  Grammar h;
  const auto bomb = AddRegex(h, "^(a|b)*a(a|b){30}$");
  ASSERT_TRUE(bomb.ok());
  EXPECT_FALSE(CompilePlain(h, *bomb).ok());
}

std::string RandomPattern(Rng& rng, int depth) {
  const auto below = [&](uint64_t n) { return rng.Next() % n; };
  std::string out;
  for (uint64_t n = 1 + below(3); n > 0; n--) {
    static const char* const kAtoms[] = {"a", "b", "ab", ".", "[ab]", "[^a]", "\\d", "\\w", "1", "(?:)", "^", "$"};
    const uint64_t kind = below(depth > 0 ? 16 : 12);
    std::string atom = kind < 12 ? kAtoms[kind] : "(" + RandomPattern(rng, depth - 1) + ")";
    static const char* const kTimes[] = {"*", "+", "?", "{2}", "{1,3}", "*?", "{2,}"};
    if (atom != "^" && atom != "$" && below(3) == 0) atom += kTimes[below(7)];
    out += atom;
    if (below(6) == 0) out += "|";
  }
  return out;
}

TEST(Regex, AgreesWithTheStandardLibrary) {
  Rng rng(7);
  int compared = 0, found = 0;
  for (int i = 0; i < 1500; i++) {
    const std::string source = RandomPattern(rng, 2);
    Grammar probe;
    if (!AddRegex(probe, source).ok()) continue;  // an anchor in a repetition
    const std::regex oracle(source, std::regex::ECMAScript);
    const Pattern pattern(source);
    for (int t = 0; t < 12; t++) {
      std::string text;
      for (uint64_t n = rng.Next() % 7; n > 0; n--) text += "ab1c"[rng.Next() % 4];
      const bool expected = std::regex_search(text, oracle);
      ASSERT_EQ(pattern.Finds(text), expected) << source << " in " << text;
      compared++;
      found += expected ? 1 : 0;
    }
  }
  EXPECT_GT(found, 2000);
  EXPECT_GT(compared - found, 2000);
}

}  // namespace
}  // namespace bonsai::grammar
