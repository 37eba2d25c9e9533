// Who owns which block of the KV cache, and which blocks hold tokens that another sequence may begin with.
//
//   BlockPool pool(*store, capacity);
//   int32_t b = pool.Find({.salt = "key", .parent = -1, .tokens = first_64});   // one more owner, or -1
//   if (b < 0) b = pool.Allocate();                                             // ... compute its 64 positions ...
//   b = pool.Publish(b, {.salt = "key", .parent = -1, .tokens = first_64});
//   pool.Release({&b, 1});                                                      // stays findable until it is needed
//
// A block of kernels::kKvBlock positions is free, owned (by one sequence or, once it is full and published, by
// several), or cached: published and without an owner. Published blocks form trees: keys and values depend on all
// tokens before, so a block is known by its parent block and its own tokens. These are compared, not hashed, so that no
// collision can ever give one user another's cache; a tree belongs to one salt, and nothing is shared across salts.
//
// An owner of a block owns all its ancestors. So a block is never without an owner while a descendant has one, and when
// chains are released last block first, least recently used first is also leaf before parent. (Radix trees for prefix
// reuse: Zheng et al. 2023, arXiv 2312.07104.) One thread at a time.
#pragma once

#include <cstdint>
#include <list>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "kernels/ops.h"

namespace bonsai::engine {

/// What a full block holds.
struct BlockKey {
  std::string_view salt;            ///< Of the whole chain.
  int32_t parent;                   ///< The published block before it; -1: it is a sequence's first.
  std::span<const int32_t> tokens;  ///< kernels::kKvBlock of them.
};

class BlockPool {
 public:
  /// Finds candidates, nothing more: keys are compared.
  static uint64_t Hash(const BlockKey& key);
  /// Manages blocks 0..capacity-1 of the store, which grows as they come into use. Tests give a `hash` that collides.
  BlockPool(kernels::KvStore& store, int32_t capacity, uint64_t (*hash)(const BlockKey&) = Hash);

  /// A block with one owner: an unused one, or the least recently used of the cached ones, which forgets what it held.
  /// -1 when every block has an owner. Where the store cannot grow any more the capacity shrinks to what there is.
  int32_t Allocate();
  /// The published block of that key with one more owner, or -1.
  int32_t Find(const BlockKey& key);
  /// Makes an owned block, all of whose positions are computed, findable. Returns the block to use from now on: the
  /// same, or an equal one that was published before, in which case `block` is free again.
  int32_t Publish(int32_t block, const BlockKey& key);
  /// Takes away one owner of each block of a sequence, given in the order of its positions.
  void Release(std::span<const int32_t> chain);

  int32_t capacity() const { return capacity_; }
  /// Blocks that Allocate could still give.
  int32_t available() const { return capacity_ - used_; }
  int32_t used() const { return used_; }  ///< With an owner.
  int32_t cached() const { return static_cast<int32_t>(unused_.size()); }
  int64_t evictions() const { return evictions_; }
  size_t block_bytes() const { return store_.spec().BlockBytes(); }

  /// Checks everything that should hold, `chains` being the blocks of all sequences: for tests.
  Status Audit(std::span<const std::span<const int32_t>> chains) const;

 private:
  struct Block {
    int32_t owners = 0;
    bool published = false;
    uint64_t hash = 0;  // of the key, while published
    int32_t parent = -1;
    int32_t children = 0;                // published blocks with this one as parent
    std::string salt;                    // of roots only: a child's is its parent's
    std::vector<int32_t> tokens;         // while published
    std::list<int32_t>::iterator place;  // in unused_, while cached
  };
  Block& At(int32_t id) { return blocks_[static_cast<size_t>(id)]; }
  const Block& At(int32_t id) const { return blocks_[static_cast<size_t>(id)]; }
  int32_t Lookup(const BlockKey& key, uint64_t hash) const;
  void Own(int32_t id);
  void Disown(int32_t id);
  void Forget(int32_t id);

  kernels::KvStore& store_;
  int32_t capacity_;
  uint64_t (*hash_)(const BlockKey&);
  int32_t used_ = 0;
  int64_t evictions_ = 0;
  std::vector<Block> blocks_;                             // those that the store has
  std::vector<int32_t> free_;                             // neither owned nor published
  std::list<int32_t> unused_;                             // cached, least recently used first
  std::unordered_multimap<uint64_t, int32_t> published_;  // by hash of the key
};

}  // namespace bonsai::engine
