// The golden perplexity over 7,936 predictions; the text is third-party data.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/engine.h"
#include "eval/perplexity.h"
#include "tests/support.h"

namespace bonsai {
namespace {

eval::Perplexity Measure(kernels::ActType act, const std::string& text) {
  auto source = OpenFile(test::SourcePath("models/tiny-q1.gguf"));
  EXPECT_TRUE(source);
  engine::EngineOptions o;
  o.act = act;
  o.context = 256;
  const auto e = engine::Engine::Load(std::move(*source), o);
  EXPECT_TRUE(e) << e.error().message();
  std::vector<int32_t> ids = (*e)->tokenizer().Encode(text);
  EXPECT_GE(ids.size(), 8192u);
  ids.resize(8192);
  const auto p = eval::MeasurePerplexity(**e, ids, 256);
  EXPECT_TRUE(p) << p.error().message();
  return *p;
}

TEST(GoldenDataTest, Perplexity) {
  const std::string path = test::DataPath("corpus/children.valid.txt");
  if (path.empty()) GTEST_SKIP() << "needs BONSAI_TEST_DATA with corpus/children.valid.txt";
  std::string text = test::ReadFile(path);
  size_t at = 0;  // the first 40,000 characters, not bytes
  for (int chars = 0; chars < 40000 && at < text.size(); chars++) do
      at++;
    while (at < text.size() && (text[at] & 0xc0) == 0x80);
  text.resize(at);
  const auto golden =
      nlohmann::json::parse(test::ReadFile(test::SourcePath("tests/data/tiny-q1.golden.json")))["perplexity"];
  const double want = golden["ppl"];
  const eval::Perplexity f32 = Measure(kernels::ActType::kF32, text);
  EXPECT_EQ(f32.tokens, golden["tokens"].get<int64_t>());
  EXPECT_LE(std::fabs(f32.ppl() / want - 1), 1e-3);
  const eval::Perplexity i8 = Measure(kernels::ActType::kI8, text);
  EXPECT_LE(std::fabs(i8.ppl() / want - 1), 5e-3);
  RecordProperty("ppl_f32", std::to_string(f32.ppl()));
  RecordProperty("ppl_i8", std::to_string(i8.ppl()));
}

}  // namespace
}  // namespace bonsai
