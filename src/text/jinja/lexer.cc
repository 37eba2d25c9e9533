#include "text/jinja/lexer.h"

#include <algorithm>
#include <charconv>

#include "base/ascii.h"
#include "text/jinja/text.h"

namespace bonsai::text::jinja {
namespace {

using Kind = Token::Kind;

/// One kind of line end, and none at the very end (Jinja's keep_trailing_newline is off).
std::string Normalize(std::string_view source) {
  std::string out;
  for (size_t i = 0; i < source.size(); i++) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') i++;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsNamePart(char c) { return IsNameStart(c) || IsDigit(c); }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  Result<std::vector<Token>> Run() {
    while (at_ < source_.size()) BONSAI_RETURN_IF_ERROR(NextTag());
    Push(Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  char Peek(size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }
  bool Sees(std::string_view s) const { return source_.substr(at_).starts_with(s); }

  /// The line of byte `at`, which never goes back.
  int LineOf(size_t at) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(counted_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
    counted_ = at;
    return line_;
  }
  void Push(Kind kind, std::string text) { tokens_.push_back({kind, LineOf(at_), std::move(text)}); }
  ErrorValue Bad(std::string_view what) {
    return Error(ErrorCode::kCorrupt, "line {}: {}", LineOf(std::min(at_, source_.size())), what);
  }

  size_t SkipSpace(size_t at) const {
    while (at < source_.size()) {
      const size_t n = SpaceLength(source_, at);
      if (n == 0) break;
      at += n;
    }
    return at;
  }

  size_t FindTag() const {
    for (size_t i = at_; (i = source_.find('{', i)) != std::string_view::npos && i + 1 < source_.size(); i++) {
      if (std::string_view("{%#").find(source_[i + 1]) != std::string_view::npos) return i;
    }
    return std::string_view::npos;
  }

  /// Text up to the next tag, then the tag.
  Status NextTag() {
    const size_t tag = FindTag();
    if (tag == std::string_view::npos) {
      Push(Kind::kData, std::string(source_.substr(at_)));
      at_ = source_.size();
      return {};
    }
    const char type = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    PushData(tag, sign, type != '{');
    at_ = tag + (sign == '-' || sign == '+' ? 3 : 2);
    if (type == '#') return Comment();
    if (type == '%') {
      bool raw = false;
      BONSAI_RETURN_IF_ERROR(Raw(raw));
      if (raw) return {};
    }
    return Code(type == '{');
  }

  /// The data from at_ to `tag`, less what the tag's sign or lstrip_blocks takes away.
  void PushData(size_t tag, char sign, bool lstrip) {
    std::string data(source_.substr(at_, tag - at_));
    if (sign == '-') {
      data = Strip(Text(data, true), "", false, true).bytes();
    } else if (sign != '+' && lstrip) {
      const size_t newline = data.rfind('\n');
      const size_t start = newline == std::string::npos ? 0 : newline + 1;
      const bool at_start = start > 0 || line_starts_;
      if (at_start && Strip(Text(data.substr(start), true), "", true, false).empty()) data.resize(start);
    }
    if (!data.empty()) Push(Kind::kData, std::move(data));
  }

  /// Past the end of a block or comment that begins at at_ and has `length` bytes without its sign.
  void EndTag(char sign, size_t length, bool trim) {
    const size_t begin = at_;
    at_ += length + (sign != '\0' ? 1 : 0);
    if (sign == '-') {
      at_ = SkipSpace(at_);
    } else if (sign == '\0' && trim && Peek() == '\n') {
      at_++;
    }
    line_starts_ = at_ > begin && source_[at_ - 1] == '\n';
  }

  Status Comment() {
    const size_t begin = at_;
    const size_t end = source_.find("#}", begin);
    if (end == std::string_view::npos) return Bad("a comment {# is not closed");
    const char before = end > begin ? source_[end - 1] : '\0';
    const bool has_sign = before == '-' || before == '+';
    at_ = end - (has_sign ? 1 : 0);
    EndTag(has_sign ? before : '\0', 2, true);
    return {};
  }

  /// {% raw %} … {% endraw %}, where the first tag stands at at_ (behind its sign).
  Status Raw(bool& raw) {
    size_t at = SkipSpace(at_);
    if (source_.substr(at, 3) != "raw") return {};
    at = SkipSpace(at + 3);
    const bool minus = source_.substr(at, 3) == "-%}";
    if (!minus && source_.substr(at, 2) != "%}") return {};
    raw = true;
    at_ = at;
    EndTag(minus ? '-' : '\0', 2, false);
    for (size_t tag = source_.find("{%", at_); tag != std::string_view::npos; tag = source_.find("{%", tag + 2)) {
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      size_t end = SkipSpace(tag + (sign == '-' || sign == '+' ? 3 : 2));
      if (source_.substr(end, 6) != "endraw") continue;
      end = SkipSpace(end + 6);
      const char end_sign = end < source_.size() && (source_[end] == '-' || source_[end] == '+') ? source_[end] : '\0';
      if (source_.substr(end + (end_sign != '\0' ? 1 : 0), 2) != "%}") continue;
      PushData(tag, sign, true);
      at_ = end;
      EndTag(end_sign, 2, true);
      return {};
    }
    return Bad("{% raw %} is not closed");
  }

  /// The inside of {{ }} or {% %}.
  Status Code(bool print) {
    Push(print ? Kind::kPrintBegin : Kind::kBlockBegin, "");
    const std::string_view end = print ? "}}" : "%}";
    std::string open;  // brackets that wait for their end: inside them }} is two of those
    for (;;) {
      at_ = SkipSpace(at_);
      if (at_ >= source_.size()) return Bad(print ? "{{ is not closed" : "{% is not closed");
      const char sign = Peek() == '-' || (Peek() == '+' && !print) ? Peek() : '\0';
      if (open.empty() && source_.substr(at_ + (sign != '\0' ? 1 : 0)).starts_with(end)) {
        Push(print ? Kind::kPrintEnd : Kind::kBlockEnd, "");
        EndTag(sign, 2, !print);
        return {};
      }
      BONSAI_RETURN_IF_ERROR(CodeToken(open));
    }
  }

  Status CodeToken(std::string& open) {
    const char c = Peek();
    if (IsNameStart(c)) {
      size_t end = at_;
      while (end < source_.size() && IsNamePart(source_[end])) end++;
      Push(Kind::kName, std::string(source_.substr(at_, end - at_)));
      at_ = end;
      return {};
    }
    if (IsDigit(c)) return Number();
    if (c == '"' || c == '\'') return String();
    return Operator(open);
  }

  Status Operator(std::string& open) {
    for (const std::string_view op : {"//", "**", "==", "!=", ">=", "<="}) {
      if (!Sees(op)) continue;
      Push(Kind::kOperator, std::string(op));
      at_ += 2;
      return {};
    }
    const char c = Peek();
    if (std::string_view("+-/*%~[](){}><=.:|,").find(c) == std::string_view::npos || c == '\0') {
      return Bad(std::string("unexpected character ") +
                 (c > ' ' && c < 0x7f ? std::string("'") + c + "'" : "in a tag"));
    }
    constexpr std::string_view kOpen = "([{", kClose = ")]}";
    if (kOpen.find(c) != std::string_view::npos) open += c;
    if (const size_t i = kClose.find(c); i != std::string_view::npos) {
      if (open.empty() || open.back() != kOpen[i]) return Bad(std::string("unexpected '") + c + "'");
      open.pop_back();
    }
    Push(Kind::kOperator, std::string(1, c));
    at_++;
    return {};
  }

  /// 12, 1_000, 0x1f, 0b1, 0o7, 1.5, 2e-3.
  Status Number() {
    const auto digits = [&](size_t at) {
      while (at < source_.size() && (IsDigit(source_[at]) || (source_[at] == '_' && IsDigit(source_[at - 1])))) at++;
      return at;
    };
    const size_t begin = at_;
    const size_t base_at = std::string_view("xXbBoO").find(Peek(1));
    size_t end = digits(begin);
    if (Peek() == '0' && Peek(1) != '\0' && base_at != std::string_view::npos) {
      end = begin + 2;
      while (end < source_.size() && IsNamePart(source_[end])) end++;
      constexpr int kBases[] = {16, 2, 8};
      return Integer(begin + 2, end, kBases[base_at / 2]);
    }
    bool real = false;
    if (end + 1 < source_.size() && source_[end] == '.' && IsDigit(source_[end + 1])) {
      real = true;
      end = digits(end + 1);
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      size_t exponent = end + 1;
      if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) exponent++;
      if (exponent < source_.size() && IsDigit(source_[exponent])) real = true, end = digits(exponent);
    }
    return real ? Real(end) : Integer(begin, end, 10);
  }

  std::string Digits(size_t begin, size_t end) const {
    std::string s(source_.substr(begin, end - begin));
    s.erase(std::remove(s.begin(), s.end(), '_'), s.end());
    return s;
  }

  Status Integer(size_t begin, size_t end, int base) {
    const std::string s = Digits(begin, end);
    Push(Kind::kInteger, "");
    const auto read = std::from_chars(s.data(), s.data() + s.size(), tokens_.back().integer, base);
    if (read.ec != std::errc() || read.ptr != s.data() + s.size()) return Bad("not an integer of 64 bits");
    at_ = end;
    return {};
  }

  Status Real(size_t end) {
    const std::string s = Digits(at_, end);
    Push(Kind::kFloat, "");
    const auto read = std::from_chars(s.data(), s.data() + s.size(), tokens_.back().real);
    if (read.ec != std::errc() || read.ptr != s.data() + s.size()) return Bad("not a number");
    at_ = end;
    return {};
  }

  Status String() {
    const char quote = Peek();
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return Bad("a string is not closed");
    const std::string_view body = source_.substr(at_ + 1, end - at_ - 1);
    std::string text;
    for (size_t i = 0; i < body.size();) {
      if (body[i] == '\\') {
        BONSAI_RETURN_IF_ERROR(Escape(body, i, text));
      } else {
        text += body[i++];
      }
    }
    Push(Kind::kString, std::move(text));
    at_ = end + 1;
    return {};
  }

  /// Python's escapes: \n, \x41, \u00e9, \101; a backslash before anything else stays.
  Status Escape(std::string_view body, size_t& i, std::string& out) {
    constexpr std::string_view kFrom = "abfnrtv\\'\"", kTo = "\a\b\f\n\r\t\v\\'\"";
    const char c = body[i + 1];  // a string never ends in an odd backslash
    if (const size_t simple = kFrom.find(c); simple != std::string_view::npos) {
      out += kTo[simple];
      i += 2;
    } else if (c == '\n') {
      i += 2;
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const size_t n = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      const std::string_view digits = body.substr(i + 2).substr(0, n);
      i += 2 + digits.size();
      return digits.size() == n ? CodeEscape(digits, 16, out) : Bad("a string has a broken escape");
    } else if (c >= '0' && c <= '7') {
      size_t n = 1;
      while (n < 3 && i + 1 + n < body.size() && body[i + 1 + n] >= '0' && body[i + 1 + n] <= '7') n++;
      const std::string_view digits = body.substr(i + 1, n);
      i += 1 + n;
      return CodeEscape(digits, 8, out);
    } else {
      out += '\\';
      i += 1;
    }
    return {};
  }

  Status CodeEscape(std::string_view digits, int base, std::string& out) {
    uint32_t code = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), code, base);
    const bool whole = read.ec == std::errc() && read.ptr == digits.data() + digits.size();
    if (!whole || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return Bad("a string has a broken escape");
    out += CharacterOf(static_cast<int32_t>(code));
    return {};
  }

  std::string_view source_;
  size_t at_ = 0;
  bool line_starts_ = true;  // at_ is the first byte of a line
  int line_ = 1;
  size_t counted_ = 0;  // how far line_ has counted
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> Lex(std::string_view source) {
  const std::string normal = Normalize(source);
  return Lexer(normal).Run();
}

}  // namespace bonsai::text::jinja
