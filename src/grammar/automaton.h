// Automata over bytes, with calls: what a rule of a grammar becomes.
//
//   Nfa nfa;                                             // start 0, accepting 1
//   nfa.AddBytes(Nfa::kStart, 'a', 'z', Nfa::kAccept);
//   BONSAI_ASSIGN(Automaton letters, Determinize(nfa, limits));
//   BONSAI_ASSIGN(Automaton both, Product(letters, other, SetOp::kIntersection, limits));
//
// A call edge reads any string of another automaton and goes on behind it. Automata without calls ("plain") are closed
// under union, intersection and difference (Product); concatenation and repetition go through Grammar::Embed and
// CompilePlain (program.h). All functions are pure and thread safe; those that can explode take limits and return
// kInvalidArgument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "grammar/limits.h"

namespace bonsai::grammar {

/// No state.
inline constexpr uint32_t kNoState = UINT32_MAX;

/// A nondeterministic automaton under construction.
class Nfa {
 public:
  static constexpr uint32_t kStart = 0, kAccept = 1;
  struct ByteArc {
    uint32_t from, to;
    uint8_t first, last;
  };
  struct CallArc {
    uint32_t from, to, callee;
  };
  struct EmptyArc {
    uint32_t from, to;
  };

  uint32_t AddState() { return states_++; }
  void AddBytes(uint32_t from, uint8_t first, uint8_t last, uint32_t to) { bytes_.push_back({from, to, first, last}); }
  void AddCall(uint32_t from, uint32_t callee, uint32_t to) { calls_.push_back({from, to, callee}); }
  void AddEmpty(uint32_t from, uint32_t to) { empty_.push_back({from, to}); }

  uint32_t states() const { return states_; }
  std::span<const ByteArc> bytes() const { return bytes_; }
  std::span<const CallArc> calls() const { return calls_; }
  std::span<const EmptyArc> empty() const { return empty_; }

 private:
  uint32_t states_ = 2;
  std::vector<ByteArc> bytes_;
  std::vector<CallArc> calls_;
  std::vector<EmptyArc> empty_;
};

/// A deterministic automaton; state 0 is the start. Edges of a state are sorted, disjoint, and not mergeable.
struct Automaton {
  struct Edge {
    uint8_t first, last;  ///< Bytes, both included.
    uint32_t target;
    bool operator==(const Edge&) const = default;
  };
  struct Call {
    uint32_t callee;  ///< Index in Program::automata.
    uint32_t target;
    bool operator==(const Call&) const = default;
  };

  std::vector<uint32_t> edge_begin{0}, call_begin{0};  ///< [states + 1]
  std::vector<Edge> edges;
  std::vector<Call> calls;
  std::vector<uint8_t> accepting;  ///< [states]

  /// Counting automata (program.h): each time a string of the body ends, this state is entered. kNoState: none.
  uint32_t boundary = kNoState;
  uint32_t count_min = 0, count_max = 0;

  uint32_t states() const { return static_cast<uint32_t>(accepting.size()); }
  bool plain() const { return calls.empty() && !counted(); }
  bool counted() const { return boundary != kNoState; }
  std::span<const Edge> EdgesOf(uint32_t state) const {
    return std::span(edges).subspan(edge_begin[state], edge_begin[state + 1] - edge_begin[state]);
  }
  std::span<const Call> CallsOf(uint32_t state) const {
    return std::span(calls).subspan(call_begin[state], call_begin[state + 1] - call_begin[state]);
  }
  /// Where `byte` leads from `state`; kNoState when nowhere.
  uint32_t Next(uint32_t state, uint8_t byte) const;
  /// Whether a plain automaton reads the whole of `bytes`.
  bool Matches(std::string_view bytes) const;
  /// Plain: whether there is no string at all.
  bool empty() const;

  /// Appends a state with these edges, and returns it.
  uint32_t Append(std::span<const Edge> state_edges, std::span<const Call> state_calls, bool accepts);
  /// Everything but the counts, as bytes: equal for automata that read alike state by state.
  std::string Key() const;
};

/// The subset construction. The start is never entered again unless Minimize merges it.
Result<Automaton> Determinize(const Nfa& nfa, const Limits& limits);

/// Drops what no accepting state can be reached from (plain automata), and numbers the rest breadth first.
Automaton Trim(const Automaton& automaton);

/// Merges states that read alike (Moore), then Trim: plain automata of one language become the same. Those whose
/// refinement would take more than some 10^7 steps come back as they are.
Automaton Minimize(const Automaton& automaton);

enum class SetOp { kUnion, kIntersection, kDifference };
/// Strings of both, of either, or of `a` only; trimmed. Both must be plain.
Result<Automaton> Product(const Automaton& a, const Automaton& b, SetOp op, const Limits& limits);
/// All other byte strings (not only those that are UTF-8: take the difference from one of Chars for these).
Automaton Complement(const Automaton& automaton);
/// Whether no string is in both. Stops at the first.
Result<bool> Disjoint(const Automaton& a, const Automaton& b, const Limits& limits);

}  // namespace bonsai::grammar
