#include "engine/kv_chain.h"

#include <algorithm>

namespace bonsai::engine {
namespace {

/// What block `i` of a chain holds.
BlockKey KeyOf(const KvChain& chain, size_t i, std::string_view salt, std::span<const int32_t> tokens) {
  return {.salt = salt, .parent = i == 0 ? -1 : chain.blocks[i - 1], .tokens = tokens.subspan(i * kBlock, kBlock)};
}

}  // namespace

size_t KvChain::TakeOver(BlockPool& pool, std::string_view salt, std::span<const int32_t> tokens) {
  const size_t before = computed;
  while (WantsBlock(tokens.size())) {
    const int32_t block = pool.Find(KeyOf(*this, blocks.size(), salt, tokens));
    if (block < 0) break;
    blocks.push_back(block);
    computed += kBlock;
    published++;
  }
  return computed - before;
}

void KvChain::Publish(BlockPool& pool, std::string_view salt, std::span<const int32_t> tokens) {
  for (; (published + 1) * kBlock <= std::min(computed, tokens.size()); published++)
    blocks[published] = pool.Publish(blocks[published], KeyOf(*this, published, salt, tokens));
}

bool KvChain::Reserve(BlockPool& pool, size_t positions) {
  while (blocks.size() < BlocksFor(positions)) {
    const int32_t block = pool.Allocate();
    if (block < 0) return false;
    blocks.push_back(block);
  }
  return true;
}

void KvChain::Release(BlockPool& pool) {
  pool.Release(blocks);
  *this = {};
}

}  // namespace bonsai::engine
