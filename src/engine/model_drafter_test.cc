#include "engine/model_drafter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>

#include "engine/engine_testing.h"

namespace bonsai::engine {
namespace {

using testing::Ask;
using testing::Bench;
using testing::kBlockBytes;
using testing::LoadModel;
using testing::Options;
using testing::Oracle;
using testing::Outcome;
using testing::Prompt;
using testing::StrangerBytes;

using Ids = std::vector<int32_t>;

/// A drafter alone, whose guesses must be the model's greedy answers.
struct Guesser {
  explicit Guesser(EngineOptions o = {}, int32_t vocab = 300)
      : model(LoadModel(o)), drafter(*model, vocab), want(Options(0, 0, 0)) {}
  Ids Guess(uint64_t id, const Ids& tokens, size_t most, const char* salt = "") {
    DraftWish wish{.id = id, .salt = salt, .tokens = tokens, .most = most};
    drafter.Guess({&wish, 1});
    EXPECT_TRUE(drafter.Audit());
    return wish.draft;
  }
  /// What the model itself would say.
  Ids Greedy(const Ids& tokens, size_t most) {
    want.max_tokens = static_cast<int32_t>(most);
    return oracle.Generate(tokens, want);
  }
  std::unique_ptr<LoadedModel> model;
  ModelDrafter drafter;
  Oracle oracle;
  GenerateOptions want;
};

TEST(ModelDrafterTest, GuessesWhatItsModelWouldSay) {
  Guesser g({.context = 256, .batch_rows = 256, .parallel = 16});
  for (const size_t length : {1u, 2u, 63u, 64u, 65u, 127u, 128u, 200u})
    for (const size_t most : {1u, 8u}) {
      const Ids tokens = Prompt(length, length);
      EXPECT_EQ(g.Guess(length * 10 + most, tokens, most), g.Greedy(tokens, most)) << length;
    }
}

TEST(ModelDrafterTest, GoesBackWhenAGuessWasWrong) {
  Guesser g({.context = 512, .batch_rows = 256});
  Ids tokens = Prompt(50, 3);
  for (size_t round = 0; round < 35; round++) {
    const Ids draft = g.Guess(1, tokens, 8);
    ASSERT_EQ(draft, g.Greedy(tokens, 8)) << round;
    // Any number of them is right, then comes another token, and sometimes many before it is asked again: its guess
    // must not count for what came in the same place.
    const size_t right = round % 9;
    tokens.insert(tokens.end(), draft.begin(), draft.begin() + static_cast<ptrdiff_t>(std::min(right, draft.size())));
    for (size_t i = 0; i <= round % 4 * 5; i++) tokens.push_back(static_cast<int32_t>((round * 7 + i) % 256));
  }
  EXPECT_GT(tokens.size(), 3 * kBlock);
}

TEST(ModelDrafterTest, TheSameTokensAgainAreNoNews) {
  Guesser g({.context = 256, .batch_rows = 256});
  const Ids tokens = Prompt(128, 3);
  EXPECT_EQ(g.Guess(1, tokens, 4), g.Guess(1, tokens, 4));
}

TEST(ModelDrafterTest, TextsShareItsPasses) {
  Guesser g({.context = 256, .batch_rows = 400, .parallel = 6});
  std::vector<Ids> texts;
  std::vector<DraftWish> wishes;
  for (uint64_t i = 0; i < 6; i++) texts.push_back(Prompt(10 + 20 * i, i));
  for (uint64_t i = 0; i < 6; i++) wishes.push_back({.id = i, .salt = "", .tokens = texts[i], .most = 1 + i});
  g.drafter.Guess(wishes);
  for (size_t i = 0; i < 6; i++) EXPECT_EQ(wishes[i].draft, g.Greedy(texts[i], 1 + i)) << i;
}

TEST(ModelDrafterTest, ALongPromptIsReadOverSeveralCallsAndStallsNobody) {
  Guesser g({.context = 512, .batch_rows = 64});
  const Ids is_long = Prompt(300, 1), is_short = Prompt(20, 2);
  for (int call = 1; call <= 7; call++) {
    std::vector<DraftWish> wishes = {{.id = 1, .salt = "", .tokens = is_long, .most = 2},
                                     {.id = 2, .salt = "", .tokens = is_short, .most = 2}};
    g.drafter.Guess(wishes);
    EXPECT_EQ(wishes[1].draft, g.Greedy(is_short, 2));
    // 44 rows are left for it at first, then 63 in each call: 44 + 4 · 63 < 300 ≤ 44 + 5 · 63.
    EXPECT_EQ(wishes[0].draft, call <= 5 ? Ids() : g.Greedy(is_long, 2)) << call;
  }
}

TEST(ModelDrafterTest, KnowsPrefixesOfTheSameSalt) {
  Guesser g({.context = 512, .batch_rows = 64, .parallel = 2});
  const Ids tokens = Prompt(300, 1);
  const auto calls = [&](uint64_t id, const char* salt) {
    int n = 1;
    while (g.Guess(id, tokens, 2, salt).empty() && n < 100) n++;
    g.drafter.Forget(id);
    return n;
  };
  EXPECT_EQ(calls(1, "a"), 5);
  EXPECT_EQ(calls(2, "a"), 1);  // 256 tokens are known, 44 are not
  EXPECT_EQ(calls(3, "b"), 5);
  EXPECT_EQ(g.model->pool().used(), 0);
  EXPECT_EQ(g.model->pool().cached(), 8);
}

TEST(ModelDrafterTest, GivesUpWithoutMemory) {
  Guesser g({.batch_rows = 256, .kv_memory = 2 * kBlockBytes});
  const Ids a = Prompt(60, 1), b = Prompt(70, 2);
  EXPECT_EQ(g.Guess(1, a, 4), g.Greedy(a, 4));
  EXPECT_EQ(g.Guess(2, b, 4), Ids());  // two blocks are needed, one is free
  EXPECT_EQ(g.model->pool().used(), 1);
  EXPECT_EQ(g.Guess(1, a, 8).size(), 8u);  // the other goes on: its second block is there again
  g.drafter.Forget(1);
  EXPECT_EQ(g.Guess(2, b, 4), Ids());  // once and for all
  g.drafter.Forget(2);
  EXPECT_EQ(g.Guess(2, b, 4), g.Greedy(b, 4));
  // What was guessed before memory ran out still is a guess.
  const Ids c = Prompt(125, 3);
  g.drafter.Forget(2);
  EXPECT_EQ(g.Guess(3, c, 8), g.Greedy(c, 4));  // of tokens 126 to 129, the last needs no place
  EXPECT_EQ(g.model->pool().used(), 0);
}

TEST(ModelDrafterTest, OnlyTokensThatBothModelsHave) {
  Guesser g({.context = 256, .batch_rows = 256}, 20);  // the big one has 20
  for (const int32_t id : g.Guess(1, Ids(30, 5), 8)) EXPECT_LT(id, 20);
  EXPECT_EQ(g.Guess(2, Ids{1, 2, 20, 3}, 8), Ids());
  EXPECT_EQ(g.Guess(2, Ids{1, 2, 20, 3, 4}, 8), Ids());
}

TEST(DraftModelTest, ItsOwnGuessesAreAllRight) {
  Oracle oracle;
  Bench b({.context = 512, .batch_rows = 256, .parallel = 3}, {}, LoadModel({.batch_rows = 256, .parallel = 3}));
  std::list<Outcome> outcomes;
  GenerateOptions o = Options(100, 0, 0);
  o.ignore_end = o.speculate = true;
  for (uint64_t i = 0; i < 3; i++) b.Submit(Ask(Prompt(40 * i + 1, i), o, outcomes.emplace_back()));
  int steps = 0;
  while (b.Step()) steps++;
  uint64_t i = 0;
  for (const Outcome& out : outcomes) {
    EXPECT_EQ(out.result.tokens, oracle.Generate(Prompt(40 * i + 1, i), o)) << i;
    EXPECT_EQ(out.result.drafted_tokens, out.result.accepted_tokens) << i;
    // Each pass gives one token beside the guesses that were right: 5 tokens, then 9 at a time.
    EXPECT_EQ(out.result.accepted_tokens, 100 - 1 - (100 - 5 + 8) / 9) << i;
    i++;
  }
  EXPECT_LE(steps, 14);
  EXPECT_EQ(b.scheduler->stats().drafted_tokens, b.scheduler->stats().accepted_tokens);
}

/// Sixteen requests, greedy or not, with penalties or not.
void ExpectAnswersAsAlone(const EngineOptions& e, std::unique_ptr<LoadedModel> draft) {
  Oracle oracle;
  Bench b(e, {}, std::move(draft));
  std::list<Outcome> outcomes;
  std::vector<std::pair<Ids, GenerateOptions>> requests;
  for (uint64_t i = 0; i < 16; i++) {
    GenerateOptions o = Options(20 + static_cast<int32_t>(i * 4), i, i % 4 == 0 ? 0.0f : 0.5f);
    if (i % 3 == 0) o.sampling.repeat_penalty = 1.3f;
    o.speculate = i % 5 != 4;
    requests.push_back({Prompt(1 + i * i % 150, i), o});
  }
  for (const auto& [prompt, o] : requests) b.Submit(Ask(prompt, o, outcomes.emplace_back()));
  b.Drain();
  auto out = outcomes.begin();
  for (const auto& [prompt, o] : requests) {
    EXPECT_EQ(out->result.tokens, oracle.Generate(prompt, o)) << "prompt of " << prompt.size();
    EXPECT_EQ(out->result.drafted_tokens > 0, o.speculate);
    ++out;
  }
}

TEST(DraftModelTest, ChangesNoAnswer) {
  const EngineOptions e{.context = 256, .batch_rows = 64, .parallel = 16};
  EngineOptions d = e;
  d.context = 0;
  ExpectAnswersAsAlone(e, LoadModel(d));
  ExpectAnswersAsAlone(e, LoadModel(d, StrangerBytes()));
}

TEST(DraftModelTest, ChangesNoAnswerInPreemptedOnes) {
  const EngineOptions e{.context = 256, .batch_rows = 64, .parallel = 16, .kv_memory = 5 * kBlockBytes};
  EngineOptions d = e;
  d.context = 0, d.kv_memory = 0;
  ExpectAnswersAsAlone(e, LoadModel(d));
}

TEST(DraftModelTest, CancellingGivesItsCacheBack) {
  Bench b({.context = 256, .batch_rows = 64, .parallel = 2}, {}, LoadModel({.batch_rows = 64, .parallel = 2}));
  Outcome first, second;
  GenerateOptions o = Options(-1, 0);
  o.ignore_end = o.speculate = true;
  const RequestId id = b.Submit(Ask(Prompt(20, 0), o, first));
  b.Submit(Ask(Prompt(20, 1), o, second));
  b.Step();
  EXPECT_EQ(b.draft->pool().used(), 2);
  b.scheduler->Cancel(id);
  b.Step();
  EXPECT_EQ(b.draft->pool().used(), 1);
  b.Drain();
}

}  // namespace
}  // namespace bonsai::engine
