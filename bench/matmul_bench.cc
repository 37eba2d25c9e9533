// Matrix products through the device, in the shapes of the Qwen3 models and with all CPUs, as a model runs them. Copies
// of small matrices are multiplied in turn, so that one token's weights come from memory. BONSAI_ISA=portable compares
// instruction sets; --benchmark_filter='type:1/.*tokens:1/' selects F16 (its id in GGUF) with one token.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/machine.h"
#include "base/rng.h"
#include "kernels/ops.h"
#include "quant/types.h"

namespace bonsai::kernels {
namespace {

struct Shape {
  const char* name;
  int64_t rows, cols;
};
constexpr Shape kShapes[] = {
    {"1.7B/q+o", 2048, 2048},    {"1.7B/k+v", 1024, 2048},    {"1.7B/gate+up", 6144, 2048}, {"1.7B/down", 2048, 6144},
    {"1.7B/head", 151936, 2048}, {"4B/q", 4096, 2560},        {"4B/k+v", 1024, 2560},       {"4B/o", 2560, 4096},
    {"4B/gate+up", 9728, 2560},  {"4B/down", 2560, 9728},     {"4B/head", 151936, 2560},    {"8B/q+o", 4096, 4096},
    {"8B/k+v", 1024, 4096},      {"8B/gate+up", 12288, 4096}, {"8B/down", 4096, 12288},     {"8B/head", 151936, 4096},
};
constexpr uint64_t kColdBytes = uint64_t{128} << 20;  ///< Beyond the caches of a CPU's share of a server.

/// Matrices of one shape and format, kept for the benchmarks of the next token counts.
struct Weights {
  const quant::Type* type = nullptr;
  Shape shape = {};
  std::unique_ptr<Device> device;
  std::vector<std::unique_ptr<Matrix>> copies;
};

/// Random weights: 256 rows, over and over.
Status Load(const quant::Type& type, const Shape& shape, Weights& w) {
  w.copies.clear();
  BONSAI_ASSIGN(w.device, NewCpuDevice({.threads = UsableCpus(), .act = ActType::kI8}));
  BONSAI_ASSIGN(const uint64_t row_bytes, type.RowBytes(shape.cols));
  std::vector<std::byte> rows(256 * row_bytes);
  std::vector<float> values(static_cast<size_t>(shape.cols));
  Rng rng(1);
  for (size_t at = 0; at < rows.size(); at += row_bytes) {
    for (float& v : values) v = static_cast<float>(rng.Uniform() - 0.5);
    type.encode(values.data(), &rows[at], shape.cols);
  }
  const uint64_t bytes = row_bytes * static_cast<uint64_t>(shape.rows);
  for (uint64_t total = 0; total < kColdBytes; total += bytes) {
    BONSAI_ASSIGN(auto matrix,
                  w.device->LoadMatrix({&type, shape.rows, shape.cols},
                                       [&](int64_t row, int64_t, std::span<std::byte> out) -> Status {
                                         for (size_t done = 0, at = static_cast<size_t>(row) % 256 * row_bytes;
                                              done < out.size(); at = 0) {
                                           const size_t count = std::min(out.size() - done, rows.size() - at);
                                           std::memcpy(&out[done], &rows[at], count);
                                           done += count;
                                         }
                                         return {};
                                       }));
    w.copies.push_back(std::move(matrix));
  }
  w.type = &type, w.shape = shape;
  return {};
}

void BM_MatMul(benchmark::State& state) {
  const quant::Type& type = *quant::FindByGgmlId(static_cast<uint32_t>(state.range(0)));
  const Shape& shape = *std::find_if(std::begin(kShapes), std::end(kShapes), [&](const Shape& s) {
    return s.rows == state.range(1) && s.cols == state.range(2);
  });
  const int64_t tokens = state.range(3);
  static Weights w;
  if (w.type != &type || w.shape.rows != shape.rows || w.shape.cols != shape.cols) {
    if (const Status status = Load(type, shape, w); !status)
      return state.SkipWithError(status.error().message().c_str());
  }
  state.SetLabel(fmt::format("{} {}, {}", type.name, shape.name, w.device->name()));
  Rng rng(2);
  std::vector<float> gains(static_cast<size_t>(shape.cols));
  for (float& v : gains) v = static_cast<float>(rng.Uniform() - 0.5);
  auto gain = w.device->LoadVector(gains);
  auto x = w.device->NewTensor(tokens, shape.cols), y = w.device->NewTensor(tokens, shape.rows);
  const Matrix* consumer = w.copies[0].get();
  auto act = w.device->NewAct(tokens, shape.cols, {&consumer, 1});
  std::vector<int32_t> ids(static_cast<size_t>(tokens));
  for (size_t t = 0; t < ids.size(); ++t) ids[t] = static_cast<int32_t>(t);
  w.device->Embed(*consumer, ids, **x);
  w.device->RmsNorm(**x, **gain, 1e-6f, tokens, **act);

  size_t next = 0;
  for (auto _ : state) {
    const Product product = {w.copies[next].get(), y->get()};
    w.device->MatMul({&product, 1}, **act, tokens);
    next = (next + 1) % w.copies.size();
  }
  const double weights = static_cast<double>(shape.rows) * static_cast<double>(shape.cols);
  const auto rate = [&](double amount) {
    return benchmark::Counter(static_cast<double>(state.iterations()) * amount, benchmark::Counter::kIsRate);
  };
  state.counters["MAC/s"] = rate(weights * static_cast<double>(tokens));
  state.counters["bytes/s"] = rate(weights * type.bits_per_weight() / 8);
}

void Arguments(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"type", "rows", "cols", "tokens"});
  for (const char* name : {"Q1_0", "Q2_0", "TQ2_0", "Q8_0", "F16", "BF16"}) {
    const int64_t id = quant::FindByName(name)->ggml_id;
    for (const Shape& shape : kShapes) {
      for (const int64_t tokens : {1, 4, 64}) benchmark->Args({id, shape.rows, shape.cols, tokens});
    }
  }
}
BENCHMARK(BM_MatMul)->Apply(Arguments)->MinTime(0.05)->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace bonsai::kernels
