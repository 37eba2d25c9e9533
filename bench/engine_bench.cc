// Many users: eight generations at a time against one, and how soon an answer begins when its prompt is known.
// BONSAI_BENCH_MODEL names a model file; without it, the built-in model, which is so small that the batches' own work
// shows more than the weights. BONSAI_BENCH_THREADS: threads (default: all CPUs).
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "base/rng.h"
#include "engine/builtin.h"
#include "engine/scheduler.h"

namespace bonsai::engine {
namespace {

constexpr int32_t kMostParallel = 16, kContext = 2304;

/// One model for all benchmarks, or null after saying why.
LoadedModel* Model() {
  static const std::unique_ptr<LoadedModel> model = []() -> std::unique_ptr<LoadedModel> {
    const char* path = std::getenv("BONSAI_BENCH_MODEL");
    const char* threads = std::getenv("BONSAI_BENCH_THREADS");
    const auto file = path != nullptr ? formats::OpenModelPath(path) : formats::OpenModel(BuiltinModel());
    if (!file) return fmt::print(stderr, "{}\n", file.error().message()), nullptr;
    auto m = LoadedModel::Load(
        **file,
        {.threads = threads != nullptr ? std::atoi(threads) : 0, .context = kContext, .parallel = kMostParallel});
    if (!m) return fmt::print(stderr, "{}\n", m.error().message()), nullptr;
    return std::move(*m);
  }();
  return model.get();
}

std::vector<int32_t> RandomPrompt(size_t length, uint64_t seed) {
  Rng rng(seed);
  std::vector<int32_t> ids(length);
  for (int32_t& id : ids) id = static_cast<int32_t>(rng.Next() % static_cast<uint64_t>(Model()->config().vocab));
  return ids;
}

/// A request for exactly `tokens` new tokens.
Request Ask(std::vector<int32_t> prompt, int32_t tokens, uint64_t seed) {
  Request r{.prompt = std::move(prompt)};
  r.options.max_tokens = tokens;
  r.options.ignore_end = true;
  r.options.loop_guard = false;
  r.options.sampling.seed = seed;
  return r;
}

/// `range(0)` generations of 64 tokens together. Items: tokens.
void BM_Generate(benchmark::State& state) {
  if (Model() == nullptr) return state.SkipWithError("no model");
  const auto users = static_cast<int32_t>(state.range(0));
  constexpr int32_t kTokens = 64;
  Scheduler scheduler(*Model(), {.slots = users});
  uint64_t seed = 0;
  for (auto _ : state) {
    for (int32_t i = 0; i < users; i++) {
      seed++;
      if (!scheduler.Submit(Ask(RandomPrompt(8, seed), kTokens, seed))) return state.SkipWithError("refused");
    }
    while (scheduler.Step()) continue;
  }
  state.SetItemsProcessed(state.iterations() * users * kTokens);
}
BENCHMARK(BM_Generate)
    ->Arg(1)
    ->Arg(2)
    ->Arg(4)
    ->Arg(8)
    ->Arg(kMostParallel)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

/// Until the first token of a prompt of 2,000 tokens: new ones (0), or the same again and again (1).
void BM_FirstToken(benchmark::State& state) {
  if (Model() == nullptr) return state.SkipWithError("no model");
  const bool known = state.range(0) != 0;
  Scheduler scheduler(*Model(), {});
  uint64_t seed = 1000;
  const auto once = [&] {
    if (!scheduler.Submit(Ask(RandomPrompt(2000, known ? 1 : ++seed), 1, 0))) state.SkipWithError("refused");
    while (scheduler.Step()) continue;
  };
  if (known) once();
  for (auto _ : state) once();
  state.counters["cached"] = static_cast<double>(scheduler.stats().cached_tokens);
}
BENCHMARK(BM_FirstToken)->ArgName("known")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond)->UseRealTime();

/// 128 greedy tokens of a story, with (1) and without (0) guesses.
void BM_Speculate(benchmark::State& state) {
  if (Model() == nullptr) return state.SkipWithError("no model");
  Scheduler scheduler(*Model(), {});
  for (auto _ : state) {
    Request r = Ask(Model()->tokenizer().Encode("Once upon a time, there was a little"), 128, 0);
    r.options.sampling.temperature = 0;
    r.options.speculate = state.range(0) != 0;
    if (!scheduler.Submit(std::move(r))) return state.SkipWithError("refused");
    while (scheduler.Step()) continue;
  }
  const SchedulerStats s = scheduler.stats();
  state.counters["drafted"] =
      benchmark::Counter(static_cast<double>(s.drafted_tokens), benchmark::Counter::kAvgIterations);
  state.counters["accepted"] =
      benchmark::Counter(static_cast<double>(s.accepted_tokens), benchmark::Counter::kAvgIterations);
}
BENCHMARK(BM_Speculate)->ArgName("guess")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace bonsai::engine
