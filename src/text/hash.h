// Hashing for the tokenizer's tables. Seeded for each tokenizer, so that nobody can write a vocabulary whose entries
// all collide and take quadratic time to load.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace bonsai::text {

/// The two halves of the 128-bit product, folded: every bit of the inputs reaches every bit of the result (the mixing
/// step of wyhash).
inline uint64_t Mix(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

constexpr uint64_t kHashOdd = 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio

inline uint64_t HashBytes(std::string_view s, uint64_t seed) {
  const char* p = s.data();
  size_t n = s.size();
  uint64_t h = seed ^ n, word = 0;
  for (; n > 8; p += 8, n -= 8) {
    std::memcpy(&word, p, 8);
    h = Mix(h ^ word, kHashOdd);
  }
  word = 0;  // the last 0-8 bytes, in fixed-size loads that may overlap
  if (n >= 4) {
    uint32_t first, last;
    std::memcpy(&first, p, 4);
    std::memcpy(&last, p + n - 4, 4);
    word = static_cast<uint64_t>(first) << 32 | last;
  } else if (n != 0) {
    const auto at = [&](size_t i) { return static_cast<uint64_t>(static_cast<uint8_t>(p[i])); };
    word = at(0) << 16 | at(n / 2) << 8 | at(n - 1);
  }
  return Mix(h ^ word, kHashOdd ^ seed);
}

/// Strings → ids, by open addressing. The strings stay with the caller, who hands in how to read the one of an id.
class StringIndex {
 public:
  StringIndex(size_t capacity, uint64_t seed)
      : slots_(std::bit_ceil(capacity * 2 + 1)), mask_(slots_.size() - 1), seed_(seed) {}

  /// The id stored for `s`, or -1. `text_of(id)` gives the string of a stored id.
  template <class TextOf>
  int32_t Find(std::string_view s, const TextOf& text_of) const {
    return slots_[Slot(s, HashBytes(s, seed_), text_of)].id;
  }

  /// Stores `id` for `s`; when `s` is there already, returns its id and changes nothing, else -1. At most `capacity`
  /// strings may be stored.
  template <class TextOf>
  int32_t Insert(std::string_view s, int32_t id, const TextOf& text_of) {
    const uint64_t hash = HashBytes(s, seed_);
    Entry& slot = slots_[Slot(s, hash, text_of)];
    if (slot.id >= 0) return slot.id;
    slot = {static_cast<uint32_t>(hash >> 32), id};
    return -1;
  }

 private:
  struct Entry {
    uint32_t tag = 0;
    int32_t id = -1;
  };

  template <class TextOf>
  size_t Slot(std::string_view s, uint64_t hash, const TextOf& text_of) const {
    const auto tag = static_cast<uint32_t>(hash >> 32);
    size_t i = hash & mask_;
    while (slots_[i].id >= 0 && (slots_[i].tag != tag || text_of(slots_[i].id) != s)) i = (i + 1) & mask_;
    return i;
  }

  std::vector<Entry> slots_;
  size_t mask_;
  uint64_t seed_;
};

}  // namespace bonsai::text
