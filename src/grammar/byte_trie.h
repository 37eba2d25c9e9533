// Strings as a trie in one array: children follow their parent, and every node knows where its subtree ends, so that a
// walk that finds no way skips all that begins alike in one step.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace bonsai::grammar {

/// Immutable after construction; thread safe.
class ByteTrie {
 public:
  struct Item {
    int32_t token;
    uint32_t count;  ///< For state_masks.h; else 0.
    bool operator<(const Item& o) const { return token != o.token ? token < o.token : count < o.count; }
    bool operator==(const Item&) const = default;
  };
  struct Entry {
    std::string_view bytes;
    Item item;
  };
  struct Node {
    uint32_t end;    ///< The node behind the subtree.
    uint32_t items;  ///< Where its items begin.
    uint16_t depth;  ///< From 1.
    uint8_t byte;
  };
  /// Longer strings are left out.
  static constexpr size_t kMaxLength = 1024;

  ByteTrie() = default;
  /// Sorts the entries; empty strings and equal entries are dropped. What `bytes` point to is not kept.
  explicit ByteTrie(std::vector<Entry> entries);

  bool empty() const { return items_.empty(); }
  uint32_t size() const { return nodes_.empty() ? 0 : static_cast<uint32_t>(nodes_.size() - 1); }
  const Node& node(uint32_t i) const { return nodes_[i]; }
  /// What ends at a node.
  std::span<const Item> items(uint32_t i) const {
    return std::span(items_).subspan(nodes_[i].items, nodes_[i + 1].items - nodes_[i].items);
  }
  /// What ends at the nodes from i up to `end`.
  std::span<const Item> items(uint32_t i, uint32_t end) const {
    return std::span(items_).subspan(nodes_[i].items, nodes_[end].items - nodes_[i].items);
  }
  size_t max_depth() const { return max_depth_; }
  /// Length of the longest prefix of `bytes` at which an item ends; 0: none.
  size_t LongestPrefix(std::string_view bytes) const;
  size_t MemoryBytes() const { return nodes_.capacity() * sizeof(Node) + items_.capacity() * sizeof(Item); }

  /// Visits every node that `step(state, byte)` finds a way to, from `start`, where `alive(state)`; `visit(state,
  /// items)` when items end there.
  template <class State, class Step, class Alive, class Visit>
  void Walk(State start, const Step& step, const Alive& alive, const Visit& visit) const {
    std::vector<State> states(max_depth_ + 1, start);
    for (uint32_t i = 0; i < size();) {
      const Node& n = nodes_[i];
      const State next = step(states[n.depth - 1u], n.byte);
      if (!alive(next)) {
        i = n.end;
        continue;
      }
      states[n.depth] = next;
      if (const auto ending = items(i); !ending.empty()) visit(next, ending);
      i++;
    }
  }

 private:
  std::vector<Node> nodes_;  ///< One more than there are.
  std::vector<Item> items_;
  size_t max_depth_ = 0;
  std::array<uint32_t, 257> roots_{};  ///< The first node of depth 1 whose byte is at least the index.
};

}  // namespace bonsai::grammar
