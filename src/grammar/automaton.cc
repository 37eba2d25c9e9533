#include "grammar/automaton.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "text/hash.h"

namespace bonsai::grammar {
namespace {

using Edge = Automaton::Edge;
using Call = Automaton::Call;

/// Appends [first, last] → target, merged with the edge before it where that goes on.
void AddEdge(std::vector<Edge>& edges, uint32_t first, uint32_t last, uint32_t target) {
  if (!edges.empty() && edges.back().target == target && edges.back().last + 1u == first) {
    edges.back().last = static_cast<uint8_t>(last);
  } else {
    edges.push_back({static_cast<uint8_t>(first), static_cast<uint8_t>(last), target});
  }
}

template <class T>
std::string_view AsBytes(const std::vector<T>& v) {
  return {reinterpret_cast<const char*>(v.data()), v.size() * sizeof(T)};
}

struct HashWords {
  size_t operator()(const std::vector<uint32_t>& v) const { return text::HashBytes(AsBytes(v), 0); }
};

/// The arcs of an Nfa by the state that they leave.
template <class Arc>
class ArcsByState {
 public:
  ArcsByState(std::span<const Arc> arcs, uint32_t states) : begin_(states + 1), sorted_(arcs.size()) {
    for (const Arc& arc : arcs) begin_[arc.from + 1]++;
    for (uint32_t s = 0; s < states; s++) begin_[s + 1] += begin_[s];
    std::vector<uint32_t> at(begin_.begin(), begin_.end() - 1);
    for (const Arc& arc : arcs) sorted_[at[arc.from]++] = arc;
  }
  std::span<const Arc> Of(uint32_t state) const {
    return std::span(sorted_).subspan(begin_[state], begin_[state + 1] - begin_[state]);
  }

 private:
  std::vector<uint32_t> begin_;
  std::vector<Arc> sorted_;
};

class Determinizer {
 public:
  Determinizer(const Nfa& nfa, const Limits& limits)
      : limits_(limits),
        bytes_(nfa.bytes(), nfa.states()),
        calls_(nfa.calls(), nfa.states()),
        empty_(nfa.empty(), nfa.states()),
        mark_(nfa.states()) {}

  Result<Automaton> Run() {
    Intern({Nfa::kStart});
    for (uint32_t s = 0; s < subsets_.size(); s++) {
      Expand(s);
      if (subsets_.size() > limits_.dfa_states || work_ > limits_.subset_work) {
        return Error(ErrorCode::kInvalidArgument,
                     "an expression needs more than {} states to be read without looking back (found {} in {} steps): "
                     "write it with smaller counts or less overlap",
                     limits_.dfa_states, subsets_.size(), work_);
      }
    }
    return std::move(out_);
  }

 private:
  /// The state for a set of Nfa states: closed over empty arcs, less those that only have such.
  uint32_t Intern(const std::vector<uint32_t>& seeds) {
    epoch_++;
    std::vector<uint32_t> subset, todo;
    const auto visit = [&](uint32_t s) {
      if (mark_[s] != epoch_) mark_[s] = epoch_, todo.push_back(s);
    };
    for (const uint32_t s : seeds) visit(s);
    while (!todo.empty()) {
      const uint32_t s = todo.back();
      todo.pop_back();
      work_++;
      if (s <= Nfa::kAccept || !bytes_.Of(s).empty() || !calls_.Of(s).empty()) subset.push_back(s);
      for (const auto& arc : empty_.Of(s)) visit(arc.to);
    }
    std::sort(subset.begin(), subset.end());
    const auto [it, is_new] = ids_.try_emplace(std::move(subset), static_cast<uint32_t>(subsets_.size()));
    if (is_new) subsets_.push_back(&it->first);
    return it->second;
  }

