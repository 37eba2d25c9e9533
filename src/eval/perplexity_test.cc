#include "eval/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/builtin.h"

namespace bonsai::eval {
namespace {

TEST(PerplexityTest, NegativeLogLikelihoodByHand) {
  const float logits[] = {0.0f, std::log(3.0f), -INFINITY};
  EXPECT_NEAR(NegativeLogLikelihood(logits, 0), std::log(4.0), 1e-7);
  EXPECT_NEAR(NegativeLogLikelihood(logits, 1), std::log(4.0 / 3), 1e-7);
  EXPECT_EQ(NegativeLogLikelihood(logits, 2), INFINITY);
  const float large[] = {1e30f, 1e30f};
  EXPECT_NEAR(NegativeLogLikelihood(large, 1), std::log(2.0), 1e-12);
}

class WindowTest : public testing::Test {
 protected:
  void SetUp() override {
    auto e = engine::Engine::Load(engine::BuiltinModel(), {.context = 64});
    ASSERT_TRUE(e) << e.error().message();
    engine_ = std::move(*e);
    ids_ = engine_->tokenizer().Encode(
        "Once upon a time there was a king who had three sons, and the youngest of them was called the fool. One day "
        "the king said to them that whoever brought him the finest carpet should be king after his death.");
    ASSERT_GT(ids_.size(), 33u);
    ids_.resize(33);
  }
  std::unique_ptr<engine::Engine> engine_;
  std::vector<int32_t> ids_;
};

TEST_F(WindowTest, ScoresWholeWindowsEachFromAnEmptyCache) {
  const auto p = MeasurePerplexity(*engine_, ids_, 16);  // 32 predictions: two windows
  ASSERT_TRUE(p);
  EXPECT_EQ(p->tokens, 32);
  const std::span<const int32_t> ids(ids_);
  const auto first = MeasurePerplexity(*engine_, ids.first(17), 16),
             second = MeasurePerplexity(*engine_, ids.last(17), 16);
  ASSERT_TRUE(first && second);
  EXPECT_DOUBLE_EQ(p->nll, first->nll + second->nll);
  EXPECT_EQ(p->bytes, first->bytes + second->bytes);
  EXPECT_EQ(p->bytes, static_cast<int64_t>(engine_->tokenizer().Decode(ids.last(32)).size()));
  // 12 fits 32 predictions twice; the remaining 8 are not scored.
  EXPECT_EQ(MeasurePerplexity(*engine_, ids_, 12)->tokens, 24);
  // A text shorter than a window is scored whole.
  EXPECT_EQ(MeasurePerplexity(*engine_, ids_, 60)->tokens, 32);
  EXPECT_NEAR(p->ppl(), std::exp(p->nll / 32), 1e-9);
  EXPECT_NEAR(p->bits_per_byte(), p->nll / std::log(2.0) / static_cast<double>(p->bytes), 1e-12);
}

TEST_F(WindowTest, Errors) {
  EXPECT_FALSE(MeasurePerplexity(*engine_, std::span(ids_).first(1), 16));
  const auto cancelled = MeasurePerplexity(*engine_, ids_, 16, [](int64_t, int64_t) { return false; });
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code(), ErrorCode::kCancelled);
}

}  // namespace
}  // namespace bonsai::eval
