#include "grammar/gbnf.h"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/ascii.h"

namespace bonsai::grammar {
namespace {

bool IsNameChar(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || IsDigit(c) || c == '-'; }

class Parser {
 public:
  Parser(std::string_view source, const Limits& limits) : s_(source), limits_(limits), g_(limits) {}

  Result<ParsedGrammar> Run(std::string_view root) {
    if (s_.size() > limits_.source_bytes) {
      return Error(ErrorCode::kInvalidArgument, "the grammar has {} bytes (at most {})", s_.size(),
                   limits_.source_bytes);
    }
    for (SkipSpace(true); at_ < s_.size(); SkipSpace(true)) BONSAI_RETURN_IF_ERROR(ParseRule());
    const auto it = rules_.find(std::string(root));
    if (it == rules_.end()) {
      return Error(ErrorCode::kInvalidArgument, "there is no rule \"{}\", where a text begins", root);
    }
    for (const auto& [name, rule] : rules_) {
      if (rule.defined) continue;
      at_ = rule.first_use;
      return Bad("rule \"" + name + "\" is not defined");
    }
    BONSAI_RETURN_IF_ERROR(g_.status());
    return ParsedGrammar{std::move(g_), it->second.id};
  }

 private:
  struct Rule {
    RuleId id;
    size_t first_use;
    bool defined = false;
  };

  char Peek(size_t ahead = 0) const { return at_ + ahead < s_.size() ? s_[at_ + ahead] : '\0'; }
  ErrorValue Bad(std::string_view what) const {
    const std::string_view before = s_.substr(0, std::min(at_, s_.size()));
    const size_t newline = before.rfind('\n');
    const size_t column = newline == std::string_view::npos ? before.size() : before.size() - newline - 1;
    return Error(ErrorCode::kInvalidArgument, "line {}, column {}: {}",
                 1 + std::count(before.begin(), before.end(), '\n'), column + 1, what);
  }

  void SkipSpace(bool newlines) {
    while (at_ < s_.size()) {
      const char c = s_[at_];
      if (c == '#') {
        while (at_ < s_.size() && s_[at_] != '\n' && s_[at_] != '\r') at_++;
      } else if (c == ' ' || c == '\t' || (newlines && (c == '\n' || c == '\r'))) {
        at_++;
      } else {
        break;
      }
    }
  }

  std::string_view Name() {
    const size_t begin = at_;
    while (at_ < s_.size() && IsNameChar(s_[at_])) at_++;
    return s_.substr(begin, at_ - begin);
  }

  Rule& RuleOf(std::string_view name, size_t at) {
    const auto [it, is_new] = rules_.try_emplace(std::string(name));
    if (is_new) it->second = {g_.AddRule(name), at};
    return it->second;
  }

  Status ParseRule() {
    const size_t begin = at_;
    const std::string_view name = Name();
    if (name.empty()) return Bad("a rule begins with its name (letters, digits, '-')");
    SkipSpace(false);
    if (s_.substr(at_, 3) != "::=") return Bad("\"::=\" is missing behind the rule's name");
    at_ += 3;
    SkipSpace(true);
    BONSAI_ASSIGN(const ExprId body, Alternatives(false, 0));
    if (at_ < s_.size() && Peek() != '\n' && Peek() != '\r') return Bad("a newline or the end is missing here");
    Rule& rule = RuleOf(name, begin);
    if (rule.defined) {
      at_ = begin;
      return Bad("rule \"" + std::string(name) + "\" is defined twice");
    }
    rule.defined = true;
    g_.Define(rule.id, body);
    return g_.status_so_far();
  }

  Result<ExprId> Alternatives(bool nested, uint32_t depth) {
    if (depth > limits_.depth) return Bad("groups nest too deep");
    std::vector<ExprId> parts;
    for (;;) {
      BONSAI_ASSIGN(const ExprId part, Sequence(nested, depth));
      parts.push_back(part);
      if (Peek() != '|') return g_.Choice(parts);
      at_++;
      SkipSpace(true);
    }
  }

  Result<ExprId> Sequence(bool nested, uint32_t depth) {
    std::vector<ExprId> parts;
    for (;; SkipSpace(nested)) {
      const char c = Peek();
      if (c == '*' || c == '+' || c == '?' || c == '{') {
        if (parts.empty()) return Bad("there is nothing before this to repeat");
        BONSAI_ASSIGN(parts.back(), Repetition(parts.back(), nested));
      } else if (c == '"') {
        BONSAI_ASSIGN(const ExprId literal, Literal());
        parts.push_back(literal);
      } else if (c == '[') {
        BONSAI_ASSIGN(const ExprId chars, Class());
        parts.push_back(chars);
      } else if (c == '.') {
        at_++;
        parts.push_back(g_.Chars(CharSet().Negated()));
      } else if (c == '(') {
        at_++;
        SkipSpace(true);
        BONSAI_ASSIGN(const ExprId group, Alternatives(true, depth + 1));
        if (Peek() != ')') return Bad("')' is missing");
        at_++;
        parts.push_back(group);
      } else if (IsNameChar(c)) {
        const size_t begin = at_;
        const std::string_view name = Name();
        parts.push_back(g_.Reference(RuleOf(name, begin).id));
      } else if (c == '<' || c == '!') {
        return Bad("tokens (\"<...>\", \"!<...>\") are not supported: write the text that they stand for");
      } else {
        return g_.Sequence(parts);
      }
      BONSAI_RETURN_IF_ERROR(g_.status_so_far());
    }
  }

