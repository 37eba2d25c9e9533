// Grammars with Qwen3's vocabulary: masks against brute force, walks within budgets.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "grammar/gbnf.h"
#include "grammar/grammar_testing.h"
#include "grammar/test_json_grammar.h"
#include "tests/support.h"
#include "text/test_qwen_vocabulary.h"
#include "text/tokenizer.h"

namespace bonsai::grammar {
namespace {

class QwenGrammar : public testing::Test {
 protected:
  void SetUp() override {
    const std::string folder = test::DataPath("tokenizer/qwen");
    if (folder.empty()) GTEST_SKIP() << "no Qwen vocabulary (BONSAI_TEST_DATA)";
    tokenizer_ = std::move(*text::Tokenizer::FromMetadata(text::QwenMetadata(folder)));
    vocabulary_ = Vocabulary::FromTokenizer(*tokenizer_);
  }

  std::shared_ptr<const Constraint> Make(const std::string& gbnf) {
    const auto parsed = ParseGbnf(gbnf);
    EXPECT_TRUE(parsed.ok()) << parsed.error().message();
    const auto program = Compile(parsed->grammar, parsed->root);
    EXPECT_TRUE(program.ok()) << program.error().message();
    return std::make_shared<const Constraint>(*program, vocabulary_);
  }

  /// A random allowed token; -1: the end.
  int32_t Draw(Matcher& m, uint32_t budget, Rng& rng, std::vector<uint64_t>& mask) {
    const Status status = m.Mask(mask, budget);
    EXPECT_TRUE(status.ok()) << status.error().message();
    std::vector<int32_t> allowed;
    for (int32_t id = 0; id < vocabulary_->size(); id++) {
      if (HasBit(mask, id) && !vocabulary_->IsEnd(id)) allowed.push_back(id);
    }
    return allowed.empty() ? -1 : allowed[rng.Next() % allowed.size()];
  }

  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::shared_ptr<const Vocabulary> vocabulary_;
};

TEST_F(QwenGrammar, KnowsTheVocabulary) {
  EXPECT_EQ(vocabulary_->size(), 151669);
  EXPECT_TRUE(vocabulary_->complete());
  EXPECT_LT(vocabulary_->trie().MemoryBytes(), size_t{16} << 20);
  for (int32_t id = 0; id < vocabulary_->size(); id++) {
    EXPECT_EQ(vocabulary_->piece(id).empty(), tokenizer_->IsControl(id) || tokenizer_->IsEndOfGeneration(id)) << id;
  }
}

TEST_F(QwenGrammar, MasksAreTheBruteForceOnes) {
  std::vector<uint64_t> mask(vocabulary_->words());
  for (const std::string& gbnf :
       {std::string(kJsonGbnf), SchemaGbnf(6), std::string("root ::= .{2,40} \"\\n\" [a-z ]{1,9}")}) {
    const auto constraint = Make(gbnf);
    for (uint64_t seed = 0; seed < 3; seed++) {
      Rng rng(seed);
      Matcher m(constraint);
      std::string text;
      for (int step = 0; step < 12; step++) {
        const int32_t id = Draw(m, Matcher::kNoBudget, rng, mask);
        ASSERT_EQ(mask, BruteForceMask(constraint, text)) << text;
        if (id < 0) break;
        ASSERT_TRUE(m.AcceptToken(id).ok());
        text += vocabulary_->piece(id);
      }
    }
  }
}

TEST_F(QwenGrammar, WalksEndWithinTheirBudgets) {
  std::vector<uint64_t> mask(vocabulary_->words());
  for (const std::string& gbnf :
       {std::string(kJsonGbnf), SchemaGbnf(12), std::string("root ::= .{2,40} \"\\n\" [a-z ]{1,9}")}) {
    const auto constraint = Make(gbnf);
    for (uint64_t seed = 0; seed < 6; seed++) {
      Rng rng(seed);
      Matcher m(constraint);
      const uint32_t most = m.TokensToEnd() + static_cast<uint32_t>(5 * seed);
      uint32_t used = 0;
      while (used < most) {
        ASSERT_LE(m.TokensToEnd(), most - used);
        const int32_t id = Draw(m, most - used, rng, mask);
        if (id < 0) break;
        ASSERT_TRUE(m.AcceptToken(id).ok());
        used++;
      }
      EXPECT_TRUE(m.CanEnd());
    }
  }
}

}  // namespace
}  // namespace bonsai::grammar
