#include "grammar/program.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "grammar/analysis.h"
#include "grammar/distances.h"

namespace bonsai::grammar {

/// Builds the automata one after the other; building one asks for others (calls), which wait in `parts_`.
class Compiler {
 public:
  Compiler(const Grammar& grammar, const Analysis& analysis) : g_(grammar), analysis_(analysis) {}

  Result<std::shared_ptr<const Program>> Run(RuleId root) {
    AutomatonOfRule(root);
    for (uint32_t i = 0; i < pending_.size(); i++) {
      auto automaton = Build(i);
      if (!automaton) return automaton.error().WithPrefix("rule \"" + pending_[i].name + "\"");
      auto shared = std::make_shared<const Automaton>(std::move(*automaton));
      program_->automata_.push_back({std::move(shared), pending_[i].name, {}, {}});
    }
    program_->accepts_empty_ = analysis_.nullable(g_.rule_body(root));
    BONSAI_RETURN_IF_ERROR(RefuseLeftRecursion());
    Distances(*program_).Run();
    if (!program_->accepts_empty_ && program_->automata_[0].distance[0] >= Program::kFar) {
      return Error(ErrorCode::kInvalidArgument,
                   "no text of less than {} bytes matches the grammar: rule \"{}\" never ends", Program::kFar,
                   g_.rule_name(root));
    }
    return std::shared_ptr<const Program>(std::move(program_));
  }

  /// Everything of `expr` inlined.
  Result<Automaton> Plain(ExprId expr) {
    Nfa nfa;
    BONSAI_RETURN_IF_ERROR(Emit(nfa, expr, Nfa::kStart, Nfa::kAccept, true));
    BONSAI_ASSIGN(Automaton automaton, Determinize(nfa, g_.limits()));
    return Minimize(automaton);
  }

 private:
  struct Pending {
    std::string name;
    ExprId body;
    bool repeats = false;  ///< An automaton of its own for a repetition (Expr::Kind::kRepeat) over a large set.
    bool counts = false;
  };

  uint32_t AutomatonOfRule(RuleId rule) {
    const auto [it, is_new] = of_rule_.try_emplace(rule, static_cast<uint32_t>(pending_.size()));
    if (is_new) pending_.push_back({g_.rule_name(rule), g_.rule_body(rule)});
    return it->second;
  }
  uint32_t AutomatonOfExpr(ExprId expr, bool repeats, bool counts, const std::string& name) {
    const auto [it, is_new] = of_expr_.try_emplace(expr, static_cast<uint32_t>(pending_.size()));
    if (is_new) pending_.push_back({name, expr, repeats, counts});
    return it->second;
  }

  Result<Automaton> Build(uint32_t index) {
    const Pending pending = pending_[index];  // a copy: Emit adds to the vector
    name_ = pending.name;
    Automaton automaton;
    if (pending.counts) {
      BONSAI_ASSIGN(automaton, Counted(g_.expr(pending.body)));
    } else if (pending.repeats) {
      BONSAI_ASSIGN(automaton, Plain(pending.body));
    } else {
      Nfa nfa;
      const Expr& e = g_.expr(pending.body);
      // An automaton of its own for something that is repeated must not ask for itself again.
      BONSAI_RETURN_IF_ERROR(e.kind == Expr::Kind::kRepeat && of_expr_.count(pending.body) > 0
                                 ? Unroll(nfa, e, Nfa::kStart, Nfa::kAccept, false)
                                 : Emit(nfa, pending.body, Nfa::kStart, Nfa::kAccept, false));
      BONSAI_ASSIGN(automaton, Determinize(nfa, g_.limits()));
      built_ += nfa.states();
    }
    return WithoutEmpty(std::move(automaton));
  }

