#include "grammar/matcher.h"

#include <gtest/gtest.h>

#include "grammar/grammar_testing.h"
#include "grammar/test_random_grammar.h"

namespace bonsai::grammar {
namespace {

std::shared_ptr<const Constraint> Make(const Grammar& g, const std::shared_ptr<const Vocabulary>& vocabulary) {
  auto program = Compile(g, 0);
  EXPECT_TRUE(program.ok()) << program.error().message();
  return std::make_shared<const Constraint>(*program, vocabulary);
}

/// list ::= "[" (item ("," item)*)? "]"; item ::= list | "é" | [0-9]{1,3}
Grammar Lists() {
  Grammar g;
  const RuleId list = g.AddRule("list"), item = g.AddRule("item");
  const ExprId one = g.Reference(item);
  const ExprId more = g.Repeat(g.Sequence({g.Literal(","), one}), 0, kUnbounded);
  g.Define(list, g.Sequence({g.Literal("["), g.Optional(g.Sequence({one, more})), g.Literal("]")}));
  const ExprId digits = g.Repeat(g.Chars(CharSet().Add('0', '9')), 1, 3);
  g.Define(item, g.Choice({g.Reference(list), g.Literal("\xc3\xa9"), digits}));
  return g;
}

std::vector<std::string> Pieces() {
  return {"[[",    "]]",    "],[", "[1", "12",     "123,", "1234", "\xc3\xa9,",
          "[\xc3", "\xa9]", ",,",  "[]", "]]]]]]", "a[",   "a"};
}

TEST(Matcher, FollowsRecursion) {
  Matcher m(Make(Lists(), TestVocabulary(Pieces())));
  EXPECT_EQ(m.ForcedBytes(), "[");
  EXPECT_FALSE(m.CanEnd());
  ASSERT_TRUE(m.AcceptBytes("[[12,").ok());
  EXPECT_EQ(m.BytesToEnd(), 3u);
  EXPECT_EQ(m.Completion(), "0]]");
  EXPECT_EQ(m.TokensToEnd(), 2u);  // "0" "]]"
  const Status status = m.AcceptBytes("[]x");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message(), "byte 2: 0x78 does not fit the grammar");
  ASSERT_TRUE(m.AcceptBytes("[]]]").ok());  // the failed text has changed nothing
  EXPECT_TRUE(m.CanEnd());
  EXPECT_EQ(m.BytesToEnd(), 0u);
}

TEST(Matcher, EndsOnlyWhereItMay) {
  const auto vocabulary = TestVocabulary(Pieces());
  Matcher m(Make(Lists(), vocabulary));
  const int32_t end = vocabulary->ends()[0];
  std::vector<uint64_t> mask(vocabulary->words());
  ASSERT_TRUE(m.Mask(mask).ok());
  EXPECT_FALSE(HasBit(mask, end));
  EXPECT_FALSE(m.AcceptToken(end).ok());
  ASSERT_TRUE(m.AcceptBytes("[]").ok());
  ASSERT_TRUE(m.Mask(mask).ok());
  EXPECT_TRUE(HasBit(mask, end));
  ASSERT_TRUE(m.AcceptToken(end).ok());
  EXPECT_TRUE(m.ended());
  EXPECT_FALSE(m.Mask(mask).ok());
  EXPECT_FALSE(m.AcceptBytes("x").ok());
}

TEST(Matcher, MasksOfEveryStateAreTheBruteForceOnes) {
  const auto vocabulary = TestVocabulary(Pieces());
  const auto constraint = Make(Lists(), vocabulary);
  std::vector<uint64_t> mask(vocabulary->words());
  for (const std::string text : {"", "[", "[[", "[1", "[12", "[123", "[\xc3", "[\xc3\xa9", "[1,", "[[1,2]", "[[]]"}) {
    Matcher m(constraint);
    ASSERT_TRUE(m.AcceptBytes(text).ok()) << text;
    ASSERT_TRUE(m.Mask(mask).ok());
    EXPECT_EQ(mask, BruteForceMask(constraint, text)) << text;
  }
}

TEST(Matcher, LongCountsAreNumbers) {
  Grammar g;
  const RuleId root = g.AddRule("root");
  const ExprId chars = g.Repeat(g.Chars(CharSet().Add('"').Negated()), 3, 10'000'000);
  g.Define(root, g.Sequence({g.Literal("\""), chars, g.Literal("\"")}));
  const auto constraint = Make(g, TestVocabulary({"ab", "abc\"", "ab\"", "\xc3\xa9\xc3\xa9", "\"x"}));
  EXPECT_LT(constraint->program().automaton(0).states() + constraint->program().automaton(1).states(), 20u);
  Matcher m(constraint);
  std::vector<uint64_t> mask(constraint->vocabulary().words());
  for (const std::string text : {"\"", "\"a", "\"ab", "\"abc", "\"abcd", "\"\xc3", "\"\xe2\x82"}) {
    Matcher at(constraint);
    ASSERT_TRUE(at.AcceptBytes(text).ok());
    ASSERT_TRUE(at.Mask(mask).ok());
    EXPECT_EQ(mask, BruteForceMask(constraint, text)) << text;
  }
  EXPECT_EQ(m.BytesToEnd(), 5u);
}

TEST(Matcher, RefusesWhatIsLeftRecursiveOrEndless) {
  Grammar left;
  const RuleId a = left.AddRule("first"), b = left.AddRule("second");
  left.Define(a,
              left.Choice({left.Literal("x"), left.Sequence({left.Optional(left.Literal("y")), left.Reference(b)})}));
  left.Define(b, left.Sequence({left.Reference(a), left.Literal("z")}));
  const auto refused = Compile(left, a);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message().find("is left-recursive"), std::string::npos) << refused.error().message();

