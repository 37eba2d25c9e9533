// Prompts that begin alike and come together: what they share is computed once, whatever happens on the way.
#include <gtest/gtest.h>

#include <list>

#include "engine/engine_testing.h"

namespace bonsai::engine {
namespace {

using testing::Ask;
using testing::Bench;
using testing::kBlockBytes;
using testing::Options;
using testing::Oracle;
using testing::Outcome;
using testing::Prompt;

constexpr int32_t kTokens = 6;  // of each answer

GenerateOptions Answer(uint64_t seed) {
  GenerateOptions o = Options(kTokens, seed);
  o.ignore_end = true;
  return o;
}

/// `common` tokens that all begin with, then `own` tokens of user `i`.
std::vector<int32_t> PromptOf(size_t common, size_t own, uint64_t i) {
  std::vector<int32_t> ids = Prompt(common, 1);
  const std::vector<int32_t> rest = Prompt(own, 100 + i);
  ids.insert(ids.end(), rest.begin(), rest.end());
  return ids;
}

struct Together {
  explicit Together(const EngineOptions& e, SchedulerOptions s = {}) : bench(e, s) {}
  RequestId Add(size_t common, size_t own, std::string salt = "") {
    prompts.push_back(PromptOf(common, own, prompts.size()));
    Request r = Ask(prompts.back(), Answer(prompts.size()), outcomes.emplace_back());
    r.cache_salt = std::move(salt);
    return bench.Submit(std::move(r));
  }
  /// All answers are those that each gets alone; cut-off ones are beginnings of them.
  void ExpectAnswersAsAlone() {
    Oracle oracle;
    auto outcome = outcomes.begin();
    for (size_t i = 0; i < prompts.size(); i++, ++outcome) {
      std::vector<int32_t> want = oracle.Generate(prompts[i], Answer(i + 1));
      ASSERT_EQ(outcome->finishes, 1) << i;
      if (outcome->result.reason == FinishReason::kCancelled) want.resize(outcome->result.tokens.size());
      EXPECT_EQ(outcome->result.tokens, want) << i;
    }
  }
  Bench bench;
  std::vector<std::vector<int32_t>> prompts;
  std::list<Outcome> outcomes;
};

/// Rows of a sequence that computes so many tokens of its prompt: the last generated token is never run.
constexpr int64_t Rows(int64_t computed) { return computed + kTokens - 1; }

TEST(SharedPromptTest, IsComputedOnce) {
  for (const int32_t batch_rows : {512, 48, 7})
    for (const int32_t users : {2, 16}) {
      Together t({.context = 512, .batch_rows = std::max(batch_rows, users), .parallel = users});
      for (int32_t i = 0; i < users; i++) t.Add(300, 0);
      t.bench.Drain();
      t.ExpectAnswersAsAlone();
      EXPECT_EQ(t.outcomes.front().result.cached_tokens, 0);
      for (auto o = std::next(t.outcomes.begin()); o != t.outcomes.end(); ++o)
        EXPECT_EQ(o->result.cached_tokens, 256) << batch_rows;  // full blocks
      EXPECT_EQ(t.bench.scheduler->stats().rows, Rows(300) + (users - 1) * Rows(44)) << batch_rows;
    }
}

TEST(SharedPromptTest, EachComputesItsOwnEnd) {
  Together t({.context = 512, .batch_rows = 64, .parallel = 4});
  t.Add(300, 5);
  t.Add(130, 100);  // leaves after two blocks
  t.Add(300, 60);
  t.Add(20, 200);  // shares no block
  t.bench.Drain();
  t.ExpectAnswersAsAlone();
  std::vector<int32_t> cached;
  for (const Outcome& o : t.outcomes) cached.push_back(o.result.cached_tokens);
  EXPECT_EQ(cached, (std::vector<int32_t>{0, 128, 256, 0}));
  EXPECT_EQ(t.bench.scheduler->stats().rows, Rows(305) + Rows(102) + Rows(104) + Rows(220));
}

TEST(SharedPromptTest, TheLastTokenIsNeverTakenOver) {
  Together t({.context = 512, .batch_rows = 512, .parallel = 2});
  t.Add(128, 0);
  t.Add(128, 0);
  t.bench.Drain();
  t.ExpectAnswersAsAlone();
  EXPECT_EQ(t.outcomes.back().result.cached_tokens, 64);
  EXPECT_EQ(t.bench.scheduler->stats().rows, Rows(128) + Rows(64));
}

TEST(SharedPromptTest, WhoComesLaterWaitsToo) {
  Together t({.context = 512, .batch_rows = 32, .parallel = 2});
  t.Add(300, 0);
  for (int i = 0; i < 5; i++) t.bench.Step();  // 160 tokens: two blocks are known, half of the third is computed
  t.Add(300, 0);
  t.bench.Drain();
  t.ExpectAnswersAsAlone();
  EXPECT_EQ(t.outcomes.back().result.cached_tokens, 256);
  EXPECT_EQ(t.bench.scheduler->stats().rows, Rows(300) + Rows(44));
}

TEST(SharedPromptTest, SaltsKeepThemApart) {
  Together t({.context = 512, .batch_rows = 64, .parallel = 4});
  for (const char* salt : {"a", "b", "a", ""}) t.Add(300, 0, salt);
  t.bench.Drain();
  t.ExpectAnswersAsAlone();
  std::vector<int32_t> cached;
  for (const Outcome& o : t.outcomes) cached.push_back(o.result.cached_tokens);
  EXPECT_EQ(cached, (std::vector<int32_t>{0, 0, 256, 0}));
  EXPECT_EQ(t.bench.scheduler->stats().rows, 3 * Rows(300) + Rows(44));
}

TEST(SharedPromptTest, NobodyWaitsForAnotherSalt) {
  Together t({.context = 512, .batch_rows = 640, .parallel = 2});
  t.Add(300, 0, "a");
  t.Add(300, 0, "b");
  t.bench.Step();
  EXPECT_EQ(t.outcomes.front().ids.size(), 1u);
  EXPECT_EQ(t.outcomes.back().ids.size(), 1u);
  t.bench.Drain();
}

TEST(SharedPromptTest, TheNextOneGoesOnWhenTheOldestIsCancelled) {
  for (const int steps : {1, 2, 3, 5, 7, 10}) {
    Together t({.context = 512, .batch_rows = 40, .parallel = 3});
    const RequestId first = t.Add(300, 0);
    t.Add(300, 0);
    t.Add(300, 0);
    for (int i = 0; i < steps; i++) t.bench.Step();
    t.bench.scheduler->Cancel(first);
    t.bench.Drain();
    t.ExpectAnswersAsAlone();
    // The first one's full blocks stay; what it had of the next block is computed again, by the second one.
    const int32_t computed = std::min(40 * steps, 300), full = std::min(computed / 64 * 64, 256);
    const auto second = std::next(t.outcomes.begin());
    EXPECT_EQ(t.outcomes.front().result.reason, FinishReason::kCancelled);
    EXPECT_EQ(second->result.cached_tokens, full) << steps;
    EXPECT_EQ(t.outcomes.back().result.cached_tokens, 256) << steps;
    const int64_t generated = std::max<int64_t>(static_cast<int64_t>(t.outcomes.front().ids.size()) - 1, 0);
    EXPECT_EQ(t.bench.scheduler->stats().rows, computed + generated + Rows(300 - full) + Rows(44)) << steps;
  }
}

TEST(SharedPromptTest, ShortOfMemory) {
  Together t({.context = 320, .batch_rows = 64, .parallel = 4, .kv_memory = 8 * kBlockBytes});
  for (size_t i = 0; i < 4; i++) t.Add(250, 60, i == 2 ? "other" : "");
  t.bench.Drain();
  t.ExpectAnswersAsAlone();
}

}  // namespace
}  // namespace bonsai::engine