  /// The same strings but the empty one. Minimize may have made the start a state that is entered again.
  static Automaton WithoutEmpty(Automaton a) {
    if (a.accepting[0] == 0) return a;
    const bool entered = std::any_of(a.edges.begin(), a.edges.end(), [](const auto& e) { return e.target == 0; }) ||
                         std::any_of(a.calls.begin(), a.calls.end(), [](const auto& c) { return c.target == 0; });
    if (!entered) {
      a.accepting[0] = 0;
      return a;
    }
    Automaton out;
    const auto copy = [&](uint32_t s, bool accepts) {
      std::vector<Automaton::Edge> edges(a.EdgesOf(s).begin(), a.EdgesOf(s).end());
      std::vector<Automaton::Call> calls(a.CallsOf(s).begin(), a.CallsOf(s).end());
      for (auto& e : edges) e.target++;
      for (auto& c : calls) c.target++;
      out.Append(edges, calls, accepts);
    };
    copy(0, false);
    for (uint32_t s = 0; s < a.states(); s++) copy(s, a.accepting[s] != 0);
    if (a.counted()) out.boundary = a.boundary + 1;
    out.count_min = a.count_min, out.count_max = a.count_max;
    return out;
  }

  /// Whether nothing can follow an end of the body, so that counting its ends is counting bodies. Then all its
  /// accepting states are one, after Minimize.
  static bool IsPrefixFree(const Automaton& body) {
    for (uint32_t s = 0; s < body.states(); s++) {
      if (body.accepting[s] != 0 && !body.EdgesOf(s).empty()) return false;
    }
    return true;
  }

  Result<Automaton> Counted(const Expr& repeat) {
    BONSAI_ASSIGN(const Automaton body, Plain(repeat.first));
    Automaton out;
    for (uint32_t s = 0; s < body.states(); s++) {
      if (body.accepting[s] != 0) out.boundary = s;
      // Behind a body begins the next.
      out.Append(body.EdgesOf(body.accepting[s] != 0 ? 0 : s), {}, body.accepting[s] != 0);
    }
    out.count_min = std::max(repeat.min, 1u);
    out.count_max = repeat.max;
    return out;
  }

  struct Nesting {
    uint32_t& depth;
    ~Nesting() { depth--; }
  };
  static constexpr uint32_t kMostDepth = 1000;  ///< Emit recurses, in about 500 bytes of stack a level.

  Status Fits(const Nfa& nfa, uint64_t steps) const {
    const uint32_t most = g_.limits().nfa_states;
    if (nfa.states() + built_ <= most && steps <= 4 * uint64_t{most}) return {};
    return Error(ErrorCode::kInvalidArgument, "the grammar unrolls to more than {} states: write smaller counts", most);
  }

  /// Adds paths from `from` to `to` that read `expr`; plain: without calls.
  Status Emit(Nfa& nfa, ExprId id, uint32_t from, uint32_t to, bool plain) {
    // Counted by steps as well as by states: a choice of choices of nothing has no states.
    BONSAI_RETURN_IF_ERROR(Fits(nfa, ++steps_));
    const Nesting nesting{++depth_};
    if (depth_ > kMostDepth) return Error(ErrorCode::kInvalidArgument, "rules nest deeper than {} levels", kMostDepth);
    const Expr& e = g_.expr(id);
    switch (e.kind) {
      case Expr::Kind::kLiteral:
        return EmitLiteral(nfa, g_.literal(e), from, to);
      case Expr::Kind::kBytes:
        return EmitBytes(nfa, g_.bytes(e), from, to);
      case Expr::Kind::kChars:
        return EmitChars(nfa, g_.chars(e), from, to);
      case Expr::Kind::kAutomaton:
        return EmitAutomaton(nfa, g_.automaton(e), from, to);
      case Expr::Kind::kReference:
        return EmitReference(nfa, e.first, from, to, plain);
      case Expr::Kind::kSequence:
        for (uint32_t i = 0; i < e.size; i++) {
          const uint32_t next = i + 1 < e.size ? nfa.AddState() : to;
          BONSAI_RETURN_IF_ERROR(Emit(nfa, g_.parts(e)[i], from, next, plain));
          from = next;
        }
        if (e.size == 0) nfa.AddEmpty(from, to);
        return {};
      case Expr::Kind::kChoice:
        for (const ExprId part : g_.parts(e)) BONSAI_RETURN_IF_ERROR(Emit(nfa, part, from, to, plain));
        return {};
      case Expr::Kind::kRepeat:
        return EmitRepeat(nfa, id, from, to, plain);
    }
    return {};
  }

