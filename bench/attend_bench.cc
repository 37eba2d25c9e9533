// Attention of one token over the KV cache, by instruction set, cache type and depth: 16 query heads over 8 KV heads of
// 128, as in a 1.7B model, 32 as in an 8B one, or 128 as in 8 rows of a prompt. One thread, one layer after the other:
// at depth 8,192 the eight of them are more than a last-level cache holds. Bytes are those of the cache that is read.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/rng.h"
#include "kernels/cpu/select.h"
#include "kernels/ref/ref.h"

namespace bonsai::kernels {
namespace {

constexpr int64_t kKvHeads = 8, kWidth = 128, kMostHeads = 128;

void Attend(benchmark::State& state, const KernelTable& table, KvType type) {
  const int64_t blocks = state.range(0) / kKvBlock, heads = state.range(1), group = heads / kKvHeads;
  const int64_t layers = state.range(0) < 8192 ? 1 : 8;
  const auto head_bytes = static_cast<int64_t>(KvBytes(type, kKvBlock * kWidth)),
             layer_bytes = 2 * kKvHeads * head_bytes;
  Buffer cache = *Buffer::Allocate(static_cast<size_t>(blocks * layers * layer_bytes));
  Rng rng(1);
  std::vector<float> values(kKvBlock * kWidth), q(static_cast<size_t>(heads * kWidth)), out(q.size());
  for (float& v : values) v = static_cast<float>(rng.Uniform() * 2 - 1);
  for (float& v : q) v = static_cast<float>(rng.Uniform() * 2 - 1);
  ref::StoreKeys(type, values.data(), kWidth, kKvBlock, kWidth, 0, cache.data());
  ref::StoreValues(type, values.data(), kWidth, kKvBlock, kWidth, 0, cache.data() + head_bytes);
  for (int64_t i = 1; i < blocks * layers * kKvHeads; ++i) {
    std::copy_n(cache.data(), 2 * head_bytes, cache.data() + i * 2 * head_bytes);
  }
  std::vector<int8_t> codes(q.size(), 3);
  const std::vector<float> scales(q.size() / kKvGroup, 0.01f);
  const std::vector<int32_t> sums(scales.size(), 3 * kKvGroup);
  const TokenKernels& kernels = TokenKernelsFor(table);
  int64_t layer = 0;
  for (auto _ : state) {
    layer = (layer + 1) % layers;
    for (int64_t head = 0; head < kKvHeads; ++head) {
      AttendQuery queries[kMostHeads];
      for (int64_t i = 0; i < group; ++i) {
        const auto at = static_cast<size_t>((head * group + i) * kWidth);
        queries[i] = {&q[at], &codes[at], &scales[at / kKvGroup], &sums[at / kKvGroup], &out[at], -INFINITY,
                      0,      kKvBlock};
      }
      for (int64_t b = 0; b < blocks; ++b) {
        const std::byte* k = cache.data() + (b * layers + layer) * layer_bytes + head * 2 * head_bytes;
        const std::byte* next = b + 1 < blocks ? k + layers * layer_bytes : nullptr;
        kernels.attend({type, type, k, k + head_bytes, kWidth, kWidth, next}, 0.1f, queries,
                       static_cast<int32_t>(group));
      }
      benchmark::DoNotOptimize(out.data());
    }
  }
  state.SetBytesProcessed(state.iterations() * blocks * layer_bytes);
}

/// Registered at start-up for the tables that this CPU runs.
const bool kRegistered = [] {
  for (const KernelTable* table : AllKernelTables()) {
    if ((table->needs & ~DetectCpuBits()) != 0) continue;
    for (const KvType type : AllKvTypes()) {
      const std::string name = std::string("Attend/") + table->name + "/" + std::string(KvTypeName(type));
      benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { Attend(state, *table, type); })
          ->ArgNames({"depth", "heads"})
          ->ArgsProduct({{256, 8192}, {16, 32, 128}});
    }
  }
  return true;
}();

}  // namespace
}  // namespace bonsai::kernels