  void Expand(uint32_t state) {
    const std::vector<uint32_t>& subset = *subsets_[state];
    std::array<bool, 257> cuts{};
    for (const uint32_t s : subset) {
      for (const auto& arc : bytes_.Of(s)) cuts[arc.first] = cuts[arc.last + 1u] = true;
    }
    std::array<uint32_t, 257> piece{}, begin{};
    uint32_t pieces = 0;
    for (uint32_t b = 0; b < 256; b++) {
      if (cuts[b]) begin[++pieces] = b;
      piece[b] = pieces;
    }
    std::vector<std::vector<uint32_t>> targets(pieces + 1);
    for (const uint32_t s : subset) {
      for (const auto& arc : bytes_.Of(s)) {
        for (uint32_t p = piece[arc.first]; p <= piece[arc.last]; p++) targets[p].push_back(arc.to);
        work_ += piece[arc.last] - piece[arc.first];
      }
      if (work_ > limits_.subset_work) break;  // Run refuses; what comes out is not used
    }
    std::vector<Edge> edges;
    for (uint32_t p = 0; p <= pieces; p++) {
      const uint32_t last = p < pieces ? begin[p + 1] - 1 : 255;
      if (!targets[p].empty()) AddEdge(edges, begin[p], last, Intern(targets[p]));
    }
    out_.Append(edges, ExpandCalls(subset), std::binary_search(subset.begin(), subset.end(), Nfa::kAccept));
  }

  std::vector<Call> ExpandCalls(const std::vector<uint32_t>& subset) {
    std::vector<std::pair<uint32_t, uint32_t>> all;  // callee, target
    for (const uint32_t s : subset) {
      for (const auto& arc : calls_.Of(s)) all.emplace_back(arc.callee, arc.to);
    }
    std::sort(all.begin(), all.end());
    std::vector<Call> calls;
    for (size_t i = 0; i < all.size();) {
      std::vector<uint32_t> targets;
      const uint32_t callee = all[i].first;
      for (; i < all.size() && all[i].first == callee; i++) targets.push_back(all[i].second);
      calls.push_back({callee, Intern(targets)});
    }
    return calls;
  }

  const Limits& limits_;
  ArcsByState<Nfa::ByteArc> bytes_;
  ArcsByState<Nfa::CallArc> calls_;
  ArcsByState<Nfa::EmptyArc> empty_;
  std::vector<uint32_t> mark_;
  uint32_t epoch_ = 0;
  uint64_t work_ = 0;
  std::unordered_map<std::vector<uint32_t>, uint32_t, HashWords> ids_;
  std::vector<const std::vector<uint32_t>*> subsets_;
  Automaton out_;
};

/// Calls visit(first, last, a's target, b's target) for the pieces of both states' edges; kNoState where one has none.
template <class Visit>
void ForEachPiece(std::span<const Edge> a, std::span<const Edge> b, const Visit& visit) {
  size_t i = 0, j = 0;
  for (uint32_t at = 0; at < 256;) {
    while (i < a.size() && a[i].last < at) i++;
    while (j < b.size() && b[j].last < at) j++;
    uint32_t last = 255, ta = kNoState, tb = kNoState;
    const auto cut = [&](std::span<const Edge> edges, size_t k, uint32_t& target) {
      if (k >= edges.size()) return;
      if (edges[k].first > at) {
        last = std::min<uint32_t>(last, edges[k].first - 1u);
      } else {
        target = edges[k].target;
        last = std::min<uint32_t>(last, edges[k].last);
      }
    };
    cut(a, i, ta);
    cut(b, j, tb);
    visit(at, last, ta, tb);
    at = last + 1;
  }
}

bool Wanted(SetOp op, bool in_a, bool in_b) {
  switch (op) {
    case SetOp::kUnion:
      return in_a || in_b;
    case SetOp::kIntersection:
      return in_a && in_b;
    case SetOp::kDifference:
      return in_a && !in_b;
  }
  return false;
}

/// Pairs of states; `b` may be kNoState, and so may `a` in a union.
class Pairs {
 public:
  Pairs(const Automaton& a, const Automaton& b, SetOp op) : a_(a), b_(b), op_(op) { Intern(0, 0); }

