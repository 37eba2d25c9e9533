#include "engine/block_pool.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>

#include "engine/engine_testing.h"

namespace bonsai::engine {
namespace {

using testing::FakeStore;

std::vector<int32_t> Tokens(int32_t first) {
  std::vector<int32_t> tokens(kernels::kKvBlock);
  for (int32_t& t : tokens) t = first++;
  return tokens;
}

using Chain = std::vector<int32_t>;
Status Audit(const BlockPool& pool, const std::vector<Chain>& chains) {
  const std::vector<std::span<const int32_t>> spans(chains.begin(), chains.end());
  return pool.Audit(spans);
}

/// A chain of full blocks whose i-th holds Tokens(content[i]): found, or allocated and published.
Chain Take(BlockPool& pool, const std::string& salt, const std::vector<int32_t>& content, int* found = nullptr) {
  Chain chain;
  for (const int32_t c : content) {
    const std::vector<int32_t> tokens = Tokens(c);
    const BlockKey key{salt, chain.empty() ? -1 : chain.back(), tokens};
    int32_t b = pool.Find(key);
    if (b >= 0 && found != nullptr) ++*found;
    if (b < 0) {
      b = pool.Allocate();
      if (b < 0) break;
      b = pool.Publish(b, key);
    }
    chain.push_back(b);
  }
  return chain;
}

TEST(BlockPoolTest, GrowsLazilyUpToItsCapacity) {
  FakeStore store;
  BlockPool pool(store, 3);
  EXPECT_EQ(store.grown, 0);
  Chain chain;
  for (int32_t i = 0; i < 3; i++) {
    EXPECT_EQ(pool.available(), 3 - i);
    chain.push_back(pool.Allocate());
    EXPECT_EQ(store.grown, i + 1);
  }
  EXPECT_EQ(pool.Allocate(), -1);
  EXPECT_EQ(store.grown, 3);
  EXPECT_EQ(pool.used(), 3);
  EXPECT_TRUE(Audit(pool, {chain}));
  pool.Release(chain);
  EXPECT_EQ(pool.used(), 0);
  EXPECT_EQ(pool.cached(), 0);  // nothing was published
  EXPECT_TRUE(Audit(pool, {}));
}

TEST(BlockPoolTest, AStoreThatCannotGrowShrinksTheCapacity) {
  FakeStore store;
  store.most = 2;
  BlockPool pool(store, 10);
  const Chain chain = Take(pool, "", {1, 2});
  EXPECT_EQ(pool.Allocate(), -1);
  EXPECT_EQ(pool.capacity(), 2);
  pool.Release(chain);
  EXPECT_EQ(pool.available(), 2);
  EXPECT_GE(pool.Allocate(), 0);  // by eviction
  EXPECT_EQ(pool.evictions(), 1);
}

TEST(BlockPoolTest, ABlockIsFoundBehindItsParentAndSaltOnly) {
  FakeStore store;
  BlockPool pool(store, 20);
  const Chain a = Take(pool, "alice", {1, 2});
  const std::vector<int32_t> one = Tokens(1), two = Tokens(2);
  EXPECT_EQ(pool.Find({"alice", -1, two}), -1);
  EXPECT_EQ(pool.Find({"bob", -1, one}), -1);
  EXPECT_EQ(pool.Find({"", -1, one}), -1);
  const Chain b = Take(pool, "bob", {1});
  EXPECT_NE(b[0], a[0]);
  EXPECT_EQ(pool.Find({"bob", b[0], two}), -1);
  EXPECT_EQ(pool.Find({"alice", a[0], one}), -1);
  EXPECT_EQ(pool.Find({"alice", a[0], two}), a[1]);
  pool.Release({&a[1], 1});
  EXPECT_TRUE(Audit(pool, {a, b}));
}

TEST(BlockPoolTest, TheSecondToPublishTakesTheFirstOnesBlock) {
  FakeStore store;
  BlockPool pool(store, 4);
  const std::vector<int32_t> tokens = Tokens(5);
  const int32_t mine = pool.Allocate(), yours = pool.Allocate();
  EXPECT_EQ(pool.Publish(mine, {"s", -1, tokens}), mine);
  EXPECT_EQ(pool.Publish(yours, {"s", -1, tokens}), mine);
  EXPECT_EQ(pool.used(), 1);
  EXPECT_TRUE(Audit(pool, {{mine}, {mine}}));
  EXPECT_FALSE(Audit(pool, {{mine}}));  // the audit counts
  pool.Release({&mine, 1});
  EXPECT_EQ(pool.used(), 1);
  pool.Release({&mine, 1});
  EXPECT_EQ(pool.used(), 0);
  EXPECT_EQ(pool.cached(), 1);
}

TEST(BlockPoolTest, EvictsTheLeastRecentlyUsedAndLeavesBeforeParents) {
  FakeStore store;
  BlockPool pool(store, 5);
  const Chain a = Take(pool, "", {1, 2, 3}), b = Take(pool, "", {1, 9});
  EXPECT_EQ(a[0], b[0]);
  EXPECT_EQ(pool.used(), 4);
  pool.Release(b);
  pool.Release(a);
  EXPECT_EQ(pool.cached(), 4);
  // The unused fifth, then b's leaf, then a's from its end.
  const Chain fresh = {pool.Allocate(), pool.Allocate(), pool.Allocate()};
  EXPECT_EQ(fresh[1], b[1]);
  EXPECT_EQ(fresh[2], a[2]);
  int found = 0;
  const Chain again = Take(pool, "", {1, 2}, &found);
  EXPECT_EQ(found, 2);
  EXPECT_EQ(pool.Allocate(), -1);
  EXPECT_TRUE(Audit(pool, {fresh, again}));
}

uint64_t AlwaysZero(const BlockKey&) { return 0; }

TEST(BlockPoolTest, EqualHashesDoNotConfuseChains) {
  FakeStore store;
  BlockPool pool(store, 7, AlwaysZero);
  // They differ in their first block's tokens, in the salt, or in nothing but the parent.
  const Chain a = Take(pool, "alice", {1, 2}), b = Take(pool, "alice", {3, 2}), c = Take(pool, "bob", {1, 2});
  EXPECT_EQ((std::set<int32_t>{a[0], a[1], b[0], b[1], c[0], c[1]}).size(), 6u) << "two chains share a block";
  std::vector<int32_t> almost = Tokens(2);
  almost.back()++;
  EXPECT_EQ(pool.Find({"alice", a[0], almost}), -1);
  const Chain d = {a[0], pool.Allocate()};
  EXPECT_EQ(pool.Publish(d[1], {"alice", a[0], almost}), d[1]);
  EXPECT_EQ(Take(pool, "alice", {1, 2}), a);
  EXPECT_TRUE(Audit(pool, {a, a, b, c, {d[1]}}));
  // What is forgotten is the block that gives way, and not another of the same hash.
  for (const Chain& chain : {b, c, Chain{d[1]}, a, a}) pool.Release(chain);
  EXPECT_EQ(pool.Allocate(), b[1]);
  EXPECT_EQ(Take(pool, "bob", {1, 2}), c);
  EXPECT_EQ(Take(pool, "alice", {1, 2}), a);
  EXPECT_EQ(pool.Find({"alice", a[0], almost}), d[1]);
  EXPECT_EQ(pool.evictions(), 1);
}

void CheckRandomChains(uint64_t (*hash)(const BlockKey&)) {
  FakeStore store;
  BlockPool pool(store, 24, hash);
  std::mt19937_64 rng(7);
  std::vector<Chain> held;
  std::map<int32_t, std::string> holds;  // a block's salt and all content up to its end
  int found = 0;
  for (int step = 0; step < 4000; step++) {
    if (held.size() < 8 && rng() % 2 == 0) {
      std::vector<int32_t> content(1 + rng() % 5);
      for (int32_t& c : content) c = static_cast<int32_t>(rng() % 3) * 1000;
      std::string prefix = rng() % 2 == 0 ? "x" : "y";
      const int found_before = found;
      held.push_back(Take(pool, prefix, content, &found));
      for (size_t i = 0; i < held.back().size(); i++) {
        prefix += "/" + std::to_string(content[i]);
        std::string& known = holds[held.back()[i]];
        if (i >= static_cast<size_t>(found - found_before)) known = prefix;
        ASSERT_EQ(known, prefix) << "another chain's block, in step " << step;
      }
    } else if (!held.empty()) {
      const size_t i = rng() % held.size();
      pool.Release(held[i]);
      held.erase(held.begin() + static_cast<ptrdiff_t>(i));
    }
    const Status audit = Audit(pool, held);
    ASSERT_TRUE(audit) << audit.error().message() << " after step " << step;
    ASSERT_LE(store.grown, 24);
  }
  EXPECT_GT(found, 100);
  EXPECT_GT(pool.evictions(), 100);
  for (const Chain& c : held) pool.Release(c);
  EXPECT_EQ(pool.used(), 0);
}

TEST(BlockPoolTest, RandomChainsKeepItConsistent) { CheckRandomChains(BlockPool::Hash); }
TEST(BlockPoolTest, RandomChainsOfEqualHashesKeepItConsistent) { CheckRandomChains(AlwaysZero); }

}  // namespace
}  // namespace bonsai::engine
