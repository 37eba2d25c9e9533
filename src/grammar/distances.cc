#include "grammar/distances.h"

#include <algorithm>
#include <memory>

namespace bonsai::grammar {

namespace {
/// Two ways of one length are told apart by so many bytes at most: a tie in longer ones is settled by the order of
/// calls, which may cost a plan a token, and nothing else.
constexpr size_t kMostCompared = 4096;
}  // namespace

void Distances::Run() {
  Lists();
  Settle();
  DropDeadEnds();
  ChooseSteps();
}

void Distances::Lists() {
  uint32_t states = 0;
  for (auto& part : p_.automata_) {
    base_.push_back(states);
    states += part.automaton->states();
    part.distance.assign(part.automaton->states(), Program::kFar);
    part.step.assign(part.automaton->states(), {});
  }
  sources_.resize(states);
  callers_.resize(p_.automata_.size());
  for (uint32_t a = 0; a < p_.automata_.size(); a++) {
    const Automaton& automaton = *p_.automata_[a].automaton;
    for (uint32_t s = 0; s < automaton.states(); s++) {
      for (const auto& edge : automaton.EdgesOf(s)) sources_[Global(a, edge.target)].push_back({a, s});
      for (const auto& call : automaton.CallsOf(s)) {
        sources_[Global(a, call.target)].push_back({a, s, call.callee, call.target});
        callers_[call.callee].push_back({a, s, call.callee, call.target});
      }
      if (automaton.accepting[s] != 0) queue_.push({0, {a, s}});
    }
  }
}

void Distances::Relax(const Source& source, uint64_t distance) {
  if (distance < p_.automata_[source.automaton].distance[source.state]) {
    queue_.push({distance, {source.automaton, source.state}});
  }
}

void Distances::Settle() {
  while (!queue_.empty()) {
    const auto [distance, place] = queue_.top();
    const auto [a, s] = place;
    queue_.pop();
    Program::Part& part = p_.automata_[a];
    if (distance >= part.distance[s]) continue;
    part.distance[s] = distance;
    for (const Source& source : sources_[Global(a, s)]) {
      const uint64_t step = source.callee == kNoState ? 1 : p_.Distance(source.callee, 0, 0);
      if (step < Program::kFar) Relax(source, step + distance);
    }
    if (s != 0) continue;
    const uint64_t whole = p_.Distance(a, 0, 0);
    for (const Source& source : callers_[a]) {
      const uint64_t rest = p_.automata_[source.automaton].distance[source.target];
      if (rest < Program::kFar) Relax(source, whole + rest);
    }
  }
}

void Distances::DropDeadEnds() {
  for (auto& part : p_.automata_) {
    const Automaton& in = *part.automaton;
    const auto dead = [&](uint32_t s) { return part.distance[s] >= Program::kFar; };
    const auto dead_call = [&](const Automaton::Call& c) {
      return dead(c.target) || p_.automata_[c.callee].distance[0] >= Program::kFar;
    };
    const bool any = std::any_of(in.edges.begin(), in.edges.end(), [&](const auto& e) { return dead(e.target); }) ||
                     std::any_of(in.calls.begin(), in.calls.end(), dead_call);
    if (!any) continue;
    Automaton out;
    for (uint32_t s = 0; s < in.states(); s++) {
      std::vector<Automaton::Edge> edges;
      std::vector<Automaton::Call> calls;
      for (const auto& e : in.EdgesOf(s)) {
        if (!dead(e.target)) edges.push_back(e);
      }
      for (const auto& c : in.CallsOf(s)) {
        if (!dead_call(c)) calls.push_back(c);
      }
      out.Append(edges, calls, in.accepting[s] != 0);
    }
    out.boundary = in.boundary, out.count_min = in.count_min, out.count_max = in.count_max;
    part.automaton = std::make_shared<const Automaton>(std::move(out));
  }
}

/// Automata, those first that others call before they have read anything: of equally long ways these are chosen first.
std::vector<uint32_t> Distances::CallOrder() const {
  std::vector<uint32_t> rank(p_.automata_.size());
  std::vector<uint8_t> seen(p_.automata_.size());
  uint32_t next = 0;
  for (uint32_t root = 0; root < p_.automata_.size(); root++) {
    std::vector<std::pair<uint32_t, size_t>> path;
    if (seen[root] == 0) path.emplace_back(root, 0), seen[root] = 1;
    while (!path.empty()) {
      auto& [a, i] = path.back();
      const auto calls = p_.automata_[a].automaton->CallsOf(0);
      if (i == calls.size()) {
        rank[a] = next++;
        path.pop_back();
        continue;
      }
      const uint32_t callee = calls[i++].callee;
      if (seen[callee] == 0) seen[callee] = 1, path.emplace_back(callee, 0);
    }
  }
  return rank;
}

void Distances::ChooseSteps() {
  const std::vector<uint32_t> rank = CallOrder();
  struct Key {
    uint64_t distance;
    uint32_t rank, automaton, state;
  };
  std::vector<Key> keys;
  for (uint32_t a = 0; a < p_.automata_.size(); a++) {
    for (uint32_t s = 0; s < p_.automata_[a].distance.size(); s++) {
      const uint64_t d = p_.automata_[a].distance[s];
      // Of one automaton and distance: the start first, then others, which may call it and end there.
      if (d < Program::kFar) keys.push_back({d, s == 0 ? rank[a] : UINT32_MAX, a, s});
    }
  }
  std::sort(keys.begin(), keys.end(), [](const Key& x, const Key& y) {
    return x.distance != y.distance ? x.distance < y.distance : x.rank < y.rank;
  });
  for (const Key& key : keys) ChooseStep(key.automaton, key.state);
}

void Distances::ChooseStep(uint32_t a, uint32_t s) {
  Program::Part& part = p_.automata_[a];
  const Automaton& automaton = *part.automaton;
  const uint64_t distance = part.distance[s];
  if (distance == 0 && !(automaton.counted() && s == automaton.boundary)) return;
  Program::Step& best = part.step[s];
  // A boundary's way to the next one is the start's, which has the same edges.
  const uint64_t goal = automaton.counted() && s == automaton.boundary ? part.distance[0] : distance;
  for (const auto& edge : automaton.EdgesOf(s)) {
    if (part.distance[edge.target] + 1 != goal) continue;
    best = {edge.target, kNoState, edge.first};
    break;
  }
  std::string best_text, text;
  for (const auto& call : automaton.CallsOf(s)) {
    if (p_.Distance(call.callee, 0, 0) + part.distance[call.target] != distance) continue;
    const Program::Step step{call.target, call.callee, 0};
    if (best.target == kNoState) {
      best = step;
      continue;
    }
    const Program::Step before = best;
    best_text.clear(), text.clear();
    p_.AppendShortest(a, s, 0, kMostCompared, best_text);
    best = step;
    p_.AppendShortest(a, s, 0, kMostCompared, text);
    if (text >= best_text) best = before;
  }
}

uint64_t Program::Distance(uint32_t automaton, uint32_t state, uint32_t count) const {
  const Part& part = automata_[automaton];
  const Automaton& a = *part.automaton;
  if (!a.counted() || part.distance[state] >= kFar) return part.distance[state];
  const uint64_t done = uint64_t{count} + (state == a.boundary ? 0 : 1);
  const uint64_t missing = done >= a.count_min ? 0 : a.count_min - done;
  return part.distance[state] + missing * part.distance[0];
}

void Program::AppendShortest(uint32_t automaton, uint32_t state, uint32_t count, size_t most, std::string& out) const {
  const auto counted = [&](uint32_t index, uint32_t s, uint32_t done) {
    const Part& part = automata_[index];
    const Automaton& a = *part.automaton;
    while (out.size() < most && (s != a.boundary || done < a.count_min)) {
      const Step step = part.step[s];
      out += static_cast<char>(step.byte);
      s = step.target;
      if (s == a.boundary) done++;
    }
  };
  std::vector<std::pair<uint32_t, uint32_t>> todo{{automaton, state}};
  while (!todo.empty() && out.size() < most) {
    auto& [index, s] = todo.back();
    const Part& part = automata_[index];
    if (part.automaton->counted()) {
      counted(index, s, todo.size() == 1 ? count : 0);
      todo.pop_back();
      continue;
    }
    if (part.distance[s] == 0) {
      todo.pop_back();
      continue;
    }
    const Step step = part.step[s];
    s = step.target;
    if (step.callee == kNoState) {
      out += static_cast<char>(step.byte);
    } else {
      todo.emplace_back(step.callee, 0);
    }
  }
}

}  // namespace bonsai::grammar
