// Any bytes as a pattern, the part behind the first newline as a text. What must hold: no crash, bounded time, errors
// that name a byte; and the automaton and the slow recogniser agree about the text.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "grammar/grammar_testing.h"
#include "grammar/program.h"
#include "grammar/regex.h"

namespace bonsai::grammar {
namespace {

void Check(std::string_view input) {
  const size_t newline = input.find('\n');
  const std::string_view pattern = input.substr(0, newline);
  const std::string_view text = newline == std::string_view::npos ? "" : input.substr(newline + 1).substr(0, 20);
  Limits limits;
  limits.nfa_states = 4096, limits.dfa_states = 1024, limits.subset_work = 1 << 16;
  Grammar grammar(limits);
  const auto expr = AddRegex(grammar, pattern);
  if (!expr) {
    BONSAI_CHECK(!expr.error().message().empty());
    return;
  }
  const auto automaton = CompilePlain(grammar, *expr);
  if (!automaton) return;
  grammar.Define(grammar.AddRule("root"), *expr);
  if (grammar.size() < 1000) BONSAI_CHECK(automaton->Matches(text) == Reference(grammar, text).Matches(0));
  const auto program = Compile(grammar, 0);
  if (!program) return;  // nothing matches, or a limit that calls do not save
  Stacks stacks(**program, limits);
  Stacks::SetId set = stacks.start();
  for (const char c : text) set = stacks.Step(set, static_cast<uint8_t>(c));
  if (set != Stacks::kTooMany) BONSAI_CHECK(stacks.can_end(set) == automaton->Matches(text));
}

}  // namespace
}  // namespace bonsai::grammar

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  bonsai::grammar::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
