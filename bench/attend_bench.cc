// Attention of one token over one layer's KV cache, by instruction set, cache type and depth: 32 query heads over 8 KV
// heads of 128, as in an 8B model. One thread; bytes are those of the cache that is read.
#include <benchmark/benchmark.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/rng.h"
#include "kernels/cpu/select.h"
#include "kernels/ref/ref.h"

namespace bonsai::kernels {
namespace {

constexpr int64_t kHeads = 32, kKvHeads = 8, kWidth = 128;

void Attend(benchmark::State& state, const KernelTable& table, KvType type) {
  const int64_t blocks = state.range(0) / kKvBlock;
  const size_t head_bytes = KvBytes(type, kKvBlock * kWidth);
  std::vector<std::byte> cache(static_cast<size_t>(blocks * kKvHeads * 2) * head_bytes);
  Rng rng(1);
  std::vector<float> values(kKvBlock * kWidth), q(kHeads * kWidth), out(q.size()), scratch(kKvBlock * kWidth * 2);
  for (float& v : values) v = static_cast<float>(rng.Uniform() * 2 - 1);
  for (float& v : q) v = static_cast<float>(rng.Uniform() * 2 - 1);
  for (size_t at = 0; at < cache.size(); at += head_bytes) {
    ref::KvFromFloat(type, values.data(), kKvBlock * kWidth, &cache[at]);
  }
  const TokenKernels& kernels = TokenKernelsFor(table);
  constexpr int64_t kGroup = kHeads / kKvHeads;
  for (auto _ : state) {
    for (int64_t head = 0; head < kKvHeads; ++head) {
      AttendQuery queries[kGroup];
      for (int64_t i = 0; i < kGroup; ++i) {
        const auto at = static_cast<size_t>((head * kGroup + i) * kWidth);
        queries[i] = {&q[at], &out[at], -INFINITY, 0, kKvBlock};
      }
      for (int64_t b = 0; b < blocks; ++b) {
        const std::byte* k = &cache[static_cast<size_t>((b * kKvHeads + head) * 2) * head_bytes];
        kernels.attend({type, type, k, k + head_bytes, kWidth, kWidth, scratch.data()}, 0.1f, queries, kGroup);
      }
      benchmark::DoNotOptimize(out.data());
    }
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(cache.size()));
}

/// Registered at start-up for the tables that this CPU runs.
const bool kRegistered = [] {
  for (const KernelTable* table : AllKernelTables()) {
    if ((table->needs & ~DetectCpuBits()) != 0) continue;
    for (const KvType type : AllKvTypes()) {
      const std::string name = std::string("Attend/") + table->name + "/" + std::string(KvTypeName(type));
      benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { Attend(state, *table, type); })
          ->Arg(2048)
          ->Arg(8192);
    }
  }
  return true;
}();

}  // namespace
}  // namespace bonsai::kernels
