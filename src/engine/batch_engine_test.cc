#include "engine/batch_engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <list>

#include "engine/engine_testing.h"

namespace bonsai::engine {
namespace {

using testing::Options;
using testing::Oracle;
using testing::Prompt;

std::unique_ptr<BatchEngine> Start(EngineOptions o, SchedulerOptions s = {}, bool with_draft = false) {
  o.threads = 2;
  const auto file = test::OpenBytes(testing::ModelBytes()), draft = test::OpenBytes(testing::ModelBytes());
  EXPECT_TRUE(file && draft);
  if (with_draft) o.draft = draft->get();
  auto e = BatchEngine::Load(**file, o, s);
  EXPECT_TRUE(e) << e.error().message();
  return std::move(*e);
}

/// A request whose end is a future.
struct Pending {
  std::promise<GenerateResult> promise;
  Request Ask(std::vector<int32_t> prompt, const GenerateOptions& o) {
    return {.prompt = std::move(prompt), .options = o, .on_finish = [this](const GenerateResult& r) {
              promise.set_value(r);
            }};
  }
};

GenerateOptions Endless() {
  GenerateOptions o = Options(-1, 0);
  o.ignore_end = true;
  return o;
}

void ManyThreadsSubmitAndCancel(bool with_draft) {
  auto engine =
      Start({.context = 128, .batch_rows = 32, .parallel = 4, .kv_memory = 6 * testing::kBlockBytes}, {}, with_draft);
  std::list<Pending> pending(24);
  std::vector<std::thread> users;
  auto next = pending.begin();
  for (uint64_t user = 0; user < 4; user++) {
    std::vector<Pending*> mine;
    for (int i = 0; i < 6; i++) mine.push_back(&*next++);
    users.emplace_back([&engine, mine, user, with_draft] {
      for (uint64_t i = 0; i < 6; i++) {
        GenerateOptions o = i == 5 ? Endless() : Options(12, user);
        o.speculate = with_draft;
        const auto id = engine->Submit(mine[i]->Ask(Prompt(20 * i + 1, i), o));
        ASSERT_TRUE(id) << id.error().message();
        if (i == 5) engine->Cancel(*id);
        EXPECT_LE(engine->stats().kv_blocks_used, 6);
      }
    });
  }
  for (std::thread& t : users) t.join();
  Oracle oracle;
  next = pending.begin();
  for (uint64_t user = 0; user < 4; user++)
    for (uint64_t i = 0; i < 6; i++, ++next) {
      const GenerateResult r = next->promise.get_future().get();
      if (i == 5)
        EXPECT_TRUE(r.reason == FinishReason::kCancelled || r.reason == FinishReason::kLength);
      else
        EXPECT_EQ(r.tokens, oracle.Generate(Prompt(20 * i + 1, i), Options(12, user)));
    }
  engine->Shutdown(std::chrono::seconds(100));
  EXPECT_EQ(engine->stats().kv_blocks_used, 0);
  EXPECT_EQ(engine->stats().requests_finished, 24);
  EXPECT_EQ(engine->stats().drafted_tokens > 0, with_draft);
}

TEST(BatchEngineTest, ManyThreadsSubmitAndCancel) { ManyThreadsSubmitAndCancel(false); }

TEST(BatchEngineTest, ADraftModelGuessesForThem) { ManyThreadsSubmitAndCancel(true); }

TEST(BatchEngineTest, ShutdownLetsWhatRunsFinish) {
  auto engine = Start({.context = 128, .batch_rows = 32, .parallel = 2});
  std::list<Pending> pending(5);
  for (Pending& p : pending) ASSERT_TRUE(engine->Submit(p.Ask(Prompt(10, 0), Options(20, 1))));
  engine->Shutdown(std::chrono::hours(1));
  for (Pending& p : pending) EXPECT_NE(p.promise.get_future().get().reason, FinishReason::kCancelled);
  Pending late;
  const auto refused = engine->Submit(late.Ask({1}, Options(1, 0)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kCancelled);
  engine->Shutdown(std::chrono::hours(1));  // again: nothing
}

TEST(BatchEngineTest, ShutdownCutsOffAfterTheGrace) {
  auto engine = Start({.context = 1 << 20, .batch_rows = 32, .parallel = 2, .kv_memory = 16384 * testing::kBlockBytes});
  std::list<Pending> pending(3);
  for (Pending& p : pending) ASSERT_TRUE(engine->Submit(p.Ask(Prompt(10, 0), Endless())));
  engine->Shutdown(std::chrono::milliseconds(1));
  for (Pending& p : pending) EXPECT_EQ(p.promise.get_future().get().reason, FinishReason::kCancelled);
}

TEST(BatchEngineTest, TheDestructorCutsOff) {
  Pending p;
  {
    auto engine = Start({.context = 1 << 20, .batch_rows = 32, .kv_memory = 16384 * testing::kBlockBytes});
    ASSERT_TRUE(engine->Submit(p.Ask(Prompt(10, 0), Endless())));
  }
  EXPECT_EQ(p.promise.get_future().get().reason, FinishReason::kCancelled);
  Start({.batch_rows = 16});  // one that never had anything to do
}

TEST(BatchEngineTest, CallbacksMayUseTheEngine) {
  auto engine = Start({.context = 128, .batch_rows = 32, .parallel = 1});
  Pending second;
  std::atomic<RequestId> id = 0;
  Request r{.prompt = Prompt(10, 0), .options = Endless()};
  r.on_token = [&](const Token&) {
    if (id != 0) engine->Cancel(id);
    return true;
  };
  r.on_finish = [&](const GenerateResult&) { EXPECT_TRUE(engine->Submit(second.Ask(Prompt(10, 1), Options(3, 0)))); };
  const auto first = engine->Submit(std::move(r));
  ASSERT_TRUE(first);
  id = *first;
  EXPECT_EQ(second.promise.get_future().get().tokens.size(), 3u);
  engine->Shutdown(std::chrono::seconds(100));
}

}  // namespace
}  // namespace bonsai::engine
