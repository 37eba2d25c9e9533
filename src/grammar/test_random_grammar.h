// Random grammars over a few letters, and texts that nearly match them.
#pragma once

#include <string>
#include <vector>

#include "base/rng.h"
#include "grammar/grammar.h"

namespace bonsai::grammar {

class RandomGrammar {
 public:
  explicit RandomGrammar(uint64_t seed) : rng_(seed) {}

  /// Rule 0 is the root. May be left-recursive, empty or endless: Compile says so.
  Grammar Make() {
    Grammar g;
    const uint32_t rules = 1 + Below(4);
    for (uint32_t r = 0; r < rules; r++) g.AddRule("r" + std::to_string(r));
    for (uint32_t r = 0; r < rules; r++) g.Define(r, Expression(g, 4));
    return g;
  }

  std::string Text(size_t most = 12) {
    static const char* const kPieces[] = {"a", "b", "c", "ab", "\xc3\xa9", "\xe2\x82\xac", "\xc3", "z", "aa", "y"};
    std::string text;
    for (uint32_t n = Below(8); n > 0; n--) text += kPieces[Below(10)];
    if (text.size() > most) text.resize(most);
    return text;
  }

  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(rng_.Next() % n); }

 private:
  ExprId Expression(Grammar& g, uint32_t depth) {
    switch (depth == 0 ? Below(3) : Below(9)) {
      case 0:
        return g.Literal(Text(3));
      case 1:
        return g.Chars(RandomChars());
      case 2: {
        ByteSet bytes;
        for (uint32_t n = Below(3); n > 0; n--) bytes.set('a' + Below(3));
        return g.Bytes(bytes);
      }
      case 3:
      case 4:
        return g.Sequence({Expression(g, depth - 1), Expression(g, depth - 1)});
      case 5:
        return g.Choice({Expression(g, depth - 1), Expression(g, depth - 1)});
      case 6: {
        const uint32_t min = Below(3), max = Below(3) == 0 ? kUnbounded : min + Below(6);
        return g.Repeat(Expression(g, depth - 1), min, max);
      }
      case 7:
        return g.Repeat(g.Chars(RandomChars()), Below(3), 3 + Below(5));
      default:
        return g.Reference(Below(static_cast<uint32_t>(g.rules())));
    }
  }

  CharSet RandomChars() {
    switch (Below(4)) {
      case 0:
        return CharSet().Add('a', 'c');
      case 1:
        return CharSet().Add('b').Negated();
      case 2:
        return CharSet().Add('a').Add(0xe9).Add(0x20ac);
      default:
        return CharSet().Add('a', 'z');
    }
  }

  Rng rng_;
};

}  // namespace bonsai::grammar
