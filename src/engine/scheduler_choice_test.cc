// How the scheduler shares a batch out, and what may steer the choice of tokens: guesses, biases, processors.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <list>

#include "engine/builtin.h"
#include "engine/engine_testing.h"
#include "engine/scheduler.h"

namespace bonsai::engine {
namespace {

using testing::Ask;
using testing::Bench;
using testing::Options;
using testing::Oracle;
using testing::Outcome;
using testing::Prompt;

TEST(BatchSharesTest, ALongPromptStallsNobody) {
  Bench b({.context = 512, .batch_rows = 16, .parallel = 3});
  Outcome talks, is_long, is_short;
  GenerateOptions o = Options(100, 0);
  o.ignore_end = true;
  b.Submit(Ask(Prompt(4, 0), o, talks));
  b.Step();
  ASSERT_EQ(talks.ids.size(), 1u);
  b.Submit(Ask(Prompt(400, 1), o, is_long));
  b.Step();
  b.Submit(Ask(Prompt(60, 2), o, is_short));
  for (size_t i = 3; is_long.ids.empty(); i++) {
    b.Step();
    ASSERT_EQ(talks.ids.size(), i);  // one token in each batch
    ASSERT_LT(i, 100u);
    // 15 rows are left for two prompts: 7 each, and the odd one for the older.
    ASSERT_EQ(is_short.ids.empty(), i - 2 < (60 + 6) / 7) << i;
  }
  b.Drain();
}

TEST(BatchSharesTest, PromptsAreLimitedWhileOthersGenerate) {
  Bench b({.context = 512, .batch_rows = 256, .parallel = 2}, {.mixed_prompt_rows = 10});
  Outcome alone, together;
  GenerateOptions o = Options(20, 0);
  o.ignore_end = true;
  b.Submit(Ask(Prompt(250, 0), o, alone));
  b.Step();
  EXPECT_EQ(alone.ids.size(), 1u);
  b.Submit(Ask(Prompt(95, 1), o, together));
  for (int i = 0; i < 9; i++) b.Step();
  EXPECT_TRUE(together.ids.empty());
  b.Step();
  EXPECT_EQ(together.ids.size(), 1u);
  b.Drain();
}

TEST(BatchSharesTest, MorePromptsThanRowsTakeTurns) {
  Bench b({.context = 512, .batch_rows = 4, .parallel = 4});
  std::list<Outcome> outcomes;
  GenerateOptions o = Options(60, 0);
  o.ignore_end = true;
  b.Submit(Ask({1}, o, outcomes.emplace_back()));
  b.Step();
  b.Submit(Ask({2}, o, outcomes.emplace_back()));
  b.Step();
  // Two rows are left for two, then one: neither starves.
  for (uint64_t i = 0; i < 2; i++) b.Submit(Ask(Prompt(20, i), o, outcomes.emplace_back()));
  for (int i = 0; i < 20; i++) b.Step();
  EXPECT_FALSE(outcomes.back().ids.empty());
  b.Drain();
}

/// The built-in model, whose greedy stories go in circles.
std::unique_ptr<LoadedModel> Storyteller(const EngineOptions& o) {
  const auto file = formats::OpenModel(BuiltinModel());
  auto m = LoadedModel::Load(**file, o);
  EXPECT_TRUE(m) << m.error().message();
  return std::move(*m);
}

struct Story {
  std::vector<int32_t> ids;
  GenerateResult result;
  int steps = 0;
};
Story Tell(LoadedModel& model, GenerateOptions o, int32_t slots, int copies = 1) {
  Scheduler scheduler(model, {.slots = slots});
  const auto prompt = model.tokenizer().Encode("Once upon a time, there was a little");
  std::list<Outcome> outcomes;
  for (int i = 0; i < copies; i++) {
    EXPECT_TRUE(scheduler.Submit(Ask(prompt, o, outcomes.emplace_back())));
    o.sampling.seed++;
  }
  Story story;
  while (scheduler.Step()) story.steps++;
  story.ids = outcomes.front().result.tokens;
  story.result = outcomes.front().result;
  EXPECT_TRUE(scheduler.Audit());
  return story;
}

TEST(SpeculationTest, SameTokensInFewerPasses) {
  const auto model = Storyteller({.threads = 2, .batch_rows = 64, .parallel = 4});
  for (const float temperature : {0.0f, 0.5f}) {
    GenerateOptions o = Options(150, 3, temperature);
    const Story plain = Tell(*model, o, 1);
    o.speculate = true;
    const Story guessed = Tell(*model, o, 1), among = Tell(*model, o, 4, 4);
    EXPECT_EQ(guessed.ids, plain.ids) << temperature;
    EXPECT_EQ(among.ids, plain.ids) << temperature;
    EXPECT_EQ(plain.result.drafted_tokens, 0);
    EXPECT_GT(guessed.result.accepted_tokens, 0) << temperature;
    EXPECT_LE(guessed.result.accepted_tokens, guessed.result.drafted_tokens);
    // A pass gives the token that it would have given, and those guessed right.
    EXPECT_EQ(plain.steps - guessed.steps, guessed.result.accepted_tokens) << temperature;
  }
}

TEST(SpeculationTest, GuessesNeverShowInTheCache) {
  // What a speculating generation left is what a second one continues from.
  const auto model = Storyteller({.threads = 2, .batch_rows = 64});
  GenerateOptions o = Options(150, 3, 0.7f);
  o.speculate = true;
  const Story first = Tell(*model, o, 1), second = Tell(*model, o, 1);
  EXPECT_EQ(first.ids, second.ids);
  auto longer = model->tokenizer().Encode("Once upon a time, there was a little");
  longer.insert(longer.end(), first.ids.begin(), first.ids.end());
  const auto greedy = [&](LoadedModel& m) {
    Scheduler scheduler(m, {});
    Outcome out;
    EXPECT_TRUE(scheduler.Submit(Ask(longer, Options(20, 0, 0), out)));
    while (scheduler.Step()) continue;
    return out.result;
  };
  const auto fresh = Storyteller({.threads = 2, .batch_rows = 64});
  const GenerateResult warm = greedy(*model), cold = greedy(*fresh);
  EXPECT_GE(warm.cached_tokens, 128);
  EXPECT_EQ(cold.cached_tokens, 0);
  EXPECT_EQ(warm.tokens, cold.tokens);
}

/// Only multiples of `step`, with `forced` before anything else.
class Multiples : public LogitsProcessor {
 public:
  Multiples(int32_t step, std::vector<int32_t> forced) : step_(step), forced_(std::move(forced)) {}
  void Process(std::span<const int32_t> generated, std::span<float> logits) override {
    EXPECT_GE(generated.size(), seen_);  // it only grows
    seen_ = generated.size();
    for (size_t i = 0; i < logits.size(); i++)
      if (step_ == 0 || i % static_cast<size_t>(step_) != 0) logits[i] = -INFINITY;
  }
  std::vector<int32_t> Forced(std::span<const int32_t> generated) override {
    return generated.empty() ? forced_ : std::vector<int32_t>();
  }

