#include "engine/block_pool.h"

#include <algorithm>
#include <functional>

#include "base/check.h"

namespace bonsai::engine {

BlockPool::BlockPool(kernels::KvStore& store, int32_t capacity, uint64_t (*hash)(const BlockKey&))
    : store_(store), capacity_(capacity), hash_(hash) {
  BONSAI_CHECK(capacity >= 0);
}

int32_t BlockPool::Allocate() {
  if (free_.empty() && static_cast<int32_t>(blocks_.size()) < capacity_) {
    const auto id = static_cast<int32_t>(blocks_.size());
    if (store_.Grow(id + 1)) {
      blocks_.emplace_back();
      free_.push_back(id);
    } else {
      capacity_ = id;
    }
  }
  if (free_.empty() && !unused_.empty()) {
    Forget(unused_.front());
    evictions_++;
  }
  if (free_.empty()) return -1;
  const int32_t id = free_.back();
  free_.pop_back();
  Own(id);
  return id;
}

int32_t BlockPool::Find(const BlockKey& key) {
  const int32_t id = Lookup(key, hash_(key));
  if (id >= 0) Own(id);
  return id;
}

int32_t BlockPool::Publish(int32_t id, const BlockKey& key) {
  BONSAI_CHECK(At(id).owners == 1 && !At(id).published && key.tokens.size() == kernels::kKvBlock);
  BONSAI_CHECK(key.parent < 0 || (At(key.parent).published && At(key.parent).owners > 0));
  const uint64_t hash = hash_(key);
  if (const int32_t first = Lookup(key, hash); first >= 0) {
    Own(first);
    Disown(id);
    return first;
  }
  Block& b = At(id);
  b.published = true;
  b.hash = hash;
  b.parent = key.parent;
  if (key.parent < 0) b.salt = key.salt;
  b.tokens.assign(key.tokens.begin(), key.tokens.end());
  if (key.parent >= 0) At(key.parent).children++;
  published_.emplace(hash, id);
  return id;
}

void BlockPool::Release(std::span<const int32_t> chain) {
  for (size_t i = chain.size(); i-- > 0;) Disown(chain[i]);
}

/// FNV-1a over words, with a shift that brings high bits down.
uint64_t BlockPool::Hash(const BlockKey& key) {
  uint64_t h = key.parent < 0 ? std::hash<std::string_view>()(key.salt) : static_cast<uint64_t>(key.parent);
  for (const int32_t token : key.tokens) {
    h = (h ^ static_cast<uint32_t>(token)) * 0x100000001b3u;
    h ^= h >> 29;
  }
  return h;
}

int32_t BlockPool::Lookup(const BlockKey& key, uint64_t hash) const {
  const auto [begin, end] = published_.equal_range(hash);
  for (auto i = begin; i != end; ++i) {
    const Block& b = At(i->second);
    if (b.parent == key.parent && (key.parent >= 0 || b.salt == key.salt) &&
        std::equal(b.tokens.begin(), b.tokens.end(), key.tokens.begin(), key.tokens.end()))
      return i->second;
  }
  return -1;
}

void BlockPool::Own(int32_t id) {
  Block& b = At(id);
  if (b.owners++ > 0) return;
  used_++;
  if (b.published) unused_.erase(b.place);
}

void BlockPool::Disown(int32_t id) {
  Block& b = At(id);
  BONSAI_CHECK(b.owners > 0);
  if (--b.owners > 0) return;
  used_--;
  if (b.published)
    b.place = unused_.insert(unused_.end(), id);
  else
    free_.push_back(id);
}

/// A cached block becomes free. One that a child still names as its parent must not come back with other content: the
/// child would be found behind it.
void BlockPool::Forget(int32_t id) {
  Block& b = At(id);
  BONSAI_CHECK(b.owners == 0 && b.published && b.children == 0);
  unused_.erase(b.place);
  const auto [begin, end] = published_.equal_range(b.hash);
  published_.erase(std::find_if(begin, end, [&](const auto& entry) { return entry.second == id; }));
  if (b.parent >= 0) At(b.parent).children--;
  b = Block();
  free_.push_back(id);
}

Status BlockPool::Audit(std::span<const std::span<const int32_t>> chains) const {
  const auto wrong = [](std::string_view what, size_t id) {
    return Error(ErrorCode::kCorrupt, "KV block {}: {}", id, what);
  };
  std::vector<int32_t> owners(blocks_.size()), children(blocks_.size()), places(blocks_.size());
  for (const auto& chain : chains)
    for (const int32_t id : chain) owners.at(static_cast<size_t>(id))++;
  for (const int32_t id : free_) places[static_cast<size_t>(id)]++;
  for (const int32_t id : unused_) places[static_cast<size_t>(id)]++;
  int32_t used = 0;
  for (size_t i = 0; i < blocks_.size(); i++) {
    const Block& b = blocks_[i];
    used += b.owners > 0 ? 1 : 0;
    if (b.parent >= 0) children[static_cast<size_t>(b.parent)]++;
    if (b.owners != owners[i]) return wrong(fmt::format("{} owners, but {} are counted", owners[i], b.owners), i);
    if (places[i] != (b.owners > 0 ? 0 : 1)) return wrong("owned and free, or neither", i);
    if (b.published && Lookup({b.salt, b.parent, b.tokens}, b.hash) != static_cast<int32_t>(i))
      return wrong("published, but not found", i);
    if (b.parent >= 0 && (!b.published || !At(b.parent).published)) return wrong("a parent that is not published", i);
    if (b.parent >= 0 && b.owners > At(b.parent).owners) return wrong("more owners than its parent", i);
  }
  std::vector<bool> seen(blocks_.size());
  for (const int32_t id : unused_) {
    if (At(id).parent >= 0 && seen[static_cast<size_t>(At(id).parent)])
      return wrong("cached after its parent", static_cast<size_t>(id));
    seen[static_cast<size_t>(id)] = true;
  }
  for (size_t i = 0; i < blocks_.size(); i++)
    if (children[i] != blocks_[i].children) return wrong("a wrong number of children", i);
  if (used != used_) return Error(ErrorCode::kCorrupt, "{} KV blocks are owned, but {} are counted", used, used_);
  if (static_cast<int32_t>(blocks_.size()) > capacity_)
    return Error(ErrorCode::kCorrupt, "{} KV blocks exceed the {} allowed", blocks_.size(), capacity_);
  return {};
}

}  // namespace bonsai::engine
