// The parses that are possible at one place of the output: sets of stacks of a program's states, each set and each
// stack stored once, so that equal ones are equal numbers. Internal to grammar/.
//
// A node is the top of a stack: a state, and the node to return to when its automaton ends. A set holds the nodes that
// can read a byte, closed over calls and returns; whether the text may end here is part of it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "grammar/char_set.h"
#include "grammar/program.h"

namespace bonsai::grammar {

/// Numbers → their position in somebody's list, by open addressing.
class HashIndex {
 public:
  /// The slot of the first number with this hash for which `same(number)`, or of none (then *slot is kNone: put the new
  /// one there). Valid until the next call.
  template <class Same>
  uint32_t* Find(uint64_t hash, const Same& same) {
    if (used_ * 2 >= slots_.size()) Grow();
    const auto tag = static_cast<uint32_t>(hash >> 32);
    size_t i = hash & (slots_.size() - 1);
    while (slots_[i].value != kNone && (slots_[i].tag != tag || !same(slots_[i].value)))
      i = (i + 1) & (slots_.size() - 1);
    if (slots_[i].value == kNone) slots_[i].tag = tag, slots_[i].low = static_cast<uint32_t>(hash), used_++;
    return &slots_[i].value;
  }
  static constexpr uint32_t kNone = UINT32_MAX;

 private:
  struct Slot {
    uint32_t tag = 0, low = 0, value = kNone;
  };
  void Grow();
  std::vector<Slot> slots_ = std::vector<Slot>(64);
  size_t used_ = 0;
};

/// Not thread safe. Remembers everything it has seen: its owner starts a new one when nodes() is too many.
class Stacks {
 public:
  using NodeId = uint32_t;
  using SetId = uint32_t;
  static constexpr NodeId kNoNode = UINT32_MAX;
  static constexpr SetId kDead = 0;     ///< Nothing can follow, and it may not end.
  static constexpr SetId kTooMany = 1;  ///< More stacks than the limit: as dead.

  struct Node {
    uint32_t automaton, state, count;
    NodeId parent;
    uint64_t distance;  ///< Bytes of the shortest way to the end of everything.
  };

  /// `program` outlives it.
  Stacks(const Program& program, const Limits& limits);

  /// Before the first byte.
  SetId start() const { return start_; }
  SetId Step(SetId set, uint8_t byte);
  /// Behind the end of the automaton of `node`.
  SetId Return(NodeId node) { return Close({nodes_[node].parent}); }
  /// The node alone, without what it calls and returns to before it reads.
  SetId Alone(NodeId node);
  /// The node in its automaton's `state` instead, having ended `count` bodies.
  NodeId Sibling(NodeId node, uint32_t state, uint32_t count);

  std::span<const NodeId> NodesOf(SetId set) const {
    return std::span(members_).subspan(sets_[set].begin, sets_[set].size);
  }
  bool can_end(SetId set) const { return sets_[set].can_end; }
  bool alive(SetId set) const { return set > kTooMany; }
  ByteSet FirstBytes(SetId set) const;
  /// Bytes of the shortest way to the end; Program::kFar when there is none.
  uint64_t Distance(SetId set) const;
  const Node& node(NodeId id) const { return nodes_[id]; }
  /// Appends the shortest way from a node to the end (Program::AppendShortest), at most until `out` has `most` bytes.
  void AppendShortest(NodeId node, size_t most, std::string& out) const;

  size_t nodes() const { return nodes_.size() + members_.size() / 8 + memo_.size() / 2; }
  /// The set of `other` that is equal to its `set`.
  SetId Copy(const Stacks& other, SetId set);

 private:
  struct Set {
    uint32_t begin, size;
    bool can_end;
  };
  struct Memo {
    SetId from;
    uint32_t byte;
    SetId to;
  };
  NodeId Intern(uint32_t automaton, uint32_t state, uint32_t count, NodeId parent);
  SetId InternSet(bool can_end);
  SetId Close(std::span<const NodeId> nodes);
  SetId Close(std::initializer_list<NodeId> nodes) { return Close(std::span(nodes.begin(), nodes.size())); }
  void Push(NodeId node);
  void PushCalls(uint32_t automaton, uint32_t state, NodeId parent);
  SetId StepAnew(SetId set, uint8_t byte);

  const Program& program_;
  Limits limits_;
  std::vector<Node> nodes_;
  std::vector<NodeId> members_;
  std::vector<Set> sets_;
  std::vector<Memo> memo_;
  HashIndex node_index_, set_index_, memo_index_;
  SetId start_ = kDead;
  // While a set is closed.
  std::vector<uint32_t> mark_;  ///< By node: the closure that saw it last.
  uint32_t epoch_ = 0;
  std::vector<NodeId> todo_, found_;
  bool ends_ = false;
};

}  // namespace bonsai::grammar