 private:
  int32_t step_;
  std::vector<int32_t> forced_;
  size_t seen_ = 0;
};

TEST(LogitsProcessorTest, MasksAndForces) {
  Bench b({.context = 256, .batch_rows = 16, .parallel = 2});
  Outcome out;
  GenerateOptions o = Options(40, 1);
  const std::vector<int32_t> forced = {3, 1, 4, 1, 5};
  o.processor = std::make_shared<Multiples>(7, forced);
  o.speculate = true;
  b.Submit(Ask(Prompt(30, 0), o, out));
  b.Step();
  b.Step();
  EXPECT_EQ(out.ids, forced);  // with the prompt's batches, not one by one
  b.Drain();
  ASSERT_EQ(out.result.tokens.size(), 40u);
  EXPECT_TRUE(std::equal(forced.begin(), forced.end(), out.result.tokens.begin()));
  for (size_t i = forced.size(); i < 40; i++) EXPECT_EQ(out.result.tokens[i] % 7, 0);
}

TEST(LogitsProcessorTest, ForcedTokensObeyTheLimit) {
  Bench b({.context = 256, .batch_rows = 16});
  Outcome out;
  GenerateOptions o = Options(3, 1);
  o.processor = std::make_shared<Multiples>(7, std::vector<int32_t>{3, 1, 4, 1, 5});
  b.Submit(Ask(Prompt(30, 0), o, out));
  b.Drain();
  EXPECT_EQ(out.result.tokens, (std::vector<int32_t>{3, 1, 4}));
  EXPECT_EQ(out.result.reason, FinishReason::kLength);
}

TEST(LogitsProcessorTest, ForbiddingEverythingIsAnError) {
  Bench b({.context = 256, .batch_rows = 16, .parallel = 2});
  Outcome out, other;
  GenerateOptions o = Options(40, 1);
  o.processor = std::make_shared<Multiples>(0, std::vector<int32_t>());
  b.Submit(Ask(Prompt(30, 0), o, out));
  b.Submit(Ask(Prompt(30, 0), Options(5, 0), other));
  b.Drain();
  EXPECT_EQ(out.result.reason, FinishReason::kError);
  ASSERT_FALSE(out.result.status);
  EXPECT_EQ(out.result.status.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(other.result.status);  // the others do not notice
}

TEST(LogitBiasTest, ForcesAndForbids) {
  Bench b({.context = 256, .batch_rows = 16});
  Outcome out;
  GenerateOptions o = Options(5, 1, 0);
  o.logit_bias = {{17, 100.0f}};
  b.Submit(Ask(Prompt(30, 0), o, out));
  b.Drain();
  EXPECT_EQ(out.result.tokens, std::vector<int32_t>(5, 17));
  Outcome plain, without;
  o.logit_bias.clear();
  b.Submit(Ask(Prompt(30, 0), o, plain));
  b.Drain();
  o.logit_bias = {{plain.result.tokens[0], -100.0f}};
  b.Submit(Ask(Prompt(30, 0), o, without));
  b.Drain();
  EXPECT_EQ(std::count(without.ids.begin(), without.ids.end(), plain.result.tokens[0]), 0);
}

TEST(LogprobsTest, AreTheModelsBeforeBiases) {
  Oracle oracle;
  const std::vector<int32_t> prompt = Prompt(30, 0);
  std::vector<float> logits(300);
  ASSERT_TRUE(oracle.engine().Feed(prompt, 0, logits));
  double sum = 0;
  for (const float v : logits) sum += std::exp(static_cast<double>(v));
  std::vector<int32_t> order(300);
  for (int32_t i = 0; i < 300; i++) order[static_cast<size_t>(i)] = i;
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t c) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(c)];
  });

  Bench b({.context = 256, .batch_rows = 16});
  GenerateOptions o = Options(1, 1, 0);
  o.logprobs = 5;
  o.logit_bias = {{17, 100.0f}};
  Outcome out;
  Request r = Ask(prompt, o, out);
  int calls = 0;
  r.on_token = [&](const Token& t) {
    if (t.id < 0) return true;
    calls++;
    EXPECT_EQ(t.id, 17);
    // One rounding to float, of a number below 32: half of 2^-19, and doubles beside it.
    EXPECT_NEAR(t.logprob, logits[17] - std::log(sum), 0x1p-19);
    EXPECT_EQ(t.top.size(), 5u);
    for (size_t i = 0; i < t.top.size(); i++) {
      EXPECT_EQ(t.top[i].id, order[i]);
      EXPECT_NEAR(t.top[i].logprob, logits[static_cast<size_t>(order[i])] - std::log(sum), 0x1p-19);
    }
    return true;
  };
  b.Submit(std::move(r));
  b.Drain();
  EXPECT_EQ(calls, 1);
}