  size_t size() const { return pairs_.size(); }
  bool Accepts(size_t i) const {
    const auto [a, b] = pairs_[i];
    return Wanted(op_, a != kNoState && a_.accepting[a] != 0, b != kNoState && b_.accepting[b] != 0);
  }
  std::vector<Edge> Expand(size_t i) {
    const auto [a, b] = pairs_[i];
    std::vector<Edge> edges;
    ForEachPiece(a == kNoState ? std::span<const Edge>() : a_.EdgesOf(a),
                 b == kNoState ? std::span<const Edge>() : b_.EdgesOf(b),
                 [&](uint32_t first, uint32_t last, uint32_t ta, uint32_t tb) {
                   const bool dead_a = ta == kNoState, dead_b = tb == kNoState;
                   const bool dead = op_ == SetOp::kUnion          ? dead_a && dead_b
                                     : op_ == SetOp::kIntersection ? dead_a || dead_b
                                                                   : dead_a;
                   if (!dead) AddEdge(edges, first, last, Intern(ta, tb));
                 });
    return edges;
  }

 private:
  uint32_t Intern(uint32_t a, uint32_t b) {
    const auto [it, is_new] = ids_.try_emplace(uint64_t{a} << 32 | b, static_cast<uint32_t>(pairs_.size()));
    if (is_new) pairs_.emplace_back(a, b);
    return it->second;
  }
  const Automaton& a_;
  const Automaton& b_;
  SetOp op_;
  std::unordered_map<uint64_t, uint32_t> ids_;
  std::vector<std::pair<uint32_t, uint32_t>> pairs_;
};

ErrorValue TooManyPairs(const Limits& limits) {
  return Error(ErrorCode::kInvalidArgument, "combining two expressions needs more than {} states", limits.dfa_states);
}

}  // namespace

uint32_t Automaton::Next(uint32_t state, uint8_t byte) const {
  const auto all = EdgesOf(state);
  const auto it = std::lower_bound(all.begin(), all.end(), byte, [](const Edge& e, uint8_t b) { return e.last < b; });
  return it != all.end() && it->first <= byte ? it->target : kNoState;
}

bool Automaton::Matches(std::string_view bytes) const {
  uint32_t state = 0;
  for (const char c : bytes) {
    if (state == kNoState || state >= states()) return false;
    state = Next(state, static_cast<uint8_t>(c));
  }
  return state < states() && accepting[state] != 0;
}

bool Automaton::empty() const {
  const Automaton trimmed = Trim(*this);
  return trimmed.edges.empty() && trimmed.accepting[0] == 0;
}

uint32_t Automaton::Append(std::span<const Edge> state_edges, std::span<const Call> state_calls, bool accepts) {
  edges.insert(edges.end(), state_edges.begin(), state_edges.end());
  calls.insert(calls.end(), state_calls.begin(), state_calls.end());
  edge_begin.push_back(static_cast<uint32_t>(edges.size()));
  call_begin.push_back(static_cast<uint32_t>(calls.size()));
  accepting.push_back(accepts ? 1 : 0);
  return states() - 1;
}

std::string Automaton::Key() const {
  std::string key;
  const auto add = [&](uint32_t word) { key.append(reinterpret_cast<const char*>(&word), sizeof(word)); };
  add(boundary);
  for (uint32_t s = 0; s < states(); s++) {
    add(accepting[s]);
    add(edge_begin[s + 1] - edge_begin[s]);
    for (const Edge& e : EdgesOf(s)) add(uint32_t{e.first} << 8 | e.last), add(e.target);
    add(call_begin[s + 1] - call_begin[s]);
    for (const Call& c : CallsOf(s)) add(c.callee), add(c.target);
  }
  return key;
}

Result<Automaton> Determinize(const Nfa& nfa, const Limits& limits) {
  if (nfa.states() > limits.nfa_states) {
    return Error(ErrorCode::kInvalidArgument, "the grammar unrolls to more than {} states: write smaller counts",
                 limits.nfa_states);
  }
  return Determinizer(nfa, limits).Run();
}

Automaton Trim(const Automaton& automaton) {
  const uint32_t n = automaton.states();
  std::vector<std::vector<uint32_t>> sources(n);
  std::vector<uint8_t> alive(n);
  std::vector<uint32_t> todo;
  for (uint32_t s = 0; s < n; s++) {
    for (const Edge& e : automaton.EdgesOf(s)) sources[e.target].push_back(s);
    if (automaton.accepting[s] != 0) alive[s] = 1, todo.push_back(s);
  }
  while (!todo.empty()) {
    const uint32_t s = todo.back();
    todo.pop_back();
    for (const uint32_t from : sources[s]) {
      if (alive[from] == 0) alive[from] = 1, todo.push_back(from);
    }
  }
  std::vector<uint32_t> ids(n, kNoState), order;
  const auto number = [&](uint32_t s) {
    if (ids[s] == kNoState) ids[s] = static_cast<uint32_t>(order.size()), order.push_back(s);
    return ids[s];
  };
  Automaton out;
  if (n == 0) {
    out.Append({}, {}, false);
    return out;
  }
  number(0);
  for (size_t i = 0; i < order.size(); i++) {
    std::vector<Edge> edges;
    for (const Edge& e : automaton.EdgesOf(order[i])) {
      if (alive[e.target] != 0) AddEdge(edges, e.first, e.last, number(e.target));
    }
    out.Append(edges, {}, automaton.accepting[order[i]] != 0);
  }
  return out;
}

Automaton Minimize(const Automaton& automaton) {
  constexpr uint64_t kMostSteps = 1 << 24;
  Automaton in = Trim(automaton);
  std::vector<uint32_t> group(in.accepting.begin(), in.accepting.end());
  uint64_t steps = 0;
  for (size_t groups = 0;;) {
    std::unordered_map<std::vector<uint32_t>, uint32_t, HashWords> ids;
    std::vector<uint32_t> next(in.states());
    for (uint32_t s = 0; s < in.states(); s++) {
      std::vector<Edge> edges;
      for (const Edge& e : in.EdgesOf(s)) AddEdge(edges, e.first, e.last, group[e.target]);
      std::vector<uint32_t> signature{group[s]};
      for (const Edge& e : edges) signature.insert(signature.end(), {e.first, e.last, e.target});
      steps += signature.size();
      next[s] = ids.try_emplace(std::move(signature), static_cast<uint32_t>(ids.size())).first->second;
    }
    group = std::move(next);
    if (ids.size() == groups) break;
    groups = ids.size();
    if (steps > kMostSteps) return in;
  }
  // The first state of each group stands for it; the start is state 0 of group 0.
  Automaton out;
  for (uint32_t s = 0; s < in.states(); s++) {
    if (group[s] != out.states()) continue;
    std::vector<Edge> edges;
    for (const Edge& e : in.EdgesOf(s)) AddEdge(edges, e.first, e.last, group[e.target]);
    out.Append(edges, {}, in.accepting[s] != 0);
  }
  return Trim(out);
}

Result<Automaton> Product(const Automaton& a, const Automaton& b, SetOp op, const Limits& limits) {
  Pairs pairs(a, b, op);
  Automaton out;
  for (size_t i = 0; i < pairs.size(); i++) {
    if (pairs.size() > limits.dfa_states) return TooManyPairs(limits);
    const std::vector<Edge> edges = pairs.Expand(i);
    out.Append(edges, {}, pairs.Accepts(i));
  }
  return Trim(out);
}

Automaton Complement(const Automaton& automaton) {
  const uint32_t sink = automaton.states();
  Automaton out;
  for (uint32_t s = 0; s < sink; s++) {
    std::vector<Edge> edges;
    ForEachPiece(automaton.EdgesOf(s), {}, [&](uint32_t first, uint32_t last, uint32_t target, uint32_t) {
      AddEdge(edges, first, last, target == kNoState ? sink : target);
    });
    out.Append(edges, {}, automaton.accepting[s] == 0);
  }
  const Edge all{0, 255, sink};
  out.Append({&all, 1}, {}, true);
  return Trim(out);
}

Result<bool> Disjoint(const Automaton& a, const Automaton& b, const Limits& limits) {
  Pairs pairs(a, b, SetOp::kIntersection);
  for (size_t i = 0; i < pairs.size(); i++) {
    if (pairs.Accepts(i)) return false;
    if (pairs.size() > limits.dfa_states) return TooManyPairs(limits);
    static_cast<void>(pairs.Expand(i));
  }
  return true;
}

}  // namespace bonsai::grammar
