// What a grammar may cost before it is refused, and why.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bonsai::grammar {

/// The defaults let through every grammar that people write (a schema of 100 properties needs about 5,000 states) and
/// keep the worst compilation under about a second and 100 MB.
struct Limits {
  size_t source_bytes = size_t{1} << 20;  ///< Of GBNF or regex text: the parser is linear, the automata are not.
  uint32_t rules = 1 << 14;
  uint32_t expressions = 1 << 19;
  uint32_t depth = 200;            ///< Nested groups: parsers and the compiler recurse.
  uint32_t repetitions = 1 << 24;  ///< The largest count in {m,n}: what is not counted is unrolled, see nfa_states.
  uint32_t nfa_states = 1 << 19;   ///< Of all automata together: what counts and inlined rules unroll to.
  uint32_t dfa_states = 1 << 16;   ///< Of one automaton: (a|b)*a(a|b){20} would have a million.
  uint64_t subset_work = 1 << 23;  ///< Members of all subsets while one automaton is made deterministic.
  uint32_t stacks = 512;           ///< Alternative parses at one place of the output.
  uint32_t nodes = 1 << 20;        ///< Stack frames that one matcher remembers (about 40 MB).
  size_t mask_bytes = size_t{1} << 26;  ///< Masks that one matcher remembers.
};

}  // namespace bonsai::grammar
