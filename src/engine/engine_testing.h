// What the tests of engines share: small models, requests that remember what became of them, and an oracle.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/model_drafter.h"
#include "engine/scheduler.h"
#include "tests/synthetic.h"

namespace bonsai::engine::testing {

/// Bytes of a KV block of test::SyntheticModel's default: 2 layers of 2 heads, 32 keys and values each, fp16.
inline constexpr uint64_t kBlockBytes = 2 * 2 * (32 + 32) * 2 * kernels::kKvBlock;

/// A store that counts, and that may refuse to grow.
class FakeStore : public kernels::KvStore {
 public:
  FakeStore() : KvStore({.layers = 1, .kv_heads = 1, .k_width = 32, .v_width = 32}) {}
  Status Grow(int32_t count) override {
    if (count > most) return Error(ErrorCode::kOutOfMemory, "no more");
    grown = std::max(grown, count);
    return {};
  }
  int32_t grown = 0, most = 1 << 20;
};

/// The bytes of the default model, whose file every test may keep open.
inline const std::string& ModelBytes() {
  static const std::string bytes = test::BuildGguf({});
  return bytes;
}

/// Another model with the same vocabulary, which knows nothing of what the first one says.
inline const std::string& StrangerBytes() {
  static const std::string bytes = test::BuildGguf({.layers = 1, .d_model = 256, .seed = 77});
  return bytes;
}

inline std::unique_ptr<LoadedModel> LoadModel(EngineOptions o, const std::string& bytes = ModelBytes()) {
  o.threads = 1;
  const auto file = test::OpenBytes(bytes);
  EXPECT_TRUE(file);
  auto m = LoadedModel::Load(**file, o);
  EXPECT_TRUE(m) << m.error().message();
  return m ? std::move(*m) : nullptr;
}

/// What a request's callbacks saw.
struct Outcome {
  std::vector<int32_t> ids;
  std::string text;
  GenerateResult result;
  int finishes = 0;
};

/// A request that writes to `out`, which must outlive it.
inline Request Ask(std::vector<int32_t> prompt, GenerateOptions options, Outcome& out) {
  return {.prompt = std::move(prompt),
          .options = std::move(options),
          .on_token =
              [&out](const Token& t) {
                EXPECT_EQ(out.finishes, 0);
                if (t.id >= 0) out.ids.push_back(t.id);
                out.text += t.text;
                return true;
              },
          .on_finish =
              [&out](const GenerateResult& r) {
                out.result = r;
                out.finishes++;
              }};
}

inline std::vector<int32_t> Prompt(size_t length, uint64_t seed) {
  std::vector<int32_t> ids(length);
  std::mt19937_64 rng(seed);
  for (int32_t& id : ids) id = static_cast<int32_t>(rng() % 256);
  return ids;
}

inline GenerateOptions Options(int32_t max_tokens, uint64_t seed, float temperature = 1) {
  GenerateOptions o;
  o.sampling.temperature = temperature;
  o.sampling.seed = seed;
  o.max_tokens = max_tokens;
  o.loop_guard = false;
  return o;
}

/// What a generation must be, token by token and without any of the machinery: sampling, end and length only.
class Oracle {
 public:
  Oracle() {
    const auto file = test::OpenBytes(ModelBytes());
    auto e = Engine::Load(**file, {.threads = 1});
    EXPECT_TRUE(e);
    engine_ = std::move(*e);
  }
  std::vector<int32_t> Generate(const std::vector<int32_t>& prompt, const GenerateOptions& o) {
    const int32_t vocab = engine_->config().vocab;
    std::vector<float> logits(static_cast<size_t>(vocab));
    sampling::Sampler sampler(o.sampling, vocab);
    for (const int32_t id : prompt) sampler.Accept(id);
    EXPECT_TRUE(engine_->Feed(prompt, 0, logits));
    std::vector<int32_t> out;
    for (auto pos = static_cast<int32_t>(prompt.size()); static_cast<int32_t>(out.size()) < o.max_tokens; pos++) {
      out.push_back(sampler.Sample(logits));
      sampler.Accept(out.back());
      if (engine_->tokenizer().IsEndOfGeneration(out.back()) && !o.ignore_end) break;
      EXPECT_TRUE(engine_->Feed({&out.back(), 1}, pos, logits));
    }
    return out;
  }
  Engine& engine() { return *engine_; }

 private:
  std::unique_ptr<Engine> engine_;
};

/// A scheduler on a small model, audited after each step; with a draft model of its own when there is one.
struct Bench {
  explicit Bench(EngineOptions e = {}, SchedulerOptions s = {}, std::unique_ptr<LoadedModel> draft_model = nullptr)
      : model(LoadModel(e)), draft(std::move(draft_model)) {
    s.slots = e.parallel;
    scheduler.emplace(*model, s,
                      draft == nullptr ? nullptr : std::make_unique<ModelDrafter>(*draft, model->config().vocab));
  }
  bool Step() {
    const bool more = scheduler->Step();
    const Status audit = scheduler->Audit();
    EXPECT_TRUE(audit) << audit.error().message();
    EXPECT_LE(scheduler->stats().kv_blocks_used, model->pool().capacity());
    return more;
  }
  /// Steps until nothing is left; no more than `most`.
  void Drain(int most = 100000) {
    while (most-- > 0 && Step()) continue;
    EXPECT_FALSE(scheduler->Step()) << "it never ends";
    EXPECT_EQ(model->pool().used(), 0);
    if (draft != nullptr) {
      EXPECT_EQ(draft->pool().used(), 0);
    }
  }
  RequestId Submit(Request r) {
    const auto id = scheduler->Submit(std::move(r));
    EXPECT_TRUE(id) << id.error().message();
    return id.value_or(0);
  }
  std::unique_ptr<LoadedModel> model, draft;
  std::optional<Scheduler> scheduler;
};

}  // namespace bonsai::engine::testing
