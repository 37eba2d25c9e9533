// Sample() over a vocabulary of Qwen3's size, with logits shaped like a language model's: normal, standard deviation 3.
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "base/rng.h"
#include "sampling/sampler.h"

namespace bonsai::sampling {
namespace {

std::vector<float> Logits() {
  Rng rng(1);
  std::vector<float> logits(151936);
  for (float& x : logits)
    x = static_cast<float>(3 * std::sqrt(-2 * std::log(1 - rng.Uniform())) * std::cos(6.283185307 * rng.Uniform()));
  return logits;
}

void Run(benchmark::State& state, const Params& params) {
  const std::vector<float> logits = Logits();
  Sampler sampler(params, static_cast<int32_t>(logits.size()));
  for (int32_t i = 0; i < 64; i++) sampler.Accept(i);
  for (auto _ : state) benchmark::DoNotOptimize(sampler.Sample(logits));
}

void BM_Greedy(benchmark::State& state) {
  Params p;
  p.temperature = 0;
  Run(state, p);
}
BENCHMARK(BM_Greedy);

void BM_Defaults(benchmark::State& state) { Run(state, Params{}); }
BENCHMARK(BM_Defaults);

void BM_Penalties(benchmark::State& state) {
  Params p;
  p.repeat_penalty = 1.1f;
  Run(state, p);
}
BENCHMARK(BM_Penalties);

void BM_TopPOnly(benchmark::State& state) {
  Params p;
  p.top_k = 0, p.min_p = 0;
  Run(state, p);
}
BENCHMARK(BM_TopPOnly);

void BM_Everything(benchmark::State& state) {
  Params p;
  p.top_k = 0, p.min_p = 0, p.top_p = 1;
  Run(state, p);
}
BENCHMARK(BM_Everything);

}  // namespace
}  // namespace bonsai::sampling
