#include "grammar/stacks.h"

#include <algorithm>
#include <utility>

#include "text/hash.h"

namespace bonsai::grammar {
namespace {

uint64_t HashOf(uint64_t a, uint64_t b) {
  return text::Mix(text::Mix(a ^ 0x2545f4914f6cdd1du, text::kHashOdd) ^ b, text::kHashOdd);
}

/// Whether a call that returns here could as well return to the caller: nothing is left to do but that.
bool OnlyEnds(const Automaton& a, uint32_t state) {
  return a.accepting[state] != 0 && a.EdgesOf(state).empty() && a.CallsOf(state).empty();
}

}  // namespace

void HashIndex::Grow() {
  std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots_.size() * 2));
  for (const Slot& slot : old) {
    if (slot.value == kNone) continue;
    size_t i = slot.low & (slots_.size() - 1);
    while (slots_[i].value != kNone) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = slot;
  }
}

Stacks::Stacks(const Program& program, const Limits& limits) : program_(program), limits_(limits) {
  sets_ = {{0, 0, false}, {0, 0, false}};
  epoch_++;
  found_.clear();
  const bool empty_language =
      program.automaton(program.root()).EdgesOf(0).empty() && program.automaton(program.root()).CallsOf(0).empty();
  if (!empty_language) Push(Intern(program.root(), 0, 0, kNoNode));
  start_ = Close({});
  if (!program.accepts_empty()) return;
  found_.assign(NodesOf(start_).begin(), NodesOf(start_).end());
  start_ = InternSet(true);
}

Stacks::NodeId Stacks::Intern(uint32_t automaton, uint32_t state, uint32_t count, NodeId parent) {
  const uint64_t hash = HashOf(uint64_t{automaton} << 32 | state, uint64_t{count} << 32 | parent);
  uint32_t* slot = node_index_.Find(hash, [&](uint32_t id) {
    const Node& n = nodes_[id];
    return n.automaton == automaton && n.state == state && n.count == count && n.parent == parent;
  });
  if (*slot != HashIndex::kNone) return *slot;
  const uint64_t rest = parent == kNoNode ? 0 : nodes_[parent].distance;
  const uint64_t distance = std::min(Program::kFar, rest + program_.Distance(automaton, state, count));
  nodes_.push_back({automaton, state, count, parent, distance});
  mark_.push_back(0);
  return *slot = static_cast<NodeId>(nodes_.size() - 1);
}

Stacks::SetId Stacks::InternSet(bool can_end) {
  std::sort(found_.begin(), found_.end());
  if (found_.empty() && !can_end) return kDead;
  uint64_t hash = can_end ? 1 : 0;
  for (const NodeId id : found_) hash = HashOf(hash, id);
  uint32_t* slot = set_index_.Find(hash, [&](uint32_t id) {
    const auto nodes = NodesOf(id);
    return sets_[id].can_end == can_end && std::equal(nodes.begin(), nodes.end(), found_.begin(), found_.end());
  });
  if (*slot != HashIndex::kNone) return *slot;
  sets_.push_back({static_cast<uint32_t>(members_.size()), static_cast<uint32_t>(found_.size()), can_end});
  members_.insert(members_.end(), found_.begin(), found_.end());
  return *slot = static_cast<SetId>(sets_.size() - 1);
}

void Stacks::Push(NodeId node) {
  if (node == kNoNode) {
    ends_ = true;
  } else if (mark_[node] != epoch_) {
    mark_[node] = epoch_;
    todo_.push_back(node);
  }
}

void Stacks::PushCalls(uint32_t automaton, uint32_t state, NodeId parent) {
  const Automaton& a = program_.automaton(automaton);
  for (const auto& call : a.CallsOf(state)) {
    const NodeId back = OnlyEnds(a, call.target) ? parent : Intern(automaton, call.target, 0, parent);
    Push(Intern(call.callee, 0, 0, back));
  }
}

