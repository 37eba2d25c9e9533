#include "text/bpe.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>

#include "text/hash.h"

namespace bonsai::text {
namespace {

constexpr uint32_t kNoRank = MergeTable::kNoRank;

/// Up to here a scan for the lowest rank beats a heap: words are short.
constexpr size_t kSmall = 48;

size_t MergeSmall(std::span<int32_t> symbols, const MergeTable& merges) {
  size_t n = symbols.size();
  std::array<uint32_t, kSmall> rank;  // rank[i]: of the pair (i, i + 1)
  for (size_t i = 0; i + 1 < n; i++) rank[i] = merges.Find(symbols[i], symbols[i + 1]).rank;
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; i++) best = rank[i] < rank[best] ? i : best;
    if (rank[best] == kNoRank) break;
    symbols[best] = merges.Find(symbols[best], symbols[best + 1]).id;
    n--;
    for (size_t i = best + 1; i < n; i++) symbols[i] = symbols[i + 1];
    for (size_t i = best + 1; i + 1 < n; i++) rank[i] = rank[i + 1];
    if (best + 1 < n) rank[best] = merges.Find(symbols[best], symbols[best + 1]).rank;
    if (best > 0) rank[best - 1] = merges.Find(symbols[best - 1], symbols[best]).rank;
  }
  return n;
}

/// A linked list of symbols and a heap of (rank << 32 | position of the left symbol): lowest rank first, then leftmost.
/// An entry is stale, and skipped, when its position's pair no longer has its rank.
size_t MergeLarge(std::span<int32_t> symbols, const MergeTable& merges, MergeScratch& s) {
  const auto n = static_cast<uint32_t>(symbols.size());
  s.rank.assign(n, kNoRank);
  s.next.resize(n);
  s.previous.resize(n);
  s.heap.clear();
  for (uint32_t i = 0; i < n; i++) {
    s.next[i] = i + 1;
    s.previous[i] = i - 1;
    if (i + 1 == n) break;
    s.rank[i] = merges.Find(symbols[i], symbols[i + 1]).rank;
    if (s.rank[i] != kNoRank) s.heap.push_back(static_cast<uint64_t>(s.rank[i]) << 32 | i);
  }
  std::make_heap(s.heap.begin(), s.heap.end(), std::greater<>());
  const auto refresh = [&](uint32_t i) {
    s.rank[i] = s.next[i] < n ? merges.Find(symbols[i], symbols[s.next[i]]).rank : kNoRank;
    if (s.rank[i] == kNoRank) return;
    s.heap.push_back(static_cast<uint64_t>(s.rank[i]) << 32 | i);
    std::push_heap(s.heap.begin(), s.heap.end(), std::greater<>());
  };
  while (!s.heap.empty()) {
    std::pop_heap(s.heap.begin(), s.heap.end(), std::greater<>());
    const uint64_t top = s.heap.back();
    s.heap.pop_back();
    const auto left = static_cast<uint32_t>(top);
    if (s.rank[left] != top >> 32) continue;
    const uint32_t right = s.next[left];
    symbols[left] = merges.Find(symbols[left], symbols[right]).id;
    s.rank[right] = kNoRank;
    s.next[left] = s.next[right];
    if (s.next[left] < n) s.previous[s.next[left]] = left;
    refresh(left);
    if (left != 0) refresh(s.previous[left]);
  }
  size_t count = 0;
  for (uint32_t i = 0; i < n; i = s.next[i]) symbols[count++] = symbols[i];
  return count;
}

uint64_t Key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

MergeTable::MergeTable(size_t capacity, uint64_t seed)
    : slots_(std::bit_ceil(capacity * 2 + 1)), mask_(slots_.size() - 1), seed_(seed | 1) {}

size_t MergeTable::SlotOf(uint64_t key) const {
  size_t i = Mix(key ^ seed_, kHashOdd) & mask_;
  while (slots_[i].merge.rank != kNoRank && slots_[i].key != key) i = (i + 1) & mask_;
  return i;
}

bool MergeTable::Add(int32_t left, int32_t right, Merge merge) {
  Slot& slot = slots_[SlotOf(Key(left, right))];
  if (slot.merge.rank != kNoRank) return false;
  slot = {Key(left, right), merge};
  return true;
}

MergeTable::Merge MergeTable::Find(int32_t left, int32_t right) const {
  if ((left | right) < 0) return {};
  return slots_[SlotOf(Key(left, right))].merge;
}

size_t MergeSymbols(std::span<int32_t> symbols, const MergeTable& merges, MergeScratch& scratch) {
  return symbols.size() <= kSmall ? MergeSmall(symbols, merges) : MergeLarge(symbols, merges, scratch);
}

}  // namespace bonsai::text
