// Finds added tokens ("<|im_end|>") in text: a trie, so that the time does not depend on how many there are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace bonsai::text {

/// Immutable once filled; const methods are thread safe.
class AddedTokens {
 public:
  /// The longest text of an added token. Finding the longest match costs at most this much a byte of text, whatever a
  /// hostile file defines; the real ones have up to 20 bytes.
  static constexpr size_t kMaxLength = 256;

  struct Match {
    size_t begin = 0, length = 0;  ///< length 0: none.
    int32_t id = -1;
  };

  bool empty() const { return nodes_.size() == 1; }
  /// `text` must have 1 to kMaxLength bytes and be new.
  void Add(std::string_view text, int32_t id);
  /// The id of exactly this text, or -1.
  int32_t Find(std::string_view text) const;
  /// The leftmost match at or after `from`, the longest of those that begin there.
  Match Next(std::string_view text, size_t from) const;

 private:
  /// The child of a node, or 0 (the root, which is no one's child).
  uint32_t Child(uint32_t node, char c) const;
  Match LongestAt(std::string_view text, size_t begin) const;

  std::array<bool, 256> first_byte_{};
  std::vector<int32_t> nodes_ = {-1};                // the id that ends at a node, or -1
  std::unordered_map<uint64_t, uint32_t> children_;  // node << 8 | byte → node
};

}  // namespace bonsai::text
