#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <cmath>
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

/// Sixteen requests of all lengths, some with penalties, some greedy.
std::vector<std::pair<std::vector<int32_t>, GenerateOptions>> Sixteen() {
  std::vector<std::pair<std::vector<int32_t>, GenerateOptions>> all;
  for (uint64_t i = 0; i < 16; i++) {
    GenerateOptions o = Options(20 + static_cast<int32_t>(i * 5), i, i % 4 == 0 ? 0.0f : 1.0f);
    if (i % 3 == 0) o.sampling.repeat_penalty = 1.3f;
    o.speculate = i % 2 == 0;
    all.push_back({Prompt(1 + i * i % 150, i), o});
  }
  return all;
}

void ExpectAnswersAsAlone(EngineOptions e, bool preempts) {
  Oracle oracle;
  Bench b(e);
  std::list<Outcome> outcomes;
  const auto requests = Sixteen();
  for (const auto& [prompt, o] : requests) b.Submit(Ask(prompt, o, outcomes.emplace_back()));
  b.Drain();
  auto outcome = outcomes.begin();
  for (const auto& [prompt, o] : requests) {
    ASSERT_EQ(outcome->finishes, 1);
    EXPECT_EQ(outcome->result.tokens, oracle.Generate(prompt, o)) << "prompt of " << prompt.size();
    ++outcome;
  }
  EXPECT_EQ(b.scheduler->stats().preemptions > 0, preempts) << b.scheduler->stats().preemptions;
  EXPECT_EQ(b.scheduler->stats().requests_finished, 16);
}

TEST(SchedulerTest, SixteenTogetherAnswerAsEachAlone) {
  ExpectAnswersAsAlone({.context = 256, .batch_rows = 64, .parallel = 16}, false);
}

TEST(SchedulerTest, InSmallBatchesToo) {
  ExpectAnswersAsAlone({.context = 256, .batch_rows = 3, .parallel = 16}, false);
  ExpectAnswersAsAlone({.context = 256, .batch_rows = 1, .parallel = 1}, false);
}

TEST(SchedulerTest, PreemptionChangesNoAnswer) {
  ExpectAnswersAsAlone({.context = 256, .batch_rows = 64, .parallel = 16, .kv_memory = 5 * kBlockBytes}, true);
  ExpectAnswersAsAlone({.context = 256, .batch_rows = 7, .parallel = 6, .kv_memory = 4 * kBlockBytes}, true);
}

TEST(SchedulerTest, AKnownPrefixIsNotComputedAgain) {
  Oracle oracle;
  Bench b({.context = 512, .batch_rows = 64, .parallel = 2});
  const GenerateOptions o = Options(30, 5);
  std::vector<int32_t> prompt = Prompt(200, 1);
  const auto run = [&](const std::vector<int32_t>& ids, const char* salt) {
    Outcome out;
    Request r = Ask(ids, o, out);
    r.cache_salt = salt;
    b.Submit(std::move(r));
    b.Drain();
    EXPECT_EQ(out.result.tokens, oracle.Generate(ids, o));
    return out.result;
  };
  EXPECT_EQ(run(prompt, "a").cached_tokens, 0);
  EXPECT_EQ(run(prompt, "a").cached_tokens, 192);
  EXPECT_EQ(run(prompt, "b").cached_tokens, 0);  // another user's
  EXPECT_EQ(run(prompt, "").cached_tokens, 0);
  prompt[130]++;
  const GenerateResult third = run(prompt, "a");
  EXPECT_EQ(third.cached_tokens, 128);
  // What was generated is known, too: the next turn of a chat.
  prompt.insert(prompt.end(), third.tokens.begin(), third.tokens.end());
  prompt.resize(260, 7);
  EXPECT_EQ(run(prompt, "a").cached_tokens, (200 + static_cast<int32_t>(third.tokens.size()) - 1) / 64 * 64);
  // At least one token is computed: its logits are needed.
  prompt.resize(128);
  EXPECT_EQ(run(prompt, "a").cached_tokens, 64);
}