  Grammar endless;
  const RuleId r = endless.AddRule("r");
  endless.Define(r, endless.Sequence({endless.Literal("x"), endless.Reference(r)}));
  const auto never = Compile(endless, r);
  ASSERT_FALSE(never.ok());
  EXPECT_NE(never.error().message().find("never ends"), std::string::npos) << never.error().message();
}

TEST(Matcher, ManyParsesAreAnErrorNotAnExplosion) {
  // Which of two rules a nesting was is open until the end: 2^n stacks.
  Grammar g;
  const RuleId s = g.AddRule("s"), x = g.AddRule("x"), y = g.AddRule("y");
  const ExprId inner = g.Optional(g.Reference(s));
  g.Define(s, g.Choice({g.Reference(x), g.Reference(y)}));
  g.Define(x, g.Sequence({g.Literal("a"), inner, g.Literal("b"), g.Optional(g.Literal("!"))}));
  g.Define(y, g.Sequence({g.Literal("a"), inner, g.Literal("c"), g.Optional(g.Literal("?"))}));
  Matcher m(Make(g, TestVocabulary({})));
  Status status;
  int n = 0;
  for (; n < 64 && status.ok(); n++) status = m.AcceptBytes("a");
  EXPECT_LT(n, 64);
  EXPECT_NE(status.error().message().find("too ambiguous"), std::string::npos) << status.error().message();
}

