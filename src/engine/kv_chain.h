// The keys and values of one text: which blocks of a pool (block_pool.h) hold them, and how far they are computed.
//
//   KvChain chain;
//   chain.TakeOver(pool, salt, tokens);                         // what others computed
//   if (!chain.Reserve(pool, chain.computed + rows)) ...        // memory is short
//   model.Forward(...), chain.computed += rows;
//   chain.Publish(pool, salt, tokens);                          // for others
//   chain.Release(pool);
//
// Going back is setting `computed` lower, not below what is published: what lies behind it is overwritten.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/block_pool.h"

namespace bonsai::engine {

/// Positions of a block, as a size.
inline constexpr auto kBlock = static_cast<size_t>(kernels::kKvBlock);

/// Blocks that hold so many positions.
constexpr size_t BlocksFor(size_t positions) { return (positions + kBlock - 1) / kBlock; }

/// A chain is used with one pool only. `tokens` are the text's, of which only the end ever changes; `salt` is that of
/// BlockKey and never does.
struct KvChain {
  size_t computed = 0;          ///< Positions whose keys and values are in `blocks`.
  std::vector<int32_t> blocks;  ///< Block i holds positions i · kKvBlock ...
  size_t published = 0;         ///< The first of the blocks, which the pool knows by their tokens.

  /// Whether the next block of a text of so many tokens is one that TakeOver may find: at the border of two blocks, and
  /// not with the last token, whose logits are wanted.
  bool WantsBlock(size_t tokens) const { return computed == blocks.size() * kBlock && computed + kBlock < tokens; }
  /// Takes over the next blocks, as far as the pool has them. Returns how many tokens need not be computed.
  size_t TakeOver(BlockPool& pool, std::string_view salt, std::span<const int32_t> tokens);
  /// Makes the full blocks known that hold `tokens` only; those that somebody else computed, too, take the place of its
  /// own.
  void Publish(BlockPool& pool, std::string_view salt, std::span<const int32_t> tokens);
  /// Blocks for so many positions. False when the pool has none left; those that it gave stay.
  bool Reserve(BlockPool& pool, size_t positions);
  /// Gives all back.
  void Release(BlockPool& pool);
};

}  // namespace bonsai::engine