  Status EmitLiteral(Nfa& nfa, std::string_view bytes, uint32_t from, uint32_t to) {
    if (bytes.empty()) nfa.AddEmpty(from, to);
    for (size_t i = 0; i < bytes.size(); i++) {
      const uint32_t next = i + 1 < bytes.size() ? nfa.AddState() : to;
      const auto byte = static_cast<uint8_t>(bytes[i]);
      nfa.AddBytes(from, byte, byte, next);
      from = next;
    }
    return {};
  }

  Status EmitBytes(Nfa& nfa, const ByteSet& set, uint32_t from, uint32_t to) {
    for (uint32_t b = 0; b < 256; b++) {
      const uint32_t first = b;
      if (!set[b]) continue;
      while (b < 255 && set[b + 1]) b++;
      nfa.AddBytes(from, static_cast<uint8_t>(first), static_cast<uint8_t>(b), to);
    }
    return {};
  }

  Status EmitChars(Nfa& nfa, const CharSet& set, uint32_t from, uint32_t to) {
    for (const Utf8Sequence& s : Utf8Sequences(set)) {
      uint32_t at = from;
      for (uint8_t i = 0; i < s.length; i++) {
        const uint32_t next = i + 1 < s.length ? nfa.AddState() : to;
        nfa.AddBytes(at, s.bytes[i].first, s.bytes[i].last, next);
        at = next;
      }
    }
    return {};
  }

  Status EmitAutomaton(Nfa& nfa, const Automaton& a, uint32_t from, uint32_t to) {
    std::vector<uint32_t> states(a.states());
    for (uint32_t& s : states) s = nfa.AddState();
    nfa.AddEmpty(from, states[0]);
    for (uint32_t s = 0; s < a.states(); s++) {
      for (const auto& edge : a.EdgesOf(s)) nfa.AddBytes(states[s], edge.first, edge.last, states[edge.target]);
      if (a.accepting[s] != 0) nfa.AddEmpty(states[s], to);
    }
    return {};
  }

  Status EmitReference(Nfa& nfa, RuleId rule, uint32_t from, uint32_t to, bool plain) {
    const ExprId body = g_.rule_body(rule);
    if (analysis_.recursive(rule) && plain) {
      return Error(ErrorCode::kInvalidArgument,
                   "rule \"{}\" is recursive, but is used where only a regular expression can be", g_.rule_name(rule));
    }
    if (plain || analysis_.inlined(rule)) {
      // Through states of its own: a rule may be left by an arc into its beginning.
      return Emit(nfa, body, from, to, plain);
    }
    AddCall(nfa, AutomatonOfRule(rule), analysis_.nullable(body), from, to);
    return {};
  }

  static void AddCall(Nfa& nfa, uint32_t callee, bool nullable, uint32_t from, uint32_t to) {
    nfa.AddCall(from, callee, to);
    if (nullable) nfa.AddEmpty(from, to);
  }

  Status EmitRepeat(Nfa& nfa, ExprId id, uint32_t from, uint32_t to, bool plain) {
    const Expr& e = g_.expr(id);
    if (plain || !analysis_.wide(e.first) || e.max < 4) return Unroll(nfa, e, from, to, plain);
    const bool open = e.max == kUnbounded && e.min <= 1;
    bool counts = false;
    if (!open) {
      BONSAI_ASSIGN(counts, CanCount(e.first));
    }
    if (!open && !counts) return Unroll(nfa, e, from, to, plain);
    AddCall(nfa, AutomatonOfExpr(id, true, counts, name_), analysis_.nullable(id), from, to);
    return {};
  }

  Result<bool> CanCount(ExprId body) {
    if (analysis_.nullable(body)) return false;
    if (const auto it = can_count_.find(body); it != can_count_.end()) return it->second;
    BONSAI_ASSIGN(const Automaton automaton, Plain(body));
    return can_count_[body] = IsPrefixFree(automaton) && !automaton.edges.empty();
  }

