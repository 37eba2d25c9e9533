// Any bytes as GBNF. What must hold: no crash, bounded time, errors that say something; and of a grammar that compiles,
// its completion is a text of it, and every mask of small vocabularies is what trying each token gives.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "grammar/gbnf.h"
#include "grammar/grammar_testing.h"

namespace bonsai::grammar {
namespace {

void Check(std::string_view source) {
  Limits limits;  // small: what takes long is not more interesting
  limits.nfa_states = 4096, limits.dfa_states = 1024, limits.subset_work = 1 << 16, limits.stacks = 32;
  const auto parsed = ParseGbnf(source, limits);
  if (!parsed) {
    BONSAI_CHECK(!parsed.error().message().empty());
    return;
  }
  const auto program = Compile(parsed->grammar, parsed->root);
  if (!program) {
    BONSAI_CHECK(program.error().code() == ErrorCode::kInvalidArgument);
    return;
  }
  static const auto vocabulary =
      TestVocabulary({"aa", "ab", "\"a", "\",", "]]", "12", "\xc3\xa9", "a\xc3", "\xa9z", "\n "});
  const auto constraint = std::make_shared<const Constraint>(*program, vocabulary, limits);
  Matcher m(constraint);
  std::vector<uint64_t> mask(vocabulary->words());
  std::string text;
  for (int step = 0; step < 4; step++) {
    if (!m.Mask(mask)) return;  // too ambiguous
    const std::string completion = m.Completion();
    if (completion.size() < 1000) {
      Matcher to_end = Matcher(constraint);
      if (to_end.AcceptBytes(text + completion)) BONSAI_CHECK(to_end.CanEnd());
    }
    int32_t next = -1;
    for (int32_t id = 0; id < vocabulary->size(); id++) {
      if (vocabulary->IsEnd(id)) continue;
      Matcher one(constraint);
      if (!one.AcceptBytes(text)) return;
      const Status accepted = one.AcceptToken(id);
      // A mask looks at stacks apart, so at the limit it may allow what all of them together cannot go on with.
      if (!accepted.ok() && accepted.error().message().find("too ambiguous") != std::string::npos) return;
      BONSAI_CHECK(accepted.ok() == HasBit(mask, id));
      // The longest, then the last: words over bytes.
      if (HasBit(mask, id) && (next < 0 || id >= 256 || step % 2 == 0)) next = id;
    }
    if (next < 0) return;
    BONSAI_CHECK(m.AcceptToken(next).ok());
    text += vocabulary->piece(next);
  }
}

}  // namespace
}  // namespace bonsai::grammar

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  bonsai::grammar::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
