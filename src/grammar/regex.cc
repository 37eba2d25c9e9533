#include "grammar/regex.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/ascii.h"

namespace bonsai::grammar {
namespace {

/// What an expression matches, by the anchors that it passes: a match of [at_start][at_end] must begin where the text
/// begins (end where it ends). `empty`: whether the empty string is among these.
struct Matches {
  struct Part {
    std::optional<ExprId> expr;
    bool empty = false;
  };
  std::array<std::array<Part, 2>, 2> parts;

  bool anchored() const { return parts[0][1].expr || parts[1][0].expr || parts[1][1].expr; }
};

constexpr std::array<std::pair<size_t, size_t>, 4> kAnchors = {{{0, 0}, {0, 1}, {1, 0}, {1, 1}}};

CharSet Digits() { return CharSet().Add('0', '9'); }
CharSet WordChars() { return CharSet().Add('0', '9').Add('A', 'Z').Add('_').Add('a', 'z'); }
/// WhiteSpace and LineTerminator of ECMA-262.
CharSet Spaces() {
  CharSet set;
  set.Add('\t', '\r').Add(' ').Add(0xa0).Add(0x1680).Add(0x2000, 0x200a).Add(0x2028, 0x2029);
  return set.Add(0x202f).Add(0x205f).Add(0x3000).Add(0xfeff);
}
CharSet AnyChar() { return CharSet().Negated(); }
CharSet Dot() { return CharSet().Add('\n').Add('\r').Add(0x2028, 0x2029).Negated(); }

int HexValue(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

class Parser {
 public:
  Parser(Grammar& grammar, std::string_view pattern) : g_(grammar), s_(pattern) {}

  Result<ExprId> Run() {
    if (s_.size() > g_.limits().source_bytes) {
      return Error(ErrorCode::kInvalidArgument, "the pattern has {} bytes (at most {})", s_.size(),
                   g_.limits().source_bytes);
    }
    BONSAI_ASSIGN(const Matches all, Disjunction(0));
    if (at_ < s_.size()) return Bad("')' without '('");
    const ExprId around = g_.Repeat(g_.Chars(AnyChar()), 0, kUnbounded);
    std::vector<ExprId> choices;
    for (const auto& [start, end] : kAnchors) {
      const Matches::Part& part = all.parts[start][end];
      if (!part.expr) continue;
      std::vector<ExprId> whole;
      if (start == 0) whole.push_back(around);
      whole.push_back(*part.expr);
      if (end == 0) whole.push_back(around);
      choices.push_back(g_.Sequence(whole));
    }
    const ExprId out = g_.Choice(choices);
    BONSAI_RETURN_IF_ERROR(g_.status_so_far());
    return out;
  }

 private:
  using Part = Matches::Part;

  char Peek(size_t ahead = 0) const { return at_ + ahead < s_.size() ? s_[at_ + ahead] : '\0'; }
  bool Sees(std::string_view what) const { return s_.substr(std::min(at_, s_.size())).starts_with(what); }
  ErrorValue Bad(std::string_view what, ErrorCode code = ErrorCode::kInvalidArgument) const {
    return Error(code, "byte {} of the pattern: {}", std::min(at_, s_.size()), what);
  }
  ErrorValue Refused(std::string_view what) const { return Bad(what, ErrorCode::kUnsupported); }

  // The algebra of Matches.

  static Matches Just(ExprId expr, bool empty) {
    Matches m;
    m.parts[0][0] = {expr, empty};
    return m;
  }
  Matches Chars(const CharSet& set) { return Just(g_.Chars(set), false); }

  Matches Either(const std::vector<Matches>& all) {
    if (all.size() == 1) return all[0];
    Matches out;
    for (const auto& [start, end] : kAnchors) {
      std::vector<ExprId> choices;
      Part& part = out.parts[start][end];
      for (const Matches& m : all) {
        const Part& p = m.parts[start][end];
        if (p.expr) choices.push_back(*p.expr);
        part.empty = part.empty || p.empty;
      }
      if (!choices.empty()) part.expr = g_.Choice(choices);
    }
    return out;
  }

  /// Before a "^" nothing may stand, and behind a "$": there, of what stands, only its empty match counts.
  Matches Both(const Matches& a, const Matches& b) {
    std::array<std::array<std::vector<ExprId>, 2>, 2> choices;
    Matches out;
    for (const auto& [a_start, a_end] : kAnchors) {
      for (const auto& [b_start, b_end] : kAnchors) {
        const Part& x = a.parts[a_start][a_end];
        const Part& y = b.parts[b_start][b_end];
        if (!x.expr || !y.expr || (b_start == 1 && !x.empty) || (a_end == 1 && !y.empty)) continue;
        std::vector<ExprId> both;
        if (b_start == 0) both.push_back(*x.expr);
        if (a_end == 0) both.push_back(*y.expr);
        const size_t start = a_start | b_start, end = a_end | b_end;
        choices[start][end].push_back(g_.Sequence(both));
        out.parts[start][end].empty = out.parts[start][end].empty || (x.empty && y.empty);
      }
    }
    for (const auto& [start, end] : kAnchors) {
      if (!choices[start][end].empty()) out.parts[start][end].expr = g_.Choice(choices[start][end]);
    }
    if (!out.anchored() && !out.parts[0][0].expr) return Just(g_.Choice({}), false);  // "a^": nothing
    return out;
  }

  /// One after the other. Stretches without anchors are one flat sequence.
  Matches InOrder(const std::vector<Matches>& all) {
    std::optional<Matches> out;
    for (size_t i = 0; i < all.size();) {
      Matches next = all[i];
      if (next.anchored()) {
        i++;
      } else {
        std::vector<ExprId> flat;
        bool empty = true;
        for (; i < all.size() && !all[i].anchored(); i++) {
          // A class of no characters has an expression, too.
          flat.push_back(*all[i].parts[0][0].expr);
          empty = empty && all[i].parts[0][0].empty;
        }
        next = Just(g_.Sequence(flat), empty);
      }
      out = out ? Both(*out, next) : next;
    }
    return out ? *out : Just(g_.Literal(""), true);
  }

  // The grammar of patterns.

  Result<Matches> Disjunction(uint32_t depth) {
    if (depth > g_.limits().depth) return Bad("groups nest too deep");
    std::vector<Matches> all;
    for (;;) {
      BONSAI_ASSIGN(Matches one, Alternative(depth));
      all.push_back(one);
      BONSAI_RETURN_IF_ERROR(g_.status_so_far());
      if (Peek() != '|') return Either(all);
      at_++;
    }
  }

  Result<Matches> Alternative(uint32_t depth) {
    std::vector<Matches> all;
    size_t anchors = 0;
    while (at_ < s_.size() && Peek() != '|' && Peek() != ')') {
      const char c = Peek();
      if (c == '^' || c == '$') {
        at_++;
        // Each doubles what Both tries; more than a few say nothing new.
        if (++anchors > 16) return Bad("too many anchors in a row of expressions");
        Matches anchor;
        anchor.parts[c == '^' ? 1 : 0][c == '$' ? 1 : 0] = {g_.Literal(""), true};
        all.push_back(anchor);
        if (QuantifierFollows()) return Bad("an anchor cannot be repeated");
        continue;
      }
      const size_t begin = at_;
      BONSAI_ASSIGN(Matches atom, Atom(depth));
      if (QuantifierFollows()) {
        BONSAI_ASSIGN(atom, Quantified(atom, begin));
        if (QuantifierFollows()) return Bad("there is nothing before this to repeat");
      }
      all.push_back(atom);
      BONSAI_RETURN_IF_ERROR(g_.status_so_far());
    }
    return InOrder(all);
  }

  bool QuantifierFollows() const { return Peek() == '*' || Peek() == '+' || Peek() == '?' || Peek() == '{'; }

  Result<Matches> Quantified(const Matches& body, size_t begin) {
    const char c = s_[at_++];
    uint32_t min = c == '+' ? 1 : 0, max = c == '?' ? 1 : kUnbounded;
    if (c == '{') {
      BONSAI_ASSIGN(min, Number());
      max = min;
      if (Peek() == ',') {
        at_++;
        max = kUnbounded;
        if (IsDigit(Peek())) {
          BONSAI_ASSIGN(max, Number());
        }
      }
      if (Peek() != '}') return Bad("'}' is missing (a '{' that is meant as it stands is written \"\\{\")");
      if (min > max) return Bad("a repetition ends before it begins");
      at_++;
    }
    if (Peek() == '?') at_++;  // lazy
    if (!body.anchored()) {
      return Just(g_.Repeat(*body.parts[0][0].expr, min, max), min == 0 || body.parts[0][0].empty);
    }
    if (min == 1 && max == 1) return body;
    if (min == 0 && max == 1) return Either({body, Just(g_.Literal(""), true)});
    at_ = begin;
    return Refused("an anchor (^ or $) inside of a repetition is not supported");
  }

  Result<uint32_t> Number() {
    if (!IsDigit(Peek())) return Bad("a number is missing (a '{' that is meant as it stands is written \"\\{\")");
    uint64_t n = 0;
    for (; IsDigit(Peek()); at_++) {
      n = n * 10 + static_cast<uint64_t>(Peek() - '0');
      if (n > g_.limits().repetitions) {
        return Bad(fmt::format("the count is too large (at most {})", g_.limits().repetitions));
      }
    }
    return static_cast<uint32_t>(n);
  }

  Result<Matches> Atom(uint32_t depth) {
    const char c = Peek();
    switch (c) {
      case '(':
        return Group(depth);
      case '[':
        return Class();
      case '.':
        at_++;
        return Chars(Dot());
      case '\\':
        return AtomEscape();
      case '*':
      case '+':
      case '?':
      case '{':
        return Bad("there is nothing before this to repeat");
      case ']':
      case '}':
        return Bad(fmt::format("'{0}' stands alone: write \"\\{0}\"", c));
      default:
        break;
    }
    const uint32_t code = TakeChar(s_, at_);
    if (code == kNoChar) return Bad("this is not UTF-8");
    return OneChar(code);
  }

  Matches OneChar(uint32_t code) {
    std::string text;
    AppendUtf8(code, text);
    return Just(g_.Literal(text), false);
  }

  Result<Matches> Group(uint32_t depth) {
    for (const char* look : {"(?=", "(?!", "(?<=", "(?<!"}) {
      if (Sees(look)) return Refused(fmt::format("look-around, \"{}\", is not supported", look));
    }
    const size_t begin = at_++;
    if (Sees("?:")) {
      at_ += 2;
    } else if (Sees("?<")) {
      const size_t end = s_.find('>', at_);
      if (end == std::string_view::npos || end == at_ + 2) return Bad("the group's name is missing or not closed");
      at_ = end + 1;
    } else if (Peek() == '?') {
      return Refused("flags in a group, \"(?...\", are not supported");
    }
    BONSAI_ASSIGN(Matches inner, Disjunction(depth + 1));
    if (Peek() != ')') {
      at_ = begin;
      return Bad("the group is not closed");
    }
    at_++;
    return inner;
  }

  /// \d and the like, or nothing (and nothing read).
  Result<std::optional<CharSet>> ClassEscape() {
    switch (Peek(1)) {
      case 'd':
        at_ += 2;
        return std::optional(Digits());
      case 'D':
        at_ += 2;
        return std::optional(Digits().Negated());
      case 'w':
        at_ += 2;
        return std::optional(WordChars());
      case 'W':
        at_ += 2;
        return std::optional(WordChars().Negated());
      case 's':
        at_ += 2;
        return std::optional(Spaces());
      case 'S':
        at_ += 2;
        return std::optional(Spaces().Negated());
      case 'p':
      case 'P':
        return Refused("Unicode properties, \\p{...}, are not supported: write ranges");
      default:
        return std::optional<CharSet>();
    }
  }

  Result<Matches> AtomEscape() {
    const char kind = Peek(1);
    if (kind == 'b' || kind == 'B') return Refused("word boundaries, \\b and \\B, are not supported");
    if (kind == 'k' || (kind >= '1' && kind <= '9')) return Refused("back-references are not supported");
    BONSAI_ASSIGN(const std::optional<CharSet> set, ClassEscape());
    if (set) return Chars(*set);
    BONSAI_ASSIGN(const uint32_t c, CharEscape());
    return OneChar(c);
  }

  Result<uint32_t> CharEscape() {
    const char kind = Peek(1);
    if (at_ + 1 >= s_.size()) return Bad("the pattern ends with a backslash");
    at_ += 2;
    switch (kind) {
      case 't':
        return uint32_t{'\t'};
      case 'n':
        return uint32_t{'\n'};
      case 'v':
        return uint32_t{'\v'};
      case 'f':
        return uint32_t{'\f'};
      case 'r':
        return uint32_t{'\r'};
      case 'x':
        return Hex(2);
      case 'u':
        return UnicodeEscape();
      case '0':
        if (!IsDigit(Peek())) return uint32_t{0};
        break;
      case 'c':
        if ((Peek() | 0x20) >= 'a' && (Peek() | 0x20) <= 'z') return static_cast<uint32_t>(s_[at_++] & 0x1f);
        break;
      default:
        // ECMA-262 takes syntax characters and '/' only; people escape quotes, '-', '@' and so on, too.
        if (kind > ' ' && kind < 0x7f && !IsDigit(kind) && ((kind | 0x20) < 'a' || (kind | 0x20) > 'z')) {
          return static_cast<uint32_t>(kind);
        }
        break;
    }
    at_ -= 2;
    return Bad(fmt::format("unknown escape \"\\{}\"", kind > ' ' && kind < 0x7f ? std::string(1, kind) : "..."));
  }

  Result<uint32_t> Hex(int digits) {
    uint32_t c = 0;
    for (int i = 0; i < digits; i++, at_++) {
      const int value = HexValue(Peek());
      if (value < 0) return Bad(fmt::format("{} hexadecimal digits belong here", digits));
      c = c << 4 | static_cast<uint32_t>(value);
    }
    return c;
  }

  Result<uint32_t> UnicodeEscape() {
    uint32_t c = 0;
    if (Peek() == '{') {
      const size_t begin = ++at_;
      for (; HexValue(Peek()) >= 0 && c <= kMaxChar; at_++) c = c << 4 | static_cast<uint32_t>(HexValue(Peek()));
      if (at_ == begin || Peek() != '}') return Bad("hexadecimal digits up to 10ffff and '}' belong here");
      at_++;
    } else {
      BONSAI_ASSIGN(c, Hex(4));
      if (c >= 0xd800 && c < 0xdc00 && Sees("\\u")) {
        const size_t begin = at_;
        at_ += 2;
        BONSAI_ASSIGN(const uint32_t low, Hex(4));
        if (low >= 0xdc00 && low < 0xe000) return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        at_ = begin;
      }
    }
    if (c > kMaxChar || (c >= 0xd800 && c < 0xe000)) return Bad("this is no Unicode character");
    return c;
  }

  Result<Matches> Class() {
    const size_t begin = at_++;
    const bool negated = Peek() == '^';
    if (negated) at_++;
    CharSet set;
    while (Peek() != ']') {
      if (at_ >= s_.size()) {
        at_ = begin;
        return Bad("the class is not closed");
      }
      BONSAI_ASSIGN(const Member first, ClassMember());
      if (Peek() != '-' || Peek(1) == ']') {
        set.Add(first.set);
        continue;
      }
      at_++;
      BONSAI_ASSIGN(const Member last, ClassMember());
      if (first.single == kNoChar || last.single == kNoChar) return Bad("a range needs a character at both ends");
      if (last.single < first.single) return Bad("the range ends before it begins");
      set.Add(first.single, last.single);
    }
    at_++;
    return Chars(negated ? set.Negated() : set);
  }

  struct Member {
    CharSet set;
    uint32_t single = kNoChar;  ///< When it is one character.
  };
  Result<Member> ClassMember() {
    if (Peek() != '\\') {
      const uint32_t c = TakeChar(s_, at_);
      if (c == kNoChar) return Bad(at_ < s_.size() ? "this is not UTF-8" : "the class is not closed");
      return Member{CharSet().Add(c), c};
    }
    if (Peek(1) == 'b') {  // a backspace, in a class
      at_ += 2;
      return Member{CharSet().Add('\b'), '\b'};
    }
    BONSAI_ASSIGN(std::optional<CharSet> set, ClassEscape());
    if (set) return Member{std::move(*set), kNoChar};
    BONSAI_ASSIGN(const uint32_t c, CharEscape());
    return Member{CharSet().Add(c), c};
  }

  Grammar& g_;
  std::string_view s_;
  size_t at_ = 0;
};

}  // namespace

Result<ExprId> AddRegex(Grammar& grammar, std::string_view pattern) { return Parser(grammar, pattern).Run(); }

}  // namespace bonsai::grammar