  /// body{min,max} as a chain; a large body becomes an automaton of its own, of which the chain holds calls.
  Status Unroll(Nfa& nfa, const Expr& e, uint32_t from, uint32_t to, bool plain) {
    const uint64_t copies = e.max == kUnbounded ? uint64_t{e.min} + 1 : e.max;
    const bool call = !plain && copies > 1 && analysis_.size(e.first) * copies > 1000 && analysis_.size(e.first) > 2;
    const auto body = [&](uint32_t a, uint32_t b) -> Status {
      if (!call) return Emit(nfa, e.first, a, b, plain);
      BONSAI_RETURN_IF_ERROR(Fits(nfa, ++steps_));
      AddCall(nfa, AutomatonOfExpr(e.first, false, false, name_), analysis_.nullable(e.first), a, b);
      return {};
    };
    // A state of its own at both ends of each: what comes before or behind may loop there.
    uint32_t at = nfa.AddState();
    nfa.AddEmpty(from, at);
    for (uint32_t i = 0; i < e.min; i++) {
      const uint32_t next = nfa.AddState();
      BONSAI_RETURN_IF_ERROR(body(at, next));
      at = next;
    }
    if (e.max == kUnbounded) {
      BONSAI_RETURN_IF_ERROR(body(at, at));
    } else {
      for (uint32_t i = e.min; i < e.max; i++) {
        nfa.AddEmpty(at, to);
        const uint32_t next = nfa.AddState();
        BONSAI_RETURN_IF_ERROR(body(at, next));
        at = next;
      }
    }
    nfa.AddEmpty(at, to);
    return {};
  }

  /// A rule that may call itself before it has read anything would be entered for ever.
  Status RefuseLeftRecursion() {
    enum : uint8_t { kNew, kOpen, kDone };
    const auto& parts = program_->automata_;
    std::vector<uint8_t> mark(parts.size());
    for (uint32_t root = 0; root < parts.size(); root++) {
      std::vector<std::pair<uint32_t, size_t>> path;  // an automaton and how many calls of its start have been followed
      if (mark[root] == kNew) path.emplace_back(root, 0), mark[root] = kOpen;
      while (!path.empty()) {
        auto& [index, followed] = path.back();
        const auto calls = parts[index].automaton->CallsOf(0);
        if (followed == calls.size()) {
          mark[index] = kDone;
          path.pop_back();
          continue;
        }
        const uint32_t callee = calls[followed++].callee;
        if (mark[callee] == kOpen) {
          return Error(ErrorCode::kInvalidArgument,
                       "rule \"{}\" is left-recursive: it begins with itself; write a repetition instead",
                       parts[callee].name);
        }
        if (mark[callee] == kNew) path.emplace_back(callee, 0), mark[callee] = kOpen;
      }
    }
    return {};
  }

  const Grammar& g_;
  const Analysis& analysis_;
  std::shared_ptr<Program> program_ = std::make_shared<Program>();
  std::vector<Pending> pending_;
  std::unordered_map<RuleId, uint32_t> of_rule_;
  std::unordered_map<ExprId, uint32_t> of_expr_;
  std::unordered_map<ExprId, bool> can_count_;
  std::string name_;  ///< Of the rule that is being built.
  uint64_t steps_ = 0, built_ = 0;
  uint32_t depth_ = 0;
};

Result<std::shared_ptr<const Program>> Compile(const Grammar& grammar, RuleId root) {
  BONSAI_RETURN_IF_ERROR(grammar.status());
  if (root >= grammar.rules()) return Error(ErrorCode::kInvalidArgument, "rule {} does not exist", root);
  const Analysis analysis(grammar);
  return Compiler(grammar, analysis).Run(root);
}

Result<Automaton> CompilePlain(const Grammar& grammar, ExprId expr) {
  BONSAI_RETURN_IF_ERROR(grammar.status());
  if (expr >= grammar.size()) return Error(ErrorCode::kInvalidArgument, "expression {} does not exist", expr);
  const Analysis analysis(grammar);
  return Compiler(grammar, analysis).Plain(expr);
}

}  // namespace bonsai::grammar