  Result<ExprId> Repetition(ExprId body, bool nested) {
    const char c = s_[at_++];
    if (c == '*') return g_.Repeat(body, 0, kUnbounded);
    if (c == '+') return g_.Repeat(body, 1, kUnbounded);
    if (c == '?') return g_.Repeat(body, 0, 1);
    SkipSpace(nested);
    BONSAI_ASSIGN(const uint32_t min, Number());
    uint32_t max = min;
    SkipSpace(nested);
    if (Peek() == ',') {
      at_++;
      SkipSpace(nested);
      max = kUnbounded;
      if (IsDigit(Peek())) {
        BONSAI_ASSIGN(max, Number());
      }
      SkipSpace(nested);
    }
    if (Peek() != '}') return Bad("'}' is missing");
    if (min > max) return Bad("a repetition ends before it begins");
    at_++;
    return g_.Repeat(body, min, max);
  }

  Result<uint32_t> Number() {
    if (!IsDigit(Peek())) return Bad("a number is missing");
    uint64_t n = 0;
    for (; IsDigit(Peek()); at_++) {
      n = n * 10 + static_cast<uint64_t>(Peek() - '0');
      if (n > limits_.repetitions) return Bad(fmt::format("the count is too large (at most {})", limits_.repetitions));
    }
    return static_cast<uint32_t>(n);
  }

  Result<ExprId> Literal() {
    const size_t begin = at_++;
    std::string text;
    while (Peek() != '"') {
      if (at_ >= s_.size()) {
        at_ = begin;
        return Bad("the literal is not closed");
      }
      BONSAI_ASSIGN(const uint32_t c, Char());
      AppendUtf8(c, text);
    }
    at_++;
    return g_.Literal(text);
  }

  Result<ExprId> Class() {
    const size_t begin = at_++;
    const bool negated = Peek() == '^';
    if (negated) at_++;
    CharSet set;
    while (Peek() != ']') {
      if (at_ >= s_.size()) {
        at_ = begin;
        return Bad("the class is not closed");
      }
      BONSAI_ASSIGN(const uint32_t first, Char());
      uint32_t last = first;
      if (Peek() == '-' && Peek(1) != ']') {
        at_++;
        BONSAI_ASSIGN(last, Char());
        if (last < first) return Bad("the range ends before it begins");
      }
      set.Add(first, last);
    }
    at_++;
    return g_.Chars(negated ? set.Negated() : set);
  }

  Result<uint32_t> Char() {
    if (Peek() != '\\') {
      const uint32_t c = TakeChar(s_, at_);
      if (c == kNoChar) return Bad(at_ < s_.size() ? "this is not UTF-8" : "the grammar ends too early");
      return c;
    }
    const char kind = Peek(1);
    at_ += 2;
    switch (kind) {
      case 'x':
        return Hex(2);
      case 'u':
        return Hex(4);
      case 'U':
        return Hex(8);
      case 'n':
        return uint32_t{'\n'};
      case 't':
        return uint32_t{'\t'};
      case 'r':
        return uint32_t{'\r'};
      case '\\':
      case '"':
      case '[':
      case ']':
        return static_cast<uint32_t>(kind);
      default:
        at_ -= 2;
        return Bad("unknown escape (\\n \\t \\r \\\\ \\\" \\[ \\] \\xHH \\uHHHH \\UHHHHHHHH)");
    }
  }

  Result<uint32_t> Hex(int digits) {
    uint32_t c = 0;
    for (int i = 0; i < digits; i++, at_++) {
      const char d = Peek();
      const int value = IsDigit(d)             ? d - '0'
                        : d >= 'a' && d <= 'f' ? d - 'a' + 10
                        : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                               : -1;
      if (value < 0) return Bad(fmt::format("{} hexadecimal digits belong here", digits));
      c = c << 4 | static_cast<uint32_t>(value);
    }
    if (c > kMaxChar || (c >= 0xd800 && c < 0xe000)) return Bad("this is no Unicode character");
    return c;
  }

  std::string_view s_;
  Limits limits_;
  Grammar g_;
  size_t at_ = 0;
  std::unordered_map<std::string, Rule> rules_;
};

}  // namespace

Result<ParsedGrammar> ParseGbnf(std::string_view source, const Limits& limits, std::string_view root) {
  return Parser(source, limits).Run(root);
}

}  // namespace bonsai::grammar