TEST(TimingsTest, CountsAddUp) {
  Bench b({.context = 256, .batch_rows = 16, .parallel = 1});
  Outcome first, second;
  GenerateOptions o = Options(10, 1);
  o.ignore_end = true;
  b.Submit(Ask(Prompt(100, 0), o, first));
  b.Submit(Ask(Prompt(100, 0), o, second));
  b.Drain();
  EXPECT_EQ(first.result.prompt_tokens, 100);
  EXPECT_EQ(second.result.cached_tokens, 64);
  EXPECT_GT(first.result.prompt_seconds, 0);
  EXPECT_GT(first.result.generate_seconds, 0);
  // The second one waited as long as the first one ran.
  EXPECT_GE(second.result.queue_seconds, first.result.prompt_seconds);
  const SchedulerStats s = b.scheduler->stats();
  EXPECT_EQ(s.prompt_tokens, 200);
  EXPECT_EQ(s.cached_tokens, 64);
  EXPECT_EQ(s.generated_tokens, 20);
  EXPECT_EQ(s.requests_finished, 2);
  EXPECT_EQ(s.running + s.waiting, 0);
  EXPECT_EQ(s.kv_blocks_used, 0);
  EXPECT_EQ(s.kv_blocks_cached, 1);
}

}  // namespace
}  // namespace bonsai::engine
