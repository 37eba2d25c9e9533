#include "engine/engine.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/builtin.h"
#include "tests/synthetic.h"

namespace bonsai::engine {
namespace {

using test::SyntheticModel;

std::unique_ptr<Engine> Load(const std::string& bytes, EngineOptions o = {}) {
  o.threads = 2;
  auto e = Engine::Load(MemorySource("test.gguf", std::as_bytes(std::span(bytes))), o);
  EXPECT_TRUE(e) << e.error().message();
  return e ? std::move(*e) : nullptr;
}

GenerateOptions Greedy(int32_t n) {
  GenerateOptions o;
  o.sampling.temperature = 0;
  o.max_tokens = n;
  o.loop_guard = false;
  return o;
}

TEST(EngineTest, TheBuiltInModelTellsAStory) {
  auto e = Engine::Load(BuiltinModel(), {});
  ASSERT_TRUE(e) << e.error().message();
  EXPECT_FLOAT_EQ((*e)->default_sampling().temperature, 0.7f);  // as the file recommends
  const auto prompt = (*e)->tokenizer().Encode("Once upon a time, there was a little");
  std::string text;
  const auto r = (*e)->Generate(prompt, Greedy(12), [&](const Token& t) {
    text += t.text;
    return true;
  });
  ASSERT_TRUE(r);
  EXPECT_EQ(text.substr(0, 16), " one, and he was");
}

TEST(EngineTest, ASeedRepeatsAndAnotherDiffers) {
  const std::string bytes = test::BuildGguf({});
  const auto e = Load(bytes);
  const std::vector<int32_t> prompt = {1, 2, 3};
  GenerateOptions o;
  o.max_tokens = 40;
  o.sampling.temperature = 1;
  o.sampling.seed = 5;
  const auto a = e->Generate(prompt, o, {}), b = e->Generate(prompt, o, {});
  o.sampling.seed = 6;
  const auto c = e->Generate(prompt, o, {});
  ASSERT_TRUE(a && b && c);
  EXPECT_EQ(a->tokens, b->tokens);
  EXPECT_NE(a->tokens, c->tokens);
}

TEST(EngineTest, CanBeStoppedWhileItReadsThePrompt) {
  const std::string bytes = test::BuildGguf({});
  const auto e = Load(bytes, {.batch_rows = 16});
  const std::vector<int32_t> prompt(100, 7);
  int asked = 0, tokens = 0;
  const auto count = [&](const Token&) { return ++tokens > 0; };
  const auto r = e->Generate(prompt, Greedy(4), count, [&] { return ++asked < 3; });
  ASSERT_TRUE(r);
  EXPECT_EQ(r->reason, FinishReason::kCancelled);
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(tokens, 0);
  const auto again = e->Generate(prompt, Greedy(4), count, [&] { return ++asked > 0; });
  ASSERT_TRUE(again);
  EXPECT_EQ(again->tokens.size(), 4u);
}

TEST(EngineTest, FeedContinuesWhatWasFed) {
  const std::string bytes = test::BuildGguf({});
  const auto e = Load(bytes, {.context = 96, .batch_rows = 16});
  std::vector<int32_t> tokens(70);  // more than one KV block and several passes
  for (size_t i = 0; i < tokens.size(); i++) tokens[i] = static_cast<int32_t>(i * 7 % 50);
  const auto vocab = static_cast<size_t>(e->config().vocab);
  std::vector<float> want(vocab), whole(vocab), pieces(vocab);
  ASSERT_TRUE(e->Evaluate(tokens, [&](int32_t position, std::span<const float> logits) {
    if (position == 69) want.assign(logits.begin(), logits.end());
    return true;
  }));
  ASSERT_TRUE(e->Feed(tokens, 0, whole));
  EXPECT_EQ(whole, want);
  const std::span<const int32_t> all = tokens;
  ASSERT_TRUE(e->Feed(all.first(30), 0));
  ASSERT_TRUE(e->Feed(all.subspan(30, 39), 30));
  ASSERT_TRUE(e->Feed(all.subspan(69), 69, pieces));
  EXPECT_EQ(pieces, want);
  ASSERT_TRUE(e->Feed(all.subspan(69), 69, pieces));  // a position may be run again
  EXPECT_EQ(pieces, want);
}

TEST(EngineTest, FeedRefusesGapsAndOverflow) {
  const std::string bytes = test::BuildGguf({});
  const auto e = Load(bytes, {.context = 70});
  const std::vector<int32_t> three = {1, 2, 3}, many(71, 1);
  EXPECT_EQ(e->Feed(three, 1).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(e->Feed(three, -1).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(e->Feed({}, 0).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(e->Feed(many, 0).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(e->Feed(std::vector<int32_t>{-1}, 0).error().code(), ErrorCode::kInvalidArgument);
  ASSERT_TRUE(e->Feed(three, 0));
  EXPECT_FALSE(e->Feed(three, 4));
  EXPECT_TRUE(e->Feed(three, 3));
}

TEST(EngineTest, EndsAtTheEndOfTheContext) {
  const std::string bytes = test::BuildGguf({});
  const auto e = Load(bytes, {.context = 70});  // more than one KV block
  EXPECT_EQ(e->plan().context, 70);
  GenerateOptions o = Greedy(-1);
  const auto r = e->Generate(std::vector<int32_t>{1, 2, 3}, o, {});
  ASSERT_TRUE(r);
  if (r->reason != FinishReason::kStop) {
    EXPECT_EQ(r->reason, FinishReason::kLength);
    EXPECT_EQ(r->tokens.size(), 67u);
  }
  const auto full = e->Generate(std::vector<int32_t>(70, 1), o, {});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_NE(full.error().message().find("70"), std::string::npos);
  EXPECT_TRUE(e->Generate(std::vector<int32_t>(69, 1), o, {}));
}

TEST(EngineTest, RefusesBadPrompts) {
  const std::string bytes = test::BuildGguf({});
  const auto e = Load(bytes);
  for (const std::vector<int32_t>& ids : {std::vector<int32_t>{}, {1, -1}, {1, 300}, {1, 1 << 30}}) {
    const auto r = e->Generate(ids, Greedy(1), {});
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_FALSE(e->Evaluate(ids, [](int32_t, std::span<const float>) { return true; }));
  }
  GenerateOptions bad = Greedy(1);
  bad.sampling.top_p = NAN;
  EXPECT_FALSE(e->Generate(std::vector<int32_t>{1}, bad, {}));
}

TEST(EngineTest, TheCallbackCancels) {
  const std::string bytes = test::BuildGguf({});
  const auto e = Load(bytes);
  int calls = 0;
  GenerateOptions o = Greedy(50);
  const auto r = e->Generate(std::vector<int32_t>{1, 2}, o, [&](const Token&) { return ++calls < 4; });
  ASSERT_TRUE(r);
  if (r->reason != FinishReason::kStop) {
    EXPECT_EQ(r->reason, FinishReason::kCancelled);
    EXPECT_EQ(calls, 4);
    EXPECT_EQ(r->tokens.size(), 4u);
  }
}

// The built-in model, greedy, says " one, and he was a very poor man, and he was a good man, and he was a good man, …".
TEST(EngineTest, StopStringsEndTheText) {
  auto e = Engine::Load(BuiltinModel(), {});
  ASSERT_TRUE(e);
  const auto prompt = (*e)->tokenizer().Encode("Once upon a time, there was a little");
  GenerateOptions o = Greedy(40);
  o.stop = {"y poor m"};  // spans tokens
  std::string text;
  const auto collect = [&](const Token& t) {
    text += t.text;
    return true;
  };
  const auto r = (*e)->Generate(prompt, o, collect);
  ASSERT_TRUE(r);
  EXPECT_EQ(r->reason, FinishReason::kStopText);
  EXPECT_EQ(r->stop_text, "y poor m");
  EXPECT_TRUE(text.ends_with(" a ver")) << text;
  // Held-back text that turns out to be no stop string is not lost.
  text.clear();
  o.stop = {" one, and he was a very poor king"};
  o.max_tokens = 7;
  ASSERT_TRUE((*e)->Generate(prompt, o, collect));
  EXPECT_TRUE(text.starts_with(" one, and he was a v")) << text;
}

TEST(EngineTest, TheLoopGuardEndsARepetition) {
  auto e = Engine::Load(BuiltinModel(), {.act = kernels::ActType::kF32});
  ASSERT_TRUE(e);
  const auto prompt = (*e)->tokenizer().Encode("Once upon a time, there was a little");
  GenerateOptions o = Greedy(600);
  o.loop_guard = true;
  const auto r = (*e)->Generate(prompt, o, {});
  ASSERT_TRUE(r);
  EXPECT_EQ(r->reason, FinishReason::kLoop);
  EXPECT_GE(r->tokens.size(), 200u);
  EXPECT_GT(r->loop_period, 0);
  o.loop_guard = false;
  o.max_tokens = static_cast<int32_t>(r->tokens.size()) + 20;
  const auto on = (*e)->Generate(prompt, o, {});
  ASSERT_TRUE(on);
  EXPECT_EQ(on->reason, FinishReason::kLength);
}

TEST(EngineTest, EndOfGenerationStops) {
  // All logits equal zero with a zero head: greedy takes id 0, which this vocabulary declares to be the end.
  SyntheticModel s;
  s.edit = [](formats::Metadata& m, std::vector<formats::GgufTensor>&) {
    formats::Metadata out(m.source());
    for (const auto& [k, v] : m.entries())
      ASSERT_TRUE(out.Add(k, k == "tokenizer.ggml.eos_token_id" ? test::Int(7) : v));
    m = std::move(out);
  };
  const std::string bytes = test::BuildGguf(s);
  const auto e = Load(bytes);
  EXPECT_TRUE(e->tokenizer().IsEndOfGeneration(7));
  GenerateOptions o;
  o.sampling.temperature = 100;  // nearly uniform over 300 tokens: id 7 comes soon
  o.sampling.top_k = 0, o.sampling.top_p = 1, o.sampling.min_p = 0;
  o.sampling.seed = 3;
  bool seven_shown = false;
  const auto r = e->Generate(std::vector<int32_t>{1}, o, [&](const Token& t) {
    seven_shown |= t.id == 7;
    return true;
  });
  ASSERT_TRUE(r);
  ASSERT_EQ(r->reason, FinishReason::kStop) << r->tokens.size();
  EXPECT_EQ(r->tokens.back(), 7);
  EXPECT_FALSE(seven_shown);  // the end is not text
}

TEST(EngineTest, AVocabularyLargerThanTheEmbeddingIsRefused) {
  SyntheticModel s;
  s.edit = [](formats::Metadata& m, std::vector<formats::GgufTensor>&) {
    formats::Metadata out(m.source());
    for (const auto& [k, v] : m.entries())
      if (!k.starts_with("tokenizer.")) {
        ASSERT_TRUE(out.Add(k, v));
      }
    test::AddTokenizer(out, 310);
    m = std::move(out);
  };
  const std::string bytes = test::BuildGguf(s);
  const auto e = Engine::Load(MemorySource("test.gguf", std::as_bytes(std::span(bytes))), {});
  ASSERT_FALSE(e);
  EXPECT_NE(e.error().message().find("310"), std::string::npos) << e.error().message();
  EXPECT_NE(e.error().message().find("300"), std::string::npos) << e.error().message();
}

TEST(EngineTest, NonFiniteWeightsAreAnErrorAndNotEndlessText) {
  SyntheticModel s;
  s.type = "F32";
  std::string bytes = test::BuildGguf(s);
  const auto file = test::OpenBytes(bytes);
  ASSERT_TRUE(file);
  const formats::TensorInfo* t = (*file)->FindTensor("token_embd.weight");  // vectors are checked when they are loaded
  const float nan = NAN;
  for (uint64_t i = 0; i < t->elements(); i++) std::memcpy(bytes.data() + t->offset + 4 * i, &nan, 4);
  const auto e = Load(bytes);
  const auto r = e->Generate(std::vector<int32_t>{1}, Greedy(5), {});
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code(), ErrorCode::kCorrupt);
}

class PlanTest : public testing::Test {
 protected:
  void SetUp() override {
    bytes_ = test::BuildGguf({.context = 32768});
    auto file = test::OpenBytes(bytes_);
    ASSERT_TRUE(file);
    file_ = std::move(*file);
    auto d = model::Describe(*file_);
    ASSERT_TRUE(d);
    description_ = *d;
    auto device = kernels::NewCpuDevice({.threads = 1});
    ASSERT_TRUE(device);
    device_ = std::move(*device);
  }
  Result<MemoryPlan> Plan(int32_t context, uint64_t available) {
    return MakePlan(*file_, description_, *device_, {.context = context, .batch_rows = 16, .available = available});
  }
  std::string bytes_;
  std::unique_ptr<formats::ModelFile> file_;
  model::Description description_;
  std::unique_ptr<kernels::Device> device_;
};

TEST_F(PlanTest, DefaultsTo8192) {
  const auto p = Plan(0, uint64_t{1} << 40);
  ASSERT_TRUE(p);
  EXPECT_EQ(p->context, 8192);
  // One block: 2 layers, keys and values of 2 heads of 32 columns in fp16, 64 positions.
  EXPECT_EQ(p->kv, 8192u / 64 * 2 * 2 * 2 * 32 * 2 * 64);
  EXPECT_EQ(Plan(0, 0)->context, 8192);  // unknown memory: no limit
  EXPECT_EQ(Plan(20000, 0)->context, 20000);
}

TEST_F(PlanTest, ShrinksToHalfOfWhatIsLeft) {
  const uint64_t fixed = Plan(64, 0)->weights + Plan(64, 0)->scratch;
  const auto p =
      Plan(0, fixed + 4 * KvCacheBytes(
                              model::KvSpecOf(description_.config, kernels::KvType::kF16, kernels::KvType::kF16), 640));
  ASSERT_TRUE(p);
  EXPECT_EQ(p->context, 1280);
}

TEST_F(PlanTest, KvMemoryIsForAllSequences) {
  const auto plan = [&](PlanRequest r) {
    r.batch_rows = 16;
    return MakePlan(*file_, description_, *device_, r);
  };
  const uint64_t block = Plan(64, 0)->kv;
  EXPECT_EQ(plan({.context = 640, .parallel = 4})->kv, 40 * block);
  // As much as half of what is free holds, but at least one sequence.
  const uint64_t fixed = plan({.context = 640, .parallel = 4})->total() - 40 * block;
  EXPECT_EQ(plan({.context = 640, .parallel = 4, .available = fixed + 50 * block})->kv, 25 * block);
  EXPECT_EQ(plan({.context = 640, .parallel = 4, .available = fixed + 11 * block})->kv, 10 * block);
  EXPECT_FALSE(plan({.context = 640, .parallel = 4, .available = fixed + 9 * block}));
  // Given, it is the size, in whole blocks, and the context fits it.
  EXPECT_EQ(plan({.context = 640, .parallel = 4, .kv_memory = 12 * block + 5})->kv, 12 * block);
  EXPECT_EQ(plan({.kv_memory = 12 * block + 5})->context, 12 * 64);
  EXPECT_EQ(plan({.context = 1000, .kv_memory = 12 * block}).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(plan({.kv_memory = block - 1}).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(plan({.kv_memory = UINT64_MAX})->context, 8192);  // and no room for it is no error: memory is unknown
  EXPECT_EQ(plan({.kv_memory = UINT64_MAX, .available = fixed + 9 * block}).error().code(), ErrorCode::kOutOfMemory);
  EXPECT_EQ(plan({.parallel = 0}).error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(PlanTest, ADraftModelHasItsPlace) {
  const kernels::KvSpec spec = model::KvSpecOf(description_.config, kernels::KvType::kF16, kernels::KvType::kF16);
  kernels::KvSpec small = spec;
  small.layers = 1;
  const uint64_t block = spec.BlockBytes(), half = small.BlockBytes(), draft = 1000000;
  const uint64_t fixed = Plan(64, 0)->weights + Plan(64, 0)->scratch + draft;
  const auto plan = [&](int32_t context, uint64_t available) {
    return MakePlan(*file_, description_, *device_,
                    {.context = context, .batch_rows = 16, .available = available, .draft = draft});
  };
  EXPECT_EQ(plan(640, 0)->total(), fixed + 10 * block);
  EXPECT_EQ(plan(0, fixed + 40 * block)->context, 20 * 64);  // half of what is left
  const auto none = plan(640, fixed + 10 * block - 1);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message().find("draft model 1.0 MiB"), std::string::npos) << none.error().message();
  // As many positions as the main model has, but at most half of what is left then, and a block at least.
  const auto blocks = [&](uint64_t available) {
    MemoryPlan main = *plan(640, available), own{.weights = draft};
    PlanDraftKv(spec, small, main, own);
    EXPECT_EQ(main.draft, own.total());
    EXPECT_EQ(own.context, 640);
    return own.kv / half;
  };
  EXPECT_EQ(blocks(0), 10u);
  EXPECT_EQ(blocks(fixed + 10 * block + 20 * half), 10u);
  EXPECT_EQ(blocks(fixed + 10 * block + 13 * half), 6u);
  EXPECT_EQ(blocks(fixed + 10 * block), 1u);
}

TEST_F(PlanTest, SaysWhatIsMissingAndWhatFits) {
  const auto small = Plan(640, 0);
  const uint64_t enough = small->total();
  ASSERT_TRUE(Plan(640, enough));
  const auto p = Plan(6400, enough);
  ASSERT_FALSE(p);
  EXPECT_EQ(p.error().code(), ErrorCode::kOutOfMemory);
  EXPECT_NE(p.error().message().find("-c 640 would fit"), std::string::npos) << p.error().message();
  EXPECT_NE(p.error().message().find("missing"), std::string::npos);
  const auto none = Plan(0, 1000);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message().find("no context would fit"), std::string::npos) << none.error().message();
}

}  // namespace
}  // namespace bonsai::engine