TEST(Matcher, DeepNestingTakesLittle) {
  Matcher m(Make(Lists(), TestVocabulary({})));
  const std::string open(100'000, '['), close(100'000, ']');
  ASSERT_TRUE(m.AcceptBytes(open).ok());
  EXPECT_EQ(m.BytesToEnd(), open.size());
  ASSERT_TRUE(m.AcceptBytes(close).ok());
  EXPECT_TRUE(m.CanEnd());
}

TEST(Matcher, StartsAnewWhenItRemembersTooMuch) {
  const auto vocabulary = TestVocabulary(Pieces());
  auto program = Compile(Lists(), 0);
  ASSERT_TRUE(program.ok());
  Limits limits;
  limits.nodes = 1000, limits.mask_bytes = 1000;
  Matcher small(std::make_shared<const Constraint>(*program, vocabulary, limits));
  Matcher large(std::make_shared<const Constraint>(*program, vocabulary));
  std::vector<uint64_t> a(vocabulary->words()), b(a.size());
  ASSERT_TRUE(small.AcceptBytes("[").ok() && large.AcceptBytes("[").ok());
  for (int i = 0; i < 300; i++) {
    const char* text = i % 5 == 4 ? "2]," : "[[1],";
    ASSERT_TRUE(small.AcceptBytes(text).ok());
    ASSERT_TRUE(large.AcceptBytes(text).ok());
    ASSERT_TRUE(small.Mask(a).ok() && large.Mask(b).ok());
    ASSERT_EQ(a, b);
    ASSERT_EQ(small.TokensToEnd(), large.TokensToEnd());
  }
}

/// All that must hold for one grammar.
void CheckGrammar(const Grammar& g, RandomGrammar& random, const std::shared_ptr<const Vocabulary>& vocabulary,
                  int& matched) {
  const auto program = Compile(g, 0);
  if (!program.ok()) {
    ASSERT_EQ(program.error().code(), ErrorCode::kInvalidArgument);
    return;
  }
  const auto constraint = std::make_shared<const Constraint>(*program, vocabulary);
  for (int i = 0; i < 30; i++) {
    const std::string text = random.Text();
    Matcher m(constraint);
    const bool matches = m.AcceptBytes(text).ok() && m.CanEnd();
    ASSERT_EQ(matches, Reference(g, text).Matches(0)) << text;
    matched += matches ? 1 : 0;
  }
  // A random walk over tokens, masks compared on the way; the completion is one, and of the length that was said.
  Matcher m(constraint);
  std::string text;
  std::vector<uint64_t> mask(vocabulary->words());
  for (int step = 0; step < 6; step++) {
    ASSERT_TRUE(m.Mask(mask).ok());
    ASSERT_EQ(mask, BruteForceMask(constraint, text)) << text;
    const std::string completion = m.Completion();
    ASSERT_EQ(completion.empty(), m.CanEnd());
    ASSERT_GE(completion.size(), m.BytesToEnd());
    if (text.size() + completion.size() < 60) {
      ASSERT_TRUE(Reference(g, text + completion).Matches(0)) << text << " + " << completion;
    }
    std::vector<int32_t> allowed;
    for (int32_t id = 0; id < vocabulary->size(); id++) {
      if (HasBit(mask, id) && !vocabulary->IsEnd(id)) allowed.push_back(id);
    }
    if (allowed.empty()) break;
    const int32_t id = allowed[random.Below(static_cast<uint32_t>(allowed.size()))];
    ASSERT_TRUE(m.AcceptToken(id).ok());
    text += vocabulary->piece(id);
  }
}

/// From the start with just enough tokens, or some more, always to an end within them.
void CheckBudget(const Grammar& g, RandomGrammar& random, const std::shared_ptr<const Vocabulary>& vocabulary,
                 uint32_t more) {
  const auto program = Compile(g, 0);
  if (!program.ok()) return;
  const auto constraint = std::make_shared<const Constraint>(*program, vocabulary);
  Matcher m(constraint);
  std::vector<uint64_t> mask(vocabulary->words()), whole(mask.size());
  uint32_t budget = m.TokensToEnd() + more;
  for (; budget > 0; budget--) {
    ASSERT_LE(m.TokensToEnd(), budget);
    ASSERT_TRUE(m.Mask(mask, budget).ok());
    ASSERT_TRUE(m.Mask(whole).ok());
    std::vector<int32_t> allowed;
    for (int32_t id = 0; id < vocabulary->size(); id++) {
      if (!HasBit(mask, id) && !HasBit(whole, id)) continue;
      ASSERT_TRUE(HasBit(whole, id));
      if (vocabulary->IsEnd(id)) {
        ASSERT_TRUE(HasBit(mask, id));
        continue;
      }
      if (HasBit(mask, id)) allowed.push_back(id);
    }
    if (allowed.empty()) {
      ASSERT_TRUE(m.CanEnd());
      return;
    }
    ASSERT_TRUE(m.AcceptToken(allowed[random.Below(static_cast<uint32_t>(allowed.size()))]).ok());
  }
  ASSERT_TRUE(m.CanEnd());
}

std::vector<std::string> RandomPieces() {
  return {"ab",       "aa",           "abc", "bc",   "\xc3\xa9", "a\xc3", "\xa9z",
          "\xe2\x82", "\xac\xc3\xa9", "zz",  "aaaa", "ya",       "cab",   "bb"};
}

TEST(MatcherRandom, AgreesWithTheReference) {
  const auto vocabulary = TestVocabulary(RandomPieces());
  int matched = 0;
  for (uint64_t seed = 0; seed < 1500; seed++) {
    SCOPED_TRACE(seed);
    RandomGrammar random(seed);
    const Grammar g = random.Make();
    CheckGrammar(g, random, vocabulary, matched);
    if (testing::Test::HasFatalFailure()) return;
  }
  EXPECT_GT(matched, 1000);
}

TEST(MatcherRandom, WalksEndWithinTheirBudgets) {
  const auto vocabulary = TestVocabulary(RandomPieces());
  for (uint64_t seed = 0; seed < 1000; seed++) {
    SCOPED_TRACE(seed);
    RandomGrammar random(seed);
    const Grammar g = random.Make();
    CheckBudget(g, random, vocabulary, random.Below(8));
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace bonsai::grammar
