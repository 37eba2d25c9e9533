#include "grammar/analysis.h"

#include <algorithm>

namespace bonsai::grammar {
namespace {

using Kind = Expr::Kind;

constexpr uint64_t kHuge = uint64_t{1} << 40;

uint64_t Times(uint64_t a, uint64_t b) { return a != 0 && b > kHuge / a ? kHuge : a * b; }

}  // namespace

Analysis::Analysis(const Grammar& grammar)
    : g_(grammar),
      nullable_(g_.size()),
      facts_(g_.size()),
      first_(g_.size()),
      index_(g_.size()),
      low_(g_.size()),
      on_stack_(g_.size()) {
  FindNullable();
  for (ExprId e = 0; e < g_.size(); e++) {
    if (index_[e] == 0) Visit(e);
  }
}

size_t Analysis::Children(ExprId id) const {
  const Expr& e = g_.expr(id);
  switch (e.kind) {
    case Kind::kSequence:
    case Kind::kChoice:
      return e.size;
    case Kind::kRepeat:
    case Kind::kReference:
      return 1;
    default:
      return 0;
  }
}

ExprId Analysis::Child(ExprId id, size_t i) const {
  const Expr& e = g_.expr(id);
  if (e.kind == Kind::kRepeat) return e.first;
  if (e.kind == Kind::kReference) return g_.rule_body(e.first);
  return g_.parts(e)[i];
}

/// Each expression waits for as many children as it needs, and tells its parents when it is nullable.
void Analysis::FindNullable() {
  const size_t n = g_.size();
  std::vector<uint32_t> begin(n + 1), waits(n);
  for (ExprId e = 0; e < n; e++) {
    for (size_t i = 0; i < Children(e); i++) begin[Child(e, i) + 1]++;
  }
  for (size_t i = 0; i < n; i++) begin[i + 1] += begin[i];
  std::vector<ExprId> parents(begin[n]), todo;
  std::vector<uint32_t> at(begin.begin(), begin.end() - 1);
  for (ExprId e = 0; e < n; e++) {
    const Expr& x = g_.expr(e);
    for (size_t i = 0; i < Children(e); i++) parents[at[Child(e, i)]++] = e;
    waits[e] = x.kind == Kind::kSequence ? x.size : 1;
    const bool now = (x.kind == Kind::kLiteral && x.size == 0) || (x.kind == Kind::kRepeat && x.min == 0) ||
                     (x.kind == Kind::kAutomaton && g_.automaton(x).accepting[0] != 0) || waits[e] == 0;
    if (now) nullable_[e] = 1, todo.push_back(e);
  }
  while (!todo.empty()) {
    const ExprId e = todo.back();
    todo.pop_back();
    for (uint32_t i = begin[e]; i < begin[e + 1]; i++) {
      const ExprId parent = parents[i];
      if (nullable_[parent] != 0 || --waits[parent] > 0) continue;
      nullable_[parent] = 1;
      todo.push_back(parent);
    }
  }
}

/// Tarjan: components are finished after everything that they reach.
void Analysis::Visit(ExprId root) {
  struct Frame {
    ExprId e;
    size_t child;
  };
  std::vector<Frame> path;
  const auto enter = [&](ExprId e) {
    index_[e] = low_[e] = ++next_;
    on_stack_[e] = 1;
    stack_.push_back(e);
    path.push_back({e, 0});
  };
  enter(root);
  while (!path.empty()) {
    const ExprId e = path.back().e;
    if (path.back().child < Children(e)) {
      const ExprId child = Child(e, path.back().child++);
      if (index_[child] == 0) {
        enter(child);
      } else if (on_stack_[child] != 0) {
        low_[e] = std::min(low_[e], index_[child]);
      }
      continue;
    }
    path.pop_back();
    if (!path.empty()) low_[path.back().e] = std::min(low_[path.back().e], low_[e]);
    if (low_[e] != index_[e]) continue;
    const bool self = g_.expr(e).kind == Kind::kReference && Child(e, 0) == e;
    const bool recursive = stack_.back() != e || self;
    for (ExprId member = UINT32_MAX; member != e;) {
      member = stack_.back();
      stack_.pop_back();
      on_stack_[member] = 0;
      Finish(member, recursive);
    }
  }
}

void Analysis::Finish(ExprId id, bool recursive) {
  const Expr& e = g_.expr(id);
  Facts& f = facts_[id];
  ByteSet& first = first_[id];
  f.recursive = recursive;
  f.plain = !recursive;
  f.size = f.plain_size = 1;
  switch (e.kind) {
    case Kind::kLiteral:
      if (e.size > 0) first.set(static_cast<uint8_t>(g_.literal(e)[0]));
      f.size = e.size;
      break;
    case Kind::kBytes:
      first = g_.bytes(e);
      break;
    case Kind::kChars: {
      const auto sequences = Utf8Sequences(g_.chars(e));
      for (const Utf8Sequence& s : sequences) {
        for (uint32_t b = s.bytes[0].first; b <= s.bytes[0].last; b++) first.set(b);
        f.size += s.length - 1u;
      }
      break;
    }
    case Kind::kAutomaton: {
      const Automaton& a = g_.automaton(e);
      for (const auto& edge : a.EdgesOf(0)) {
        for (uint32_t b = edge.first; b <= edge.last; b++) first.set(b);
      }
      f.size = a.states();
      break;
    }
    default:
      break;
  }
  f.plain_size = f.size;
  const uint64_t times = e.kind == Kind::kRepeat ? (e.max == kUnbounded ? uint64_t{e.min} + 1 : e.max) : 1;
  bool open = true;  // whether what comes may still be the first byte
  for (size_t i = 0; i < Children(id); i++) {
    const ExprId child = Child(id, i);
    const Facts& c = facts_[child];
    const bool inlined = e.kind != Kind::kReference || Inlined(child);
    f.size = std::min(kHuge, f.size + (inlined ? Times(c.size, times) : 1));
    f.plain_size = std::min(kHuge, f.plain_size + Times(c.plain_size, times));
    if (inlined) f.height = std::max(f.height, c.height);
    f.plain_height = std::max(f.plain_height, c.plain_height);
    f.plain = f.plain && c.plain;
    if (open) first |= first_[child];
    open = open && (e.kind != Kind::kSequence || nullable(child));
  }
  f.height++;
  f.plain_height++;
}

bool Analysis::wide(ExprId e) const {
  constexpr size_t kManyBytes = 16;  // [0-9a-f], and more
  const Facts& f = facts_[e];
  return f.plain && f.plain_size <= 4096 && f.plain_height <= 2 * kInlineHeight && first_[e].count() >= kManyBytes;
}

}  // namespace bonsai::grammar
