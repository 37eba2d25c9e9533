// Byte pair encoding: merges neighbouring symbols, the pair of lowest rank first, the leftmost of equals (Sennrich et
// al. 2016, https://arxiv.org/abs/1508.07909; the order is that of the Hugging Face reference).
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace bonsai::text {

/// (left id, right id) → (rank, id of the merged symbol). A compact table, 16 bytes a slot: the real vocabulary's
/// 151,387 merges take 8 MB.
class MergeTable {
 public:
  static constexpr uint32_t kNoRank = std::numeric_limits<uint32_t>::max();

  struct Merge {
    uint32_t rank = kNoRank;
    int32_t id = -1;
  };

  /// Room for `capacity` merges. `seed` scatters the table (text/hash.h).
  MergeTable(size_t capacity, uint64_t seed);

  /// False, with nothing changed, when the pair is there already. Ids are >= 0.
  bool Add(int32_t left, int32_t right, Merge merge);
  /// rank kNoRank when the pair does not merge. Ids below 0 (bytes that the vocabulary lacks) merge with nothing.
  Merge Find(int32_t left, int32_t right) const;

 private:
  struct Slot {
    uint64_t key = std::numeric_limits<uint64_t>::max();  // left << 32 | right; ids are below 2^31, so never this
    Merge merge;
  };
  size_t SlotOf(uint64_t key) const;

  std::vector<Slot> slots_;
  size_t mask_;
  uint64_t seed_;
};

/// Working memory of MergeSymbols: one for each thread, reused from piece to piece.
struct MergeScratch {
  std::vector<uint32_t> rank, next, previous;
  std::vector<uint64_t> heap;
};

/// Merges `symbols` in place until no pair merges; returns how many are left, at the front. n log n. At most 2^32 - 1
/// symbols.
size_t MergeSymbols(std::span<int32_t> symbols, const MergeTable& merges, MergeScratch& scratch);

}  // namespace bonsai::text
