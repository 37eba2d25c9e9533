// Masks, tries and compilation with the real Qwen vocabulary from BONSAI_TEST_DATA; without it, with all bytes and a
// few words, which says little. One core. Targets: median mask under 20 us, 99th percentile under 300 us on typical
// schemas; a schema of 100 properties compiled in under 50 ms.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/rng.h"
#include "grammar/gbnf.h"
#include "grammar/matcher.h"
#include "grammar/test_json_grammar.h"
#include "tests/support.h"
#include "text/test_qwen_vocabulary.h"
#include "text/test_vocabulary.h"
#include "text/tokenizer.h"

namespace bonsai::grammar {
namespace {

const text::Tokenizer& SharedTokenizer() {
  static const std::unique_ptr<text::Tokenizer> tokenizer = [] {
    const std::string folder = test::DataPath("tokenizer/qwen");
    auto made =
        text::Tokenizer::FromMetadata(folder.empty() ? text::SmallVocabulary().Build() : text::QwenMetadata(folder));
    return std::move(*made);
  }();
  return *tokenizer;
}

const std::shared_ptr<const Vocabulary>& SharedVocabulary() {
  static const auto vocabulary = Vocabulary::FromTokenizer(SharedTokenizer());
  return vocabulary;
}

std::shared_ptr<const Program> MustCompile(const std::string& gbnf) {
  const auto parsed = ParseGbnf(gbnf);
  BONSAI_CHECK(parsed.ok());
  auto program = Compile(parsed->grammar, parsed->root);
  BONSAI_CHECK(program.ok());
  return std::move(*program);
}

void BuildVocabulary(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(Vocabulary::FromTokenizer(SharedTokenizer()).get());
  state.counters["nodes"] = SharedVocabulary()->trie().size();
  state.counters["bytes"] = static_cast<double>(SharedVocabulary()->trie().MemoryBytes());
}
BENCHMARK(BuildVocabulary)->Unit(benchmark::kMillisecond);

void CompileSchema(benchmark::State& state) {
  const std::string gbnf = SchemaGbnf(static_cast<int>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(MustCompile(gbnf).get());
}
BENCHMARK(CompileSchema)->Arg(10)->Arg(100)->Arg(1000)->Unit(benchmark::kMillisecond);

/// Generations as a model makes them that keeps to the shortest values, but writes 40 bytes of text into each string:
/// every mask on the way, in a new matcher each time; the vocabulary has seen other grammars (cold: none).
void Masks(benchmark::State& state, const std::string& gbnf, bool cold) {
  const auto& warm = SharedVocabulary();
  std::vector<double> micros;
  std::vector<uint64_t> mask(warm->words());
  for (auto _ : state) {
    const auto vocabulary = cold ? Vocabulary::FromTokenizer(SharedTokenizer()) : warm;
    Matcher m(std::make_shared<const Constraint>(MustCompile(gbnf), vocabulary));
    Rng rng(1);
    uint32_t budget = m.TokensToEnd() + 300;
    for (; budget > 0; budget--) {
      const auto start = std::chrono::steady_clock::now();
      BONSAI_CHECK(m.Mask(mask, budget).ok());
      micros.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
      int32_t id = static_cast<int32_t>(rng.Next() % static_cast<uint64_t>(vocabulary->size()));
      const auto set = [&](int32_t i) {
        return (mask[static_cast<size_t>(i) / 64] >> (static_cast<uint32_t>(i) % 64) & 1) != 0 && !vocabulary->IsEnd(i);
      };
      int32_t tried = 0;
      while (tried++ < vocabulary->size() && !set(id)) id = (id + 1) % vocabulary->size();
      if (!set(id)) break;
      BONSAI_CHECK(m.AcceptToken(id).ok());
    }
  }
  std::sort(micros.begin(), micros.end());
  const auto at = [&](double q) { return micros[static_cast<size_t>(q * static_cast<double>(micros.size() - 1))]; };
  state.counters["median_us"] = at(0.5);
  state.counters["p99_us"] = at(0.99);
  state.counters["max_us"] = at(1);
  state.counters["masks"] = static_cast<double>(micros.size()) / static_cast<double>(state.iterations());
}
BENCHMARK_CAPTURE(Masks, json, kJsonGbnf, false)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Masks, json_cold, kJsonGbnf, true)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Masks, schema, SchemaGbnf(20), false)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Masks, schema_cold, SchemaGbnf(20), true)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace bonsai::grammar
