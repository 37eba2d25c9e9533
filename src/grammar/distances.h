// The shortest way out of every state of a program. Internal to grammar/.
//
// D. E. Knuth, "A generalization of Dijkstra's algorithm", Information Processing Letters 6 (1977): states are settled
// in order of their distance, a call when both its automaton and its target are.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "grammar/program.h"

namespace bonsai::grammar {

/// Fills in Part::distance and Part::step, and drops edges and calls that lead to no end.
class Distances {
 public:
  explicit Distances(Program& program) : p_(program) {}
  void Run();

 private:
  using Place = std::pair<uint32_t, uint32_t>;  ///< Automaton, state.
  struct Source {
    uint32_t automaton, state;
    uint32_t callee = kNoState, target = 0;  ///< Of a call.
  };

  void Lists();
  void Settle();
  void Relax(const Source& source, uint64_t distance);
  void DropDeadEnds();
  void ChooseSteps();
  void ChooseStep(uint32_t automaton, uint32_t state);
  std::vector<uint32_t> CallOrder() const;
  uint32_t Global(uint32_t automaton, uint32_t state) const { return base_[automaton] + state; }

  Program& p_;
  std::vector<uint32_t> base_;                ///< Of each automaton's states among all.
  std::vector<std::vector<Source>> sources_;  ///< By target, for bytes and calls.
  std::vector<std::vector<Source>> callers_;  ///< By callee.
  std::priority_queue<std::pair<uint64_t, Place>, std::vector<std::pair<uint64_t, Place>>, std::greater<>> queue_;
};

}  // namespace bonsai::grammar
