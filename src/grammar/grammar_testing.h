// A slow recogniser of grammars, obviously right, and small vocabularies: what the fast parts are compared with.
#pragma once

#include <bit>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "grammar/grammar.h"
#include "grammar/matcher.h"

namespace bonsai::grammar {

/// Where a match of an expression that begins at some byte of a text may end: bit i for before byte i. For texts of at
/// most 63 bytes, and grammars without left recursion.
class Reference {
 public:
  Reference(const Grammar& grammar, std::string_view text) : g_(grammar), text_(text) {}

  bool Matches(RuleId rule) { return (Ends(g_.rule_body(rule), 0) >> text_.size() & 1) != 0; }

 private:
  using Kind = Expr::Kind;

  uint64_t Ends(ExprId id, size_t at) {
    const auto key = std::make_pair(id, at);
    if (const auto it = memo_.find(key); it != memo_.end()) return it->second;
    const uint64_t ends = Find(g_.expr(id), at);
    memo_[key] = ends;
    return ends;
  }
  uint64_t EndsFromAll(ExprId id, uint64_t starts) {
    uint64_t ends = 0;
    for (size_t i = 0; i <= text_.size(); i++) {
      if ((starts >> i & 1) != 0) ends |= Ends(id, i);
    }
    return ends;
  }
  uint64_t Find(const Expr& e, size_t at) {
    switch (e.kind) {
      case Kind::kLiteral: {
        const std::string_view literal = g_.literal(e);
        return text_.substr(at).starts_with(literal) ? uint64_t{1} << (at + literal.size()) : 0;
      }
      case Kind::kBytes:
        return at < text_.size() && g_.bytes(e)[static_cast<uint8_t>(text_[at])] ? uint64_t{2} << at : 0;
      case Kind::kChars:
        return Character(g_.chars(e), at);
      case Kind::kAutomaton: {
        uint64_t ends = 0;
        for (size_t n = 0; at + n <= text_.size(); n++) {
          if (g_.automaton(e).Matches(text_.substr(at, n))) ends |= uint64_t{1} << (at + n);
        }
        return ends;
      }
      case Kind::kReference:
        return Ends(g_.rule_body(e.first), at);
      case Kind::kSequence: {
        uint64_t ends = uint64_t{1} << at;
        for (const ExprId part : g_.parts(e)) ends = EndsFromAll(part, ends);
        return ends;
      }
      case Kind::kChoice: {
        uint64_t ends = 0;
        for (const ExprId part : g_.parts(e)) ends |= Ends(part, at);
        return ends;
      }
      case Kind::kRepeat:
        return Repeated(e, at);
    }
    return 0;
  }
  uint64_t Repeated(const Expr& e, size_t at) {
    uint64_t now = uint64_t{1} << at, ends = e.min == 0 ? now : 0;
    std::map<uint64_t, uint32_t> seen;
    for (uint32_t n = 1; n <= e.max && now != 0; n++) {
      now = EndsFromAll(e.first, now);
      if (n >= e.min) ends |= now;
      if (n >= e.min && !seen.emplace(now, n).second) break;  // from here on they come again
    }
    return ends;
  }
  uint64_t Character(const CharSet& set, size_t at) {
    uint32_t c = 0;
    if (at >= text_.size()) return 0;
    const auto lead = static_cast<uint8_t>(text_[at]);
    const size_t n = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 0;
    if (n == 0 || at + n > text_.size()) return 0;
    c = n == 1 ? lead : lead & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
      const auto tail = static_cast<uint8_t>(text_[at + i]);
      if ((tail & 0xc0) != 0x80) return 0;
      c = c << 6 | (tail & 0x3f);
    }
    const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    return c >= least[n] && set.Contains(c) ? uint64_t{1} << (at + n) : 0;
  }

  const Grammar& g_;
  std::string_view text_;
  std::map<std::pair<ExprId, size_t>, uint64_t> memo_;
};

/// Every byte, the given pieces, and one end token, the last id.
inline std::shared_ptr<const Vocabulary> TestVocabulary(const std::vector<std::string>& pieces, bool bytes = true) {
  std::vector<std::string> all;
  for (int b = 0; bytes && b < 256; b++) all.emplace_back(1, static_cast<char>(b));
  all.insert(all.end(), pieces.begin(), pieces.end());
  all.emplace_back("<end>");
  const auto end = static_cast<int32_t>(all.size() - 1);
  return std::make_shared<const Vocabulary>(std::move(all), std::vector<int32_t>{end});
}

inline bool HasBit(const std::vector<uint64_t>& mask, int32_t id) {
  return (mask[static_cast<size_t>(id) / 64] >> (static_cast<uint32_t>(id) % 64) & 1) != 0;
}

/// The mask by trying every token on a copy of nothing but the bytes so far.
inline std::vector<uint64_t> BruteForceMask(const std::shared_ptr<const Constraint>& constraint,
                                            std::string_view text) {
  const Vocabulary& v = constraint->vocabulary();
  std::vector<uint64_t> mask(v.words());
  Stacks stacks(constraint->program(), {});
  Stacks::SetId set = stacks.start();
  for (const char c : text) set = stacks.Step(set, static_cast<uint8_t>(c));
  for (int32_t id = 0; id < v.size(); id++) {
    Stacks::SetId after = set;
    for (const char c : v.piece(id)) after = stacks.Step(after, static_cast<uint8_t>(c));
    if (v.IsEnd(id) ? stacks.can_end(set) : !v.piece(id).empty() && stacks.alive(after)) SetBit(mask, id);
  }
  return mask;
}

}  // namespace bonsai::grammar
