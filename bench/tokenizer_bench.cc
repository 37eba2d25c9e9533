// Encode and load speed with the real Qwen vocabulary and English text from BONSAI_TEST_DATA; without it, with a small
// vocabulary and made-up English. One core. Target: 10 MB/s of English; load under 300 ms.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "base/rng.h"
#include "tests/support.h"
#include "text/nfc.h"
#include "text/test_qwen_vocabulary.h"
#include "text/test_vocabulary.h"
#include "text/tokenizer.h"

namespace bonsai::text {
namespace {

const formats::Metadata& Vocabulary() {
  static const formats::Metadata metadata = [] {
    const std::string folder = test::DataPath("tokenizer/qwen");
    return folder.empty() ? SmallVocabulary().Build() : QwenMetadata(folder);
  }();
  return metadata;
}

const Tokenizer& SharedTokenizer() {
  static const std::unique_ptr<Tokenizer> tokenizer = std::move(*Tokenizer::FromMetadata(Vocabulary()));
  return *tokenizer;
}

/// A megabyte of words drawn by rank, the frequent ones short, with some punctuation.
std::string MadeUpEnglish() {
  Rng rng(1);
  std::string text;
  while (text.size() < 1000000) {
    const auto rank = static_cast<uint64_t>(1.0 / (rng.Uniform() + 1e-4));  // about Zipf's law over 10,000 words
    Rng letters(rank);
    for (uint64_t n = 2 + rank % 7; n > 0; n--) text += "etaoinshrdlucmfwypvbgk"[letters.Next() % 22];
    text += rank % 13 == 0 ? ". " : rank % 7 == 0 ? ", " : " ";
  }
  return text;
}

void EncodeFile(benchmark::State& state, const std::string& name) {
  const std::string path = test::DataPath(name);
  const std::string text = path.empty() ? MadeUpEnglish() : test::ReadFile(path);
  const Tokenizer& tokenizer = SharedTokenizer();
  size_t tokens = 0;
  for (auto _ : state) {
    const auto ids = tokenizer.Encode(text);
    tokens = ids.size();
    benchmark::DoNotOptimize(ids.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * static_cast<int64_t>(text.size()));
  state.counters["bytes/token"] = static_cast<double>(text.size()) / static_cast<double>(tokens);
}
BENCHMARK_CAPTURE(EncodeFile, wiki, "corpus/wiki.test.raw")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(EncodeFile, stories, "corpus/children.valid.txt")->Unit(benchmark::kMillisecond);

/// Many times one string: the parts that English does not reach.
void EncodeRepeated(benchmark::State& state, const std::string& unit) {
  std::string text;
  while (text.size() < 1000000) text += unit;
  const Tokenizer& tokenizer = SharedTokenizer();
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer.Encode(text).data());
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * static_cast<int64_t>(text.size()));
}
BENCHMARK_CAPTURE(EncodeRepeated, russian, "Быстрая лиса прыгает через ленивую собаку. ")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(EncodeRepeated, chinese, "敏捷的棕色狐狸跳过了懒狗，然后回家睡觉。")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(EncodeRepeated, decomposed, "Cafe\xcc\x81 au lait, s\xcc\xa3\xcc\x87. ")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(EncodeRepeated, one_letter, "a")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(EncodeRepeated, code, "  for (int i = 0; i < n; i++) sum += x[i] * 0x1f;\n")
    ->Unit(benchmark::kMillisecond);

void Load(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::FromMetadata(Vocabulary()).ok());
}
BENCHMARK(Load)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace bonsai::text