TEST(SchedulerTest, EqualPrefixesInOneBatchShareBlocks) {
  Bench b({.context = 512, .batch_rows = 256, .parallel = 4});
  std::list<Outcome> outcomes;
  for (uint64_t i = 0; i < 4; i++) b.Submit(Ask(Prompt(129, 1), Options(40, i), outcomes.emplace_back()));
  int32_t most = 0;
  while (b.Step())
    if (b.scheduler->stats().generated_tokens == 0 && outcomes.back().ids.size() > 1)
      most = std::max(most, b.scheduler->stats().kv_blocks_used);
  EXPECT_EQ(most, 2 + 4);
}

TEST(SchedulerTest, CachedBlocksGiveWay) {
  Oracle oracle;
  Bench b({.context = 256, .batch_rows = 64, .parallel = 2, .kv_memory = 4 * kBlockBytes});
  for (uint64_t i = 0; i < 8; i++) {
    Outcome out;
    b.Submit(Ask(Prompt(150, i % 3), Options(20, i), out));
    b.Drain();
    EXPECT_EQ(out.result.tokens, oracle.Generate(Prompt(150, i % 3), Options(20, i)));
  }
  EXPECT_GT(b.scheduler->stats().kv_evictions, 0);
}

TEST(SchedulerTest, RefusesWhatCanNeverRun) {
  Bench b({.context = 200, .batch_rows = 16, .parallel = 2}, {.max_queue = 1});
  Outcome out;
  const auto code = [&](std::vector<int32_t> prompt, const GenerateOptions& o) {
    const auto r = b.scheduler->Submit(Ask(std::move(prompt), o, out));
    EXPECT_FALSE(r);
    return r ? ErrorCode::kIo : r.error().code();
  };
  EXPECT_EQ(code({}, Options(1, 0)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({1, 300}, Options(1, 0)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(Prompt(200, 0), Options(1, 0)), ErrorCode::kInvalidArgument);
  GenerateOptions o = Options(1, 0);
  o.logit_bias = {{300, 1.0f}};
  EXPECT_EQ(code({1}, o), ErrorCode::kInvalidArgument);
  o.logit_bias = {{1, NAN}};
  EXPECT_EQ(code({1}, o), ErrorCode::kInvalidArgument);
  o.logit_bias.clear();
  o.logprobs = kMaxLogprobs + 1;
  EXPECT_EQ(code({1}, o), ErrorCode::kInvalidArgument);
  std::list<Outcome> fill(3);
  for (Outcome& one : fill) b.Submit(Ask({1}, Options(1, 0), one));
  EXPECT_EQ(code({1}, Options(1, 0)), ErrorCode::kBusy);
  EXPECT_EQ(b.scheduler->stats().requests_refused, 1);
  EXPECT_EQ(b.scheduler->stats().waiting, 3);
  b.Drain();
  for (const Outcome& one : fill) EXPECT_EQ(one.finishes, 1);
  EXPECT_EQ(out.finishes, 0);
  b.Submit(Ask({1}, Options(1, 0), out));  // there is room again
  b.scheduler->Close();
  EXPECT_EQ(code({1}, Options(1, 0)), ErrorCode::kCancelled);
  b.Drain();
  EXPECT_EQ(out.finishes, 1);
}

TEST(SchedulerTest, KvMemoryIsALimitLikeTheContext) {
  Bench b({.batch_rows = 16, .parallel = 2, .kv_memory = 2 * kBlockBytes});
  EXPECT_EQ(b.model->plan().context, 128);
  Outcome out, too_long;
  EXPECT_FALSE(b.scheduler->Submit(Ask(Prompt(128, 0), Options(1, 0), too_long)));
  GenerateOptions o = Options(-1, 0);
  o.ignore_end = true;
  b.Submit(Ask(Prompt(100, 0), o, out));
  b.Drain();
  EXPECT_EQ(out.result.tokens.size(), 28u);
  EXPECT_EQ(out.result.reason, FinishReason::kLength);
  EXPECT_EQ(b.scheduler->stats().kv_blocks_total, 2);
  EXPECT_EQ(b.scheduler->stats().kv_block_bytes, kBlockBytes);
}

TEST(SchedulerTest, NoTokensAreAnAnswer) {
  Bench b({.batch_rows = 16});
  Outcome out;
  b.Submit(Ask(Prompt(40, 0), Options(0, 0), out));
  b.Drain();
  EXPECT_EQ(out.finishes, 1);
  EXPECT_EQ(out.result.reason, FinishReason::kLength);
  EXPECT_TRUE(out.result.tokens.empty());
}

TEST(SchedulerTest, CancellingFreesAtOnce) {
  Bench b({.context = 256, .batch_rows = 32, .parallel = 1});
  Outcome runs, waits;
  GenerateOptions endless = Options(-1, 0);
  endless.ignore_end = true;
  const RequestId a = b.Submit(Ask(Prompt(20, 0), endless, runs)), c = b.Submit(Ask(Prompt(20, 1), endless, waits));
  b.Step();
  b.Step();
  EXPECT_EQ(b.scheduler->stats().running, 1);
  EXPECT_EQ(b.scheduler->stats().waiting, 1);
  b.scheduler->Cancel(c);
  b.scheduler->Cancel(12345);  // nobody
  b.Step();
  EXPECT_EQ(waits.finishes, 1);
  EXPECT_EQ(waits.result.reason, FinishReason::kCancelled);
  EXPECT_EQ(b.scheduler->stats().waiting, 0);
  b.scheduler->Cancel(a);
  EXPECT_FALSE(b.Step());
  EXPECT_EQ(runs.result.reason, FinishReason::kCancelled);
  EXPECT_EQ(runs.ids.size(), runs.result.tokens.size());
  EXPECT_EQ(b.model->pool().used(), 0);
}

TEST(SchedulerTest, CallbacksMayCancelAndSubmit) {
  Bench b({.context = 256, .batch_rows = 32, .parallel = 2});
  Outcome first, second, third;
  Request r = Ask(Prompt(20, 0), Options(50, 0), first);
  r.on_token = [&](const Token& t) {
    first.ids.push_back(t.id);
    return first.ids.size() < 3;
  };
  r.on_finish = [&](const GenerateResult& result) {
    first.result = result;
    b.Submit(Ask(Prompt(5, 1), Options(2, 0), third));
  };
  b.Submit(std::move(r));
  RequestId id = 0;
  Request q = Ask(Prompt(20, 1), Options(50, 0), second);
  q.on_token = [&](const Token& t) {
    second.ids.push_back(t.id);
    if (second.ids.size() == 2) b.scheduler->Cancel(id);
    return true;
  };
  id = b.Submit(std::move(q));
  b.Drain();
  EXPECT_EQ(first.result.reason, FinishReason::kCancelled);
  EXPECT_EQ(first.result.tokens.size(), 3u);
  EXPECT_EQ(second.result.reason, FinishReason::kCancelled);
  EXPECT_EQ(second.result.tokens.size(), 2u);
  EXPECT_EQ(third.finishes, 1);
}

TEST(SchedulerTest, DeadlinesEndWhatRunsAndWhatWaits) {
  Bench b({.context = 256, .batch_rows = 32, .parallel = 1});
  Outcome runs, waits;
  GenerateOptions endless = Options(-1, 0);
  endless.ignore_end = true;
  Request a = Ask(Prompt(20, 0), endless, runs);
  a.deadline = Clock::now() + std::chrono::hours(1);
  Request c = Ask(Prompt(20, 1), endless, waits);
  c.deadline = Clock::now() - std::chrono::seconds(1);
  const RequestId id = b.Submit(std::move(a));
  b.Submit(std::move(c));
  b.Step();
  EXPECT_EQ(waits.result.reason, FinishReason::kDeadline);
  EXPECT_EQ(runs.finishes, 0);
  b.scheduler->Cancel(id);
  b.Drain();
  Outcome soon;
  Request d = Ask(Prompt(20, 0), endless, soon);
  const auto when = Clock::now() + std::chrono::milliseconds(20);
  d.deadline = when;
  d.on_token = [when](const Token&) {  // with one token the time is over
    while (Clock::now() < when) continue;
    return true;
  };
  b.Submit(std::move(d));
  b.Drain();
  EXPECT_EQ(soon.result.reason, FinishReason::kDeadline);
  EXPECT_LE(soon.result.tokens.size(), 1u);
}

}  // namespace
}  // namespace bonsai::engine