/// Of these and of what has been pushed.
Stacks::SetId Stacks::Close(std::span<const NodeId> nodes) {
  if (!nodes.empty()) epoch_++;
  for (const NodeId id : nodes) Push(id);
  found_.clear();
  size_t seen = 0;
  bool too_many = false;
  while (!todo_.empty()) {
    const NodeId id = todo_.back();
    todo_.pop_back();
    const Node node = nodes_[id];  // a copy: more may be added
    const Automaton& a = program_.automaton(node.automaton);
    const bool full = a.counted() && node.state == a.boundary && node.count >= a.count_max;
    if (!a.EdgesOf(node.state).empty() && !full) found_.push_back(id);
    if (a.accepting[node.state] != 0 && (!a.counted() || node.count >= a.count_min)) Push(node.parent);
    PushCalls(node.automaton, node.state, node.parent);
    too_many = too_many || found_.size() > limits_.stacks || ++seen > size_t{64} * limits_.stacks ||
               nodes_.size() > 2 * size_t{limits_.nodes};
    if (too_many) todo_.clear();
  }
  const bool ends = std::exchange(ends_, false);
  return too_many ? kTooMany : InternSet(ends);
}

Stacks::SetId Stacks::Alone(NodeId node) {
  found_ = {node};
  return InternSet(false);
}

Stacks::NodeId Stacks::Sibling(NodeId id, uint32_t state, uint32_t count) {
  const Node node = nodes_[id];
  return Intern(node.automaton, state, count, node.parent);
}

Stacks::SetId Stacks::Step(SetId set, uint8_t byte) {
  if (set <= kTooMany) return set;
  const uint64_t hash = HashOf(set, byte);
  uint32_t* slot = memo_index_.Find(hash, [&](uint32_t i) { return memo_[i].from == set && memo_[i].byte == byte; });
  if (*slot != HashIndex::kNone) return memo_[*slot].to;
  *slot = static_cast<uint32_t>(memo_.size());
  memo_.push_back({set, byte, kDead});
  const size_t index = memo_.size() - 1;
  return memo_[index].to = StepAnew(set, byte);
}

Stacks::SetId Stacks::StepAnew(SetId set, uint8_t byte) {
  epoch_++;
  for (uint32_t i = 0; i < sets_[set].size; i++) {
    const Node node = nodes_[members_[sets_[set].begin + i]];
    const Automaton& a = program_.automaton(node.automaton);
    const uint32_t next = a.Next(node.state, byte);
    if (next == kNoState) continue;
    // With no largest count, those from the smallest on are all the same.
    const uint32_t most = a.count_max == kUnbounded ? a.count_min : a.count_max;
    const uint32_t count = next == a.boundary && node.count < most ? node.count + 1 : node.count;
    Push(Intern(node.automaton, next, count, node.parent));
  }
  return Close({});
}

ByteSet Stacks::FirstBytes(SetId set) const {
  ByteSet bytes;
  for (const NodeId id : NodesOf(set)) {
    for (const auto& e : program_.automaton(nodes_[id].automaton).EdgesOf(nodes_[id].state)) {
      for (uint32_t b = e.first; b <= e.last; b++) bytes.set(b);
    }
  }
  return bytes;
}

uint64_t Stacks::Distance(SetId set) const {
  if (can_end(set)) return 0;
  uint64_t distance = Program::kFar;
  for (const NodeId id : NodesOf(set)) distance = std::min(distance, nodes_[id].distance);
  return distance;
}

void Stacks::AppendShortest(NodeId id, size_t most, std::string& out) const {
  for (; id != kNoNode && out.size() < most; id = nodes_[id].parent) {
    program_.AppendShortest(nodes_[id].automaton, nodes_[id].state, nodes_[id].count, most, out);
  }
}

Stacks::SetId Stacks::Copy(const Stacks& other, SetId set) {
  if (set <= kTooMany) return set;
  std::vector<NodeId> copies;
  for (NodeId id : other.NodesOf(set)) {
    std::vector<NodeId> path;
    for (; id != kNoNode; id = other.nodes_[id].parent) path.push_back(id);
    NodeId copy = kNoNode;
    for (; !path.empty(); path.pop_back()) {
      const Node& n = other.nodes_[path.back()];
      copy = Intern(n.automaton, n.state, n.count, copy);
    }
    copies.push_back(copy);
  }
  found_ = std::move(copies);
  return InternSet(other.can_end(set));
}

}  // namespace bonsai::grammar
