// Attention of one token over one layer's KV cache, by instruction set, cache type and depth: 16 query heads over 8 KV
// heads of 128, as in a 1.7B model, 32 as in an 8B one, or 128 as in 8 rows of a prompt. One thread; bytes are those of
// the cache that is read.
#include <benchmark/benchmark.h>

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
  const size_t head_bytes = KvBytes(type, kKvBlock * kWidth);
  const Buffer cache = *Buffer::Allocate(static_cast<size_t>(blocks * kKvHeads * 2) * head_bytes);
  Rng rng(1);
  std::vector<float> values(kKvBlock * kWidth), q(static_cast<size_t>(heads * kWidth)), out(q.size());
  for (float& v : values) v = static_cast<float>(rng.Uniform() * 2 - 1);
  for (float& v : q) v = static_cast<float>(rng.Uniform() * 2 - 1);
  std::byte* bytes = const_cast<std::byte*>(cache.data());
  for (size_t at = 0; at < cache.size(); at += 2 * head_bytes) {
    ref::StoreKeys(type, values.data(), kWidth, kKvBlock, kWidth, 0, bytes + at);
    ref::StoreValues(type, values.data(), kWidth, kKvBlock, kWidth, 0, bytes + at + head_bytes);
  }
  std::vector<int8_t> codes(q.size(), 3);
  const std::vector<float> scales(q.size() / kKvGroup, 0.01f);
  const std::vector<int32_t> sums(scales.size(), 3 * kKvGroup);
  const TokenKernels& kernels = TokenKernelsFor(table);
  for (auto _ : state) {
    for (int64_t head = 0; head < kKvHeads; ++head) {
      AttendQuery queries[kMostHeads];
      for (int64_t i = 0; i < group; ++i) {
        const auto at = static_cast<size_t>((head * group + i) * kWidth);
        queries[i] = {&q[at], &codes[at], &scales[at / kKvGroup], &sums[at / kKvGroup], &out[at], -INFINITY,
                      0,      kKvBlock};
      }
      for (int64_t b = 0; b < blocks; ++b) {
        const std::byte* k = bytes + static_cast<size_t>((b * kKvHeads + head) * 2) * head_bytes;
        const std::byte* next = b + 1 < blocks ? k + 2 * kKvHeads * static_cast<int64_t>(head_bytes) : nullptr;
        kernels.attend({type, type, k, k + head_bytes, kWidth, kWidth, next}, 0.1f, queries,
                       static_cast<int32_t>(group));
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
          ->ArgNames({"depth", "heads"})
          ->ArgsProduct({{256, 8192}, {16, 32, 128}});
    }
  }
  return true;
}();

}  // namespace
}  // namespace bonsai::kernels
