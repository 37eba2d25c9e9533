#include "grammar/automaton.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/utf8.h"
#include "grammar/grammar_testing.h"
#include "grammar/program.h"
#include "grammar/test_random_grammar.h"

namespace bonsai::grammar {
namespace {

TEST(CharSet, SpellsExactlyItsCharacters) {
  CharSet set;
  set.Add(0, 0x10).Add(0x70, 0x90).Add(0x7f0, 0x812).Add(0xd000, 0xe010).Add(0xffff, 0x10001).Add(0x10fff0, 0x200000);
  Grammar g;
  const auto automaton = CompilePlain(g, g.Chars(set));
  const auto others = CompilePlain(g, g.Chars(set.Negated()));
  ASSERT_TRUE(automaton.ok() && others.ok());
  for (uint32_t c = 0; c <= kMaxChar; c++) {
    std::string text;
    AppendUtf8(c, text);
    const bool surrogate = c >= 0xd800 && c < 0xe000;
    ASSERT_EQ(IsUtf8(text), !surrogate);
    ASSERT_EQ(automaton->Matches(text), set.Contains(c)) << c;
    ASSERT_EQ(others->Matches(text), !surrogate && !set.Contains(c)) << c;
    size_t at = 0;
    ASSERT_EQ(TakeChar(text, at), surrogate ? kNoChar : c);
  }
  for (const char* bad :
       {"\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\x80"}) {
    EXPECT_FALSE(automaton->Matches(bad) || others->Matches(bad));
  }
}

TEST(Automaton, RandomExpressionsObeySetAlgebra) {
  int compared = 0, disjoint = 0, empty = 0;
  for (uint64_t seed = 0; seed < 400; seed++) {
    SCOPED_TRACE(seed);
    RandomGrammar random(seed);
    const Grammar one = random.Make(), two = random.Make();
    const auto a = CompilePlain(one, one.rule_body(0)), b = CompilePlain(two, two.rule_body(0));
    if (!a.ok() || !b.ok()) continue;  // recursive
    const Limits limits;
    const auto both = Product(*a, *b, SetOp::kIntersection, limits), either = Product(*a, *b, SetOp::kUnion, limits),
               only = Product(*a, *b, SetOp::kDifference, limits);
    ASSERT_TRUE(both.ok() && either.ok() && only.ok());
    const Automaton other = Complement(*a);
    bool seen_both = false;
    for (int i = 0; i < 40; i++) {
      const std::string text = random.Text();
      const bool in_a = Reference(one, text).Matches(0), in_b = Reference(two, text).Matches(0);
      ASSERT_EQ(a->Matches(text), in_a);
      ASSERT_EQ(both->Matches(text), in_a && in_b);
      ASSERT_EQ(either->Matches(text), in_a || in_b);
      ASSERT_EQ(only->Matches(text), in_a && !in_b);
      ASSERT_EQ(other.Matches(text), !in_a);
      seen_both = seen_both || (in_a && in_b);
      compared += in_a || in_b ? 1 : 0;
    }
    const auto apart = Disjoint(*a, *b, limits);
    ASSERT_TRUE(apart.ok());
    ASSERT_EQ(*apart, both->empty());
    ASSERT_FALSE(*apart && seen_both);
    disjoint += *apart ? 1 : 0;
    empty += a->empty() ? 1 : 0;
    // A language has one minimal automaton: A = (A ∖ B) ∪ (A ∩ B), and A = the complement of its complement.
    const auto again = Product(*only, *both, SetOp::kUnion, limits);
    ASSERT_TRUE(again.ok());
    ASSERT_EQ(Minimize(*again).Key(), Minimize(*a).Key());
    ASSERT_EQ(Minimize(Complement(other)).Key(), Minimize(*a).Key());
    // The way back into a grammar.
    Grammar back;
    const RuleId r = back.AddRule("r");
    back.Define(r, back.Embed(*either));
    const auto embedded = CompilePlain(back, back.rule_body(r));
    ASSERT_TRUE(embedded.ok());
    ASSERT_EQ(embedded->Key(), Minimize(*either).Key());
  }
  EXPECT_GT(compared, 500);
  EXPECT_GT(disjoint, 20);
  EXPECT_GT(empty, 5);
}

TEST(Automaton, BombsAreErrors) {
  Grammar g;
  const ExprId ab = g.Chars(CharSet().Add('a', 'b'));
  const ExprId bomb = g.Sequence({g.Repeat(ab, 0, kUnbounded), g.Literal("a"), g.Repeat(ab, 30, 30)});
  const auto refused = CompilePlain(g, bomb);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message().find("needs more than"), std::string::npos) << refused.error().message();

  ExprId nested = g.Literal("x");
  for (int i = 0; i < 6; i++) nested = g.Repeat(nested, 1000, 1000);
  const RuleId r = g.AddRule("r");
  g.Define(r, nested);
  const auto unrolled = Compile(g, r);
  ASSERT_FALSE(unrolled.ok());
  EXPECT_NE(unrolled.error().message().find("no text of less"), std::string::npos) << unrolled.error().message();

  const RuleId once = g.AddRule("once");
  g.Define(once, g.Repeat(g.Literal("x"), 1'000'000, 1'000'000));
  const auto long_chain = Compile(g, once);
  ASSERT_FALSE(long_chain.ok());
  EXPECT_EQ(long_chain.error().message(),
            "rule \"once\": the grammar unrolls to more than 524288 states: write smaller counts");

  // Rules that double what they hold, and hold nothing; and a long chain of them.
  Grammar rules;
  std::vector<RuleId> ids;
  for (int i = 0; i < 5000; i++) ids.push_back(rules.AddRule("r" + std::to_string(i)));
  rules.Define(ids[0], rules.Literal(""));
  for (size_t i = 1; i < ids.size(); i++) {
    rules.Define(ids[i], rules.Choice({rules.Reference(ids[i - 1]), rules.Reference(ids[i - 1])}));
  }
  EXPECT_FALSE(CompilePlain(rules, rules.rule_body(ids[40])).ok());
  EXPECT_FALSE(CompilePlain(rules, rules.rule_body(ids.back())).ok());
  EXPECT_TRUE(Compile(rules, ids.back()).ok());
}

TEST(Automaton, ManyLiteralsAreFine) {
  std::vector<std::string> literals;
  for (int i = 0; i < 20'000; i++) literals.push_back("value " + std::to_string(i));
  RuleId root = 0;
  const Grammar g = LiteralChoice(literals, root);
  const auto program = Compile(g, root);
  ASSERT_TRUE(program.ok()) << program.error().message();
  EXPECT_TRUE((*program)->automaton(0).Matches("value 19999"));
  EXPECT_FALSE((*program)->automaton(0).Matches("value 20000"));
}

TEST(Grammar, KeepsItsFirstError) {
  Grammar g;
  g.AddRule("lonely");
  EXPECT_EQ(g.status().error().message(), "rule \"lonely\" is not defined");
  g.Repeat(g.Literal("x"), 3, 2);
  g.Reference(99);
  EXPECT_EQ(g.status().error().message(), "a repetition of 3 to 2 times ends before it begins");
  Grammar deep;
  ExprId e = deep.Literal("x");
  for (int i = 0; i < 1000; i++) e = deep.Optional(e);
  EXPECT_NE(deep.status().error().message().find("nests deeper"), std::string::npos);
}

}  // namespace
}  // namespace bonsai::grammar
