// Random work under random conditions, the same each time: whatever happens to others, answers stay, and nothing leaks.
#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <map>
#include <random>
#include <tuple>

#include "engine/engine_testing.h"
#include "engine/scheduler.h"

namespace bonsai::engine {
namespace {

using testing::Ask;
using testing::Bench;
using testing::kBlockBytes;
using testing::Options;
using testing::Oracle;
using testing::Outcome;
using testing::Prompt;

struct Job {
  std::vector<int32_t> prompt;
  GenerateOptions options;
  RequestId id = 0;
  Outcome outcome;
};

enum class Draft { kNgram, kSameModel, kSameShortOfMemory, kStranger };

/// The draft model for a batch of so many sequences; null for guesses from earlier text.
std::unique_ptr<LoadedModel> DraftModel(Draft draft, EngineOptions o) {
  if (draft == Draft::kNgram) return nullptr;
  if (draft == Draft::kSameShortOfMemory) o.kv_memory = 3 * kBlockBytes;
  if (draft == Draft::kStranger) o.kv_memory = 0;
  return testing::LoadModel(o, draft == Draft::kStranger ? testing::StrangerBytes() : testing::ModelBytes());
}

class RandomWork : public ::testing::TestWithParam<std::tuple<Draft, uint64_t>> {
 protected:
  uint64_t Draw(uint64_t n) { return rng_() % n; }

  void Submit(Bench& b, Job& job) {
    // Prompts begin alike for a random number of tokens; answers are known for each (prompt, seed).
    const size_t length = 1 + Draw(180);
    job.prompt = Prompt(length, Draw(2));
    if (Draw(2) == 0) job.prompt.back() = static_cast<int32_t>(Draw(4));
    job.options = Options(static_cast<int32_t>(Draw(70)), Draw(3), Draw(3) == 0 ? 0.0f : 0.3f);
    job.options.speculate = Draw(2) == 0;
    Request r = Ask(job.prompt, job.options, job.outcome);
    r.cache_salt = std::string(Draw(2), 's');
    if (Draw(20) == 0) r.deadline = Clock::now();
    job.id = b.Submit(std::move(r));
  }

  std::mt19937_64 rng_{std::get<1>(GetParam())};
};

TEST_P(RandomWork, AnswersStayAndNothingLeaks) {
  const Draft draft = std::get<0>(GetParam());
  const auto slots = static_cast<int32_t>(1 + Draw(12)), rows = static_cast<int32_t>(1 + Draw(48));
  const EngineOptions e{
      .context = 256, .batch_rows = rows, .parallel = slots, .kv_memory = (4 + Draw(8)) * kBlockBytes};
  EngineOptions d = e;
  d.context = 0;
  d.batch_rows = std::max(rows, 20);  // else it never has read enough
  Bench b(e, {.max_queue = 1000, .mixed_prompt_rows = static_cast<int32_t>(1 + Draw(32))}, DraftModel(draft, d));
  std::list<Job> jobs;
  for (int step = 0; step < 400; step++) {
    if (jobs.size() < 50 && Draw(4) == 0)
      for (uint64_t i = 0, n = 1 + Draw(4); i < n; i++) Submit(b, jobs.emplace_back());
    if (!jobs.empty() && Draw(16) == 0)
      b.scheduler->Cancel(std::next(jobs.begin(), static_cast<ptrdiff_t>(Draw(jobs.size())))->id);
    b.Step();
    if (HasFailure()) return;
  }
  b.Drain();
  Oracle oracle;
  int whole = 0;
  for (const Job& job : jobs) {
    ASSERT_EQ(job.outcome.finishes, 1);
    const GenerateResult& r = job.outcome.result;
    const std::vector<int32_t> want = oracle.Generate(job.prompt, job.options);
    ASSERT_LE(r.tokens.size(), want.size());
    ASSERT_TRUE(std::equal(r.tokens.begin(), r.tokens.end(), want.begin())) << "request " << job.id;
    const bool cut = r.reason == FinishReason::kCancelled || r.reason == FinishReason::kDeadline;
    if (!cut) {
      EXPECT_EQ(r.tokens.size(), want.size()) << FinishReasonName(r.reason);
      whole++;
    }
  }
  EXPECT_GT(whole, 10);
  const SchedulerStats stats = b.scheduler->stats();
  EXPECT_EQ(stats.requests_finished, static_cast<int64_t>(jobs.size()));
  // It was a test: memory was short, prefixes were known, guesses were right.
  EXPECT_GT(stats.kv_evictions, 0);
  EXPECT_GT(stats.cached_tokens, 0);
  EXPECT_GT(stats.drafted_tokens, 0);
  if (draft != Draft::kStranger) {
    EXPECT_GT(stats.accepted_tokens, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Ngram, RandomWork,
                         ::testing::Combine(::testing::Values(Draft::kNgram), ::testing::Range<uint64_t>(0, 12)));
INSTANTIATE_TEST_SUITE_P(Model, RandomWork,
                         ::testing::Combine(::testing::Values(Draft::kSameModel, Draft::kSameShortOfMemory,
                                                              Draft::kStranger),
                                            ::testing::Range<uint64_t>(0, 6)));

}  // namespace
}  // namespace bonsai::engine
