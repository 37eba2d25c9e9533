#include "engine/kv_chain.h"

#include <gtest/gtest.h>

#include "engine/engine_testing.h"

namespace bonsai::engine {
namespace {

using testing::FakeStore;
using testing::Prompt;

/// A chain that has computed `positions` of its tokens and told the pool.
KvChain Computed(BlockPool& pool, const std::vector<int32_t>& tokens, size_t positions) {
  KvChain c;
  EXPECT_TRUE(c.Reserve(pool, positions));
  c.computed = positions;
  c.Publish(pool, "", tokens);
  return c;
}

TEST(KvChainTest, TakesOverAllButTheLastToken) {
  FakeStore store;
  BlockPool pool(store, 10);
  const std::vector<int32_t> tokens = Prompt(200, 1);
  KvChain first = Computed(pool, tokens, 200);
  EXPECT_EQ(first.published, 3u);
  for (const size_t length : {1u, 64u, 65u, 128u, 129u, 192u, 193u, 200u}) {
    KvChain c;
    const size_t want = (length - 1) / kBlock * kBlock;
    EXPECT_EQ(c.TakeOver(pool, "", std::span(tokens).first(length)), want);
    EXPECT_EQ(c.computed, want);
    EXPECT_EQ(c.published, want / kBlock);
    EXPECT_EQ(c.blocks,
              std::vector<int32_t>(first.blocks.begin(), first.blocks.begin() + static_cast<ptrdiff_t>(want / kBlock)));
    c.Release(pool);
  }
  KvChain salted;
  EXPECT_EQ(salted.TakeOver(pool, "other", tokens), 0u);
  KvChain within = Computed(pool, tokens, 10);  // not at the border of two blocks
  EXPECT_EQ(within.TakeOver(pool, "", tokens), 0u);
  within.Release(pool);
  first.Release(pool);
  EXPECT_EQ(pool.used(), 0);
}

TEST(KvChainTest, GoesOnWhereOthersAreFurther) {
  FakeStore store;
  BlockPool pool(store, 10);
  const std::vector<int32_t> tokens = Prompt(200, 1);
  KvChain first = Computed(pool, tokens, 100), second = Computed(pool, tokens, 64);
  EXPECT_EQ(second.blocks[0], first.blocks[0]);  // computed twice, kept once
  EXPECT_EQ(pool.used(), 2);
  EXPECT_EQ(second.TakeOver(pool, "", tokens), 0u);
  first.computed = 128;
  first.Publish(pool, "", tokens);
  EXPECT_EQ(second.TakeOver(pool, "", tokens), 64u);
  EXPECT_EQ(second.blocks, first.blocks);
}

TEST(KvChainTest, PublishesOnlyWhatIsCertain) {
  FakeStore store;
  BlockPool pool(store, 10);
  const std::vector<int32_t> tokens = Prompt(200, 1);
  KvChain c;
  ASSERT_TRUE(c.Reserve(pool, 200));
  c.computed = 200;
  c.Publish(pool, "", std::span(tokens).first(127));  // the rest are guesses
  EXPECT_EQ(c.published, 1u);
  c.Publish(pool, "", std::span(tokens).first(128));
  EXPECT_EQ(c.published, 2u);
}

TEST(KvChainTest, ReservesAsMuchAsThereIs) {
  FakeStore store;
  BlockPool pool(store, 3);
  KvChain c;
  EXPECT_TRUE(c.Reserve(pool, 0));
  EXPECT_TRUE(c.Reserve(pool, 1));
  EXPECT_TRUE(c.Reserve(pool, 64));
  EXPECT_EQ(c.blocks.size(), 1u);
  EXPECT_FALSE(c.Reserve(pool, 4 * 64));
  EXPECT_EQ(c.blocks.size(), 3u);
  c.Release(pool);
  EXPECT_EQ(c.blocks.size(), 0u);
  EXPECT_EQ(pool.available(), 3);
}

}  // namespace
}  // namespace bonsai::engine
