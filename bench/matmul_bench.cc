// Matrix products through the device: a 4,096 × 4,096 matrix (2.4 MB as Q1_0), one thread, so that the counter is
// weights multiplied per second and core. BONSAI_ISA=portable compares instruction sets.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "base/rng.h"
#include "kernels/ops.h"
#include "quant/types.h"

namespace bonsai::kernels {
namespace {

constexpr int64_t kSize = 4096;

/// Arguments: GGUF type id, 1 for int8 activations, tokens.
void BM_MatMul(benchmark::State& state) {
  const quant::Type* type = quant::FindByGgmlId(static_cast<uint32_t>(state.range(0)));
  const int64_t tokens = state.range(2);
  auto device = NewCpuDevice({.threads = 1, .act = state.range(1) != 0 ? ActType::kI8 : ActType::kF32});
  if (!device) return state.SkipWithError(device.error().message().c_str());
  state.SetLabel((*device)->name() + " " + std::string(type->name));

  Rng rng(1);
  std::vector<float> values(kSize);
  const auto fill = [&] {
    for (float& v : values) v = static_cast<float>(rng.Uniform() - 0.5);
  };
  auto w = (*device)->LoadMatrix({type, kSize, kSize}, [&](int64_t, int64_t rows, std::span<std::byte> out) -> Status {
    const size_t row_bytes = out.size() / static_cast<size_t>(rows);
    for (size_t at = 0; at < out.size(); at += row_bytes) fill(), type->encode(values.data(), &out[at], kSize);
    return {};
  });
  fill();
  auto gain = (*device)->LoadVector(values);
  auto x = (*device)->NewTensor(tokens, kSize), y = (*device)->NewTensor(tokens, kSize);
  const Matrix* consumer = w->get();
  auto act = (*device)->NewAct(tokens, kSize, {&consumer, 1});
  const std::vector<int32_t> ids(static_cast<size_t>(tokens), 7);
  (*device)->Embed(**w, ids, **x);
  (*device)->RmsNorm(**x, **gain, 1e-6f, tokens, **act);

  const Product product = {w->get(), y->get()};
  for (auto _ : state) (*device)->MatMul({&product, 1}, **act, tokens);
  state.counters["weights/s"] =
      benchmark::Counter(static_cast<double>(state.iterations() * tokens * kSize * kSize), benchmark::Counter::kIsRate);
}
BENCHMARK(BM_MatMul)
    ->ArgNames({"type", "i8", "tokens"})
    ->ArgsProduct({{41}, {1}, {1, 2, 3, 4, 6, 8, 16, 32, 64, 256}})
    ->Args({8, 0, 1})
    ->Args({8, 1, 1})
    ->Args({1, 0, 1})
    ->Args({1, 0, 16})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace bonsai::kernels
