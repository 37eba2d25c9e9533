// The shipped model against an outside reference: a float64 forward pass of the same packed weights in other code
// (tests/data/tiny-q1.golden.json). Mainline llama.cpp decodes the same greedy tokens.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/engine.h"
#include "eval/perplexity.h"
#include "tests/support.h"

namespace bonsai {
namespace {

using kernels::ActType;
using kernels::KvType;

const nlohmann::json& Golden() {
  static const nlohmann::json golden =
      nlohmann::json::parse(test::ReadFile(test::SourcePath("tests/data/tiny-q1.golden.json")));
  return golden;
}

std::unique_ptr<engine::Engine> Load(ActType act, KvType kv, int threads = 2, int32_t batch_rows = 512) {
  auto source = OpenFile(test::SourcePath("models/tiny-q1.gguf"));
  EXPECT_TRUE(source);
  engine::EngineOptions o;
  o.threads = threads;
  o.act = act;
  o.k_type = o.v_type = kv;
  o.context = 1024;
  o.batch_rows = batch_rows;
  auto e = engine::Engine::Load(std::move(*source), o);
  EXPECT_TRUE(e) << e.error().message();
  return std::move(*e);
}

/// Largest difference of the logits after each golden prompt.
double LargestLogitDifference(engine::Engine& e) {
  double worst = 0;
  for (const auto& p : Golden()["prompts"]) {
    const std::vector<int32_t> ids = p["ids"];
    const std::vector<double> want = p["last_logits"];
    std::vector<float> got;
    EXPECT_TRUE(e.Evaluate(ids, [&](int32_t, std::span<const float> logits) {
      got.assign(logits.begin(), logits.end());
      return true;
    }));
    EXPECT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); i++) worst = std::max(worst, std::fabs(got[i] - want[i]));
  }
  return worst;
}

TEST(GoldenTest, LogitsWithFloatCache) { EXPECT_LE(LargestLogitDifference(*Load(ActType::kF32, KvType::kF32)), 1e-3); }

TEST(GoldenTest, LogitsWithHalfCache) { EXPECT_LE(LargestLogitDifference(*Load(ActType::kF32, KvType::kF16)), 2e-2); }

TEST(GoldenTest, PromptsTokenise) {
  const auto e = Load(ActType::kF32, KvType::kF16);
  for (const auto& p : Golden()["prompts"]) {
    const std::vector<int32_t> ids = p["ids"];
    EXPECT_EQ(e->tokenizer().Encode(p["prompt"].get<std::string>()), ids);
    EXPECT_EQ(e->tokenizer().Decode(p["greedy"].get<std::vector<int32_t>>()), p["greedy_text"].get<std::string>());
  }
}

TEST(GoldenTest, GreedyContinuations) {
  for (const KvType kv : {KvType::kF32, KvType::kF16}) {
    const auto e = Load(ActType::kF32, kv);
    ASSERT_EQ(Golden()["prompts"].size(), 5u);
    for (const auto& p : Golden()["prompts"]) {
      const std::vector<int32_t> ids = p["ids"], want = p["greedy"];
      std::string text;
      engine::GenerateOptions o;
      o.sampling.temperature = 0;
      o.max_tokens = static_cast<int32_t>(want.size());
      o.loop_guard = false;
      const auto r = e->Generate(ids, o, [&](const engine::Token& t) {
        text += t.text;
        return true;
      });
      ASSERT_TRUE(r) << r.error().message();
      EXPECT_EQ(r->tokens, want);
      EXPECT_EQ(text, p["greedy_text"].get<std::string>());
    }
  }
}

// The listed log-probabilities are rounded to 1e-6; a log-softmax moves by at most twice the largest logit difference.
TEST(GoldenTest, LogProbabilitiesOfTheFirstWindow) {
  const auto e = Load(ActType::kF32, KvType::kF32);
  const std::vector<int32_t> ids = Golden()["perplexity"]["first_window_ids"];
  const std::vector<double> want = Golden()["perplexity"]["first_window_logprobs"];
  ASSERT_EQ(ids.size(), want.size() + 1);
  double worst = 0;
  ASSERT_TRUE(e->Evaluate(std::span(ids).first(want.size()), [&](int32_t i, std::span<const float> logits) {
    const auto at = static_cast<size_t>(i);
    worst = std::max(worst, std::fabs(-eval::NegativeLogLikelihood(logits, ids[at + 1]) - want[at]));
    return true;
  }));
  EXPECT_LE(worst, 2e-3 + 1e-6);
}

// int8 activations are what people run: their cost in quality on the same window, as a bound and not a hope.
TEST(GoldenTest, Int8ActivationsCostLittle) {
  const auto e = Load(ActType::kI8, KvType::kF16);
  const std::vector<int32_t> ids = Golden()["perplexity"]["first_window_ids"];
  const std::vector<double> want = Golden()["perplexity"]["first_window_logprobs"];
  const auto p = eval::MeasurePerplexity(*e, ids, 256);
  ASSERT_TRUE(p);
  double nll = 0;
  for (const double v : want) nll -= v;
  EXPECT_EQ(p->tokens, 256);
  EXPECT_LE(std::fabs(p->ppl() / std::exp(nll / 256) - 1), 0.01);  // 256 tokens; the whole text allows 0.5%
}

TEST(GoldenTest, BatchesAndThreadsGiveTheSameTokens) {
  const std::vector<int32_t> ids = Golden()["prompts"][0]["ids"];
  engine::GenerateOptions o;
  o.sampling.seed = 7;
  o.max_tokens = 24;
  std::vector<int32_t> want;
  for (const int threads : {1, 2, 3})
    for (const int32_t rows : {512, 1, 3}) {
      const auto r = Load(ActType::kI8, KvType::kF16, threads, rows)->Generate(ids, o, {});
      ASSERT_TRUE(r);
      if (want.empty()) want = r->tokens;
      EXPECT_EQ(r->tokens, want) << threads << " threads, " << rows << " rows";
    }
}

}  // namespace
}  // namespace bonsai
