// A model that is loaded with a draft model: what is checked, what it takes, what it gives.
#include <gtest/gtest.h>

#include "engine/engine_testing.h"

namespace bonsai::engine {
namespace {

using test::SyntheticModel;
using testing::ModelBytes;
using testing::Options;
using testing::Oracle;
using testing::Prompt;
using testing::StrangerBytes;

struct Loaded {
  Result<std::unique_ptr<Engine>> engine;
  std::string error() const { return engine ? "none" : engine.error().message(); }
};

Loaded LoadWith(const std::string& draft_bytes, EngineOptions o = {}) {
  const auto file = test::OpenBytes(ModelBytes());
  const auto draft = formats::OpenModel(MemorySource("draft.gguf", std::as_bytes(std::span(draft_bytes))));
  EXPECT_TRUE(file && draft);
  o.draft = draft->get();
  return {Engine::Load(**file, o)};
}

/// The bytes of a model with another value of a key.
std::string With(const std::string& key, const formats::Value& value) {
  SyntheticModel s;
  s.edit = [&](formats::Metadata& m, std::vector<formats::GgufTensor>&) {
    formats::Metadata out(m.source());
    for (const auto& [k, v] : m.entries()) ASSERT_TRUE(out.Add(k, k == key ? value : v));
    m = std::move(out);
  };
  return test::BuildGguf(s);
}

void ExpectRefused(const std::string& draft, const std::string& why) {
  const Loaded l = LoadWith(draft, {.threads = 1});
  ASSERT_FALSE(l.engine);
  EXPECT_EQ(l.engine.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_NE(l.error().find(why), std::string::npos) << l.error();
  EXPECT_NE(l.error().find("same vocabulary"), std::string::npos) << l.error();
}

TEST(DraftLoadingTest, AnotherVocabularyIsRefused) {
  ExpectRefused(test::BuildGguf({.vocab = 301}), "draft.gguf: has 301 tokens, but test.gguf has 300");
  std::vector<std::string> tokens;
  std::vector<int64_t> types;
  for (int i = 0; i < 256; i++) tokens.push_back(test::ByteToken(i)), types.push_back(1);
  tokens.push_back("ab"), types.push_back(1);
  while (tokens.size() < 299) tokens.push_back("<pad" + std::to_string(tokens.size()) + ">"), types.push_back(5);
  tokens.push_back("<|end|>"), types.push_back(3);
  ASSERT_TRUE(LoadWith(With("tokenizer.ggml.tokens", test::Texts(tokens)), {.threads = 1}).engine);
  tokens[280] = "<\x1b[2J>";
  ExpectRefused(With("tokenizer.ggml.tokens", test::Texts(tokens)),
                "draft.gguf: token 280 is \"<\\x1b[2J>\", but in test.gguf it is the token \"<pad280>\"");
  types[270] = 3;
  ExpectRefused(With("tokenizer.ggml.token_type", test::Ints(types)),
                "draft.gguf: control token 270 is \"<pad270>\", but in test.gguf it is the token \"<pad270>\"");
}

TEST(DraftLoadingTest, RowsBeyondTheTokensMayDiffer) {
  // Embeddings are often padded, to other sizes in small models: 300 tokens, 384 rows.
  SyntheticModel s{.vocab = 384};
  s.edit = [](formats::Metadata& m, std::vector<formats::GgufTensor>&) {
    formats::Metadata out(m.source());
    for (const auto& [k, v] : m.entries())
      if (!k.starts_with("tokenizer.")) {
        ASSERT_TRUE(out.Add(k, v));
      }
    test::AddTokenizer(out, 300);
    m = std::move(out);
  };
  const Loaded l = LoadWith(test::BuildGguf(s), {.threads = 1, .context = 256});
  ASSERT_TRUE(l.engine) << l.error();
  GenerateOptions o = Options(60, 1);
  o.ignore_end = o.speculate = true;
  const auto r = (*l.engine)->Generate(Prompt(20, 0), o, {});
  ASSERT_TRUE(r);
  EXPECT_GT(r->drafted_tokens, 0);
  EXPECT_EQ(r->tokens, Oracle().Generate(Prompt(20, 0), o));
}

TEST(DraftLoadingTest, GuessLengthsHaveALimit) {
  for (const int32_t n : {0, -1, kMaxDraft + 1}) {
    const Loaded l = LoadWith(ModelBytes(), {.threads = 1, .draft_max = n});
    ASSERT_FALSE(l.engine) << n;
    EXPECT_EQ(l.engine.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(l.error().find("--draft-max"), std::string::npos) << l.error();
  }
}

TEST(DraftLoadingTest, TheSameAnswersInFewerPasses) {
  Oracle oracle;
  const std::vector<int32_t> prompt = Prompt(100, 0);
  for (const int32_t most : {1, 3, 8, kMaxDraft})
    for (const bool same : {true, false}) {
      const Loaded l = LoadWith(same ? ModelBytes() : StrangerBytes(),
                                {.threads = 2, .context = 256, .batch_rows = 128, .draft_max = most});
      ASSERT_TRUE(l.engine) << l.error();
      GenerateOptions o = Options(100, 7, 0);
      o.ignore_end = true;
      const std::vector<int32_t> want = oracle.Generate(prompt, o);
      const auto plain = (*l.engine)->Generate(prompt, o, {});
      ASSERT_TRUE(plain);
      EXPECT_EQ(plain->drafted_tokens, 0);  // it was not asked to
      o.speculate = true;
      const auto r = (*l.engine)->Generate(prompt, o, {});
      ASSERT_TRUE(r);
      EXPECT_EQ(plain->tokens, want);
      EXPECT_EQ(r->tokens, want);
      EXPECT_GT(r->drafted_tokens, 0);
      if (same) {
        EXPECT_EQ(r->drafted_tokens, r->accepted_tokens) << most;
      }
      o.sampling.temperature = 0.7f;
      const auto drawn = (*l.engine)->Generate(prompt, o, {});
      ASSERT_TRUE(drawn);
      EXPECT_EQ(drawn->tokens, oracle.Generate(prompt, o));
    }
}

TEST(DraftLoadingTest, OneDeviceAndOnePlan) {
  const auto file = test::OpenBytes(ModelBytes()), draft = test::OpenBytes(StrangerBytes());
  const EngineOptions plain{.threads = 2, .context = 256, .batch_rows = 32, .parallel = 3};
  EngineOptions o = plain;
  o.draft = draft->get();
  const auto m = LoadedModel::Load(**file, o), alone = LoadedModel::Load(**file, plain);
  ASSERT_TRUE(m && alone);
  ASSERT_NE((*m)->draft(), nullptr);
  EXPECT_EQ((*alone)->draft(), nullptr);
  LoadedModel& d = *(*m)->draft();
  EXPECT_EQ(&(*m)->model().device(), &d.model().device());
  EXPECT_EQ((*m)->plan().draft, d.plan().total());
  EXPECT_EQ((*m)->plan().total(), (*alone)->plan().total() + d.plan().total());
  EXPECT_EQ((*m)->pool().capacity(), 3 * 4);
  EXPECT_EQ(d.pool().capacity(), 3 * 4);  // as many positions, of half the size: one layer instead of two
  EXPECT_EQ(d.plan().kv, (*m)->plan().kv / 2);
}

}  // namespace
}  // namespace bonsai::engine
