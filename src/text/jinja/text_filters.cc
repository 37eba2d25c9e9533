// Filters of texts and numbers. What Jinja calls soft_str: a value that is no text counts as what it prints.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "text/jinja/builtins.h"
#include "text/jinja/evaluator.h"
#include "text/jinja/operators.h"

namespace bonsai::text::jinja {
namespace {

using Kind = Value::Kind;

template <Case kCase>
Result<Value> FilterCase(Evaluator& e, const Args& a) {
  const Text text = ToText(a.values[0], e.budget());
  e.budget().Spend(8 * text.size());
  return Value(ChangeCase(text, kCase));
}

/// do_title: words begin after white space and after - ( { [ <.
Result<Value> FilterTitle(Evaluator& e, const Args& a) {
  const Text text = ToText(a.values[0], e.budget());
  const std::string& s = text.bytes();
  e.budget().Spend(8 * s.size());
  Text out;
  const auto separates = [&](size_t i) { return SpaceLength(s, i) > 0 || std::string_view("-({[<").find(s[i]) < 5; };
  for (size_t begin = 0, end; begin < s.size(); begin = end) {
    end = begin;
    const bool gap = separates(begin);
    while (end < s.size() && separates(end) == gap) end += CharacterLength(s, end);
    out.Append(gap ? text.Slice(begin, end) : ChangeCase(text.Slice(begin, end), Case::kCapitalize));
  }
  return Value(std::move(out));
}

Result<Value> FilterTrim(Evaluator& e, const Args& a) {
  const Text text = ToText(a.values[0], e.budget()), chars = ToText(a.values[1], e.budget());
  if (!e.budget().Spend(text.size() * std::max<size_t>(1, chars.size()))) return e.budget().error();
  return Value(Strip(text, chars.bytes(), true, true));
}

Result<Value> FilterReplace(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(const int64_t count, IntArg(a.values[3], "count", -1));
  const Text from = ToText(a.values[1], e.budget());
  return Value(
      Replace(ToText(a.values[0], e.budget()), from.bytes(), ToText(a.values[2], e.budget()), count, e.budget()));
}

/// Each line after the first, unless it is empty, gets `width` spaces (or that text) before it.
Result<Value> FilterIndent(Evaluator& e, const Args& a) {
  Text indent("    ", false);
  if (a.values[1].is(Kind::kString)) {
    indent = a.values[1].text();
  } else {
    BONSAI_ASSIGN(const int64_t width, IntArg(a.values[1], "width", 4));
    if (width > 1000) return Error(ErrorCode::kInvalidArgument, "indent: a width over 1000");
    indent = Text(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' '), false);
  }
  const bool first = BoolArg(a.values[2], false), blank = BoolArg(a.values[3], false);
  const Text text = ToText(a.values[0], e.budget());
  const std::string& s = text.bytes();
  Text out;
  for (size_t begin = 0; begin <= s.size() && e.budget().ok();) {
    const size_t end = std::min(s.find('\n', begin), s.size());
    if (begin == 0 ? first : (blank || end > begin)) e.budget().Append(out, indent);
    e.budget().Append(out, text.Slice(begin, std::min(end + 1, s.size())));
    begin = end + 1;
  }
  return Value(std::move(out));
}

Result<Value> FilterEscape(Evaluator& e, const Args& a) {
  const Text text = ToText(a.values[0], e.budget());
  e.budget().Spend(4 * text.size());
  Text out;
  for (size_t i = 0; i < text.size(); i++) {
    constexpr std::string_view kFrom = "&<>\"'";
    constexpr std::string_view kTo[] = {"&amp;", "&lt;", "&gt;", "&#34;", "&#39;"};
    const char c = text.bytes()[i];
    const size_t at = kFrom.find(c);
    out.Append(at < kFrom.size() ? kTo[at] : std::string_view(&c, 1), text.TrustedAt(i));
  }
  return Value(std::move(out));
}

Result<Value> FilterString(Evaluator& e, const Args& a) { return Value(ToText(a.values[0], e.budget())); }

Result<Value> FilterDefault(Evaluator&, const Args& a) {
  const bool missing = !a.values[0].defined() || (BoolArg(a.values[2], false) && !a.values[0].Truthy());
  if (!missing) return a.values[0];
  return a.values[1].defined() ? a.values[1] : Value(Text());
}

Result<Value> FilterLength(Evaluator& e, const Args& a) {
  const Value& v = a.values[0];
  switch (v.kind()) {
    case Kind::kUndefined:
      return Value(int64_t{0});
    case Kind::kString:
      e.budget().Spend(v.text().size());
      return Value(static_cast<int64_t>(CharacterCount(v.text().bytes())));
    case Kind::kList:
      return Value(static_cast<int64_t>(v.list().size()));
    case Kind::kDict:
      return Value(static_cast<int64_t>(v.dict().size()));
    default:
      return Error(ErrorCode::kInvalidArgument, "a {} has no length", v.KindName());
  }
}

/// json.dumps(x, ensure_ascii=False), as Hugging Face replaces Jinja's filter: nothing is escaped for HTML.
Result<Value> FilterToJson(Evaluator& e, const Args& a) {
  JsonLayout layout;
  layout.ensure_ascii = BoolArg(a.values[1], false);
  layout.sort_keys = BoolArg(a.values[4], false);
  if (const Value& indent = a.values[2]; indent.defined() && !indent.is(Kind::kNull)) {
    layout.lines = true;
    layout.comma = Text(",", false);
    if (indent.is(Kind::kString)) {
      layout.indent = indent.text();
    } else {
      BONSAI_ASSIGN(const int64_t width, IntArg(indent, "indent", 0));
      if (width > 1000) return Error(ErrorCode::kInvalidArgument, "tojson: an indent over 1000");
      layout.indent = Text(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' '), false);
    }
  }
  if (const Value& separators = a.values[3]; separators.is(Kind::kList) && separators.list().size() == 2) {
    BONSAI_ASSIGN(layout.comma, TextArg(separators.list()[0], "separators"));
    BONSAI_ASSIGN(layout.colon, TextArg(separators.list()[1], "separators"));
  }
  BONSAI_ASSIGN(Text text, ToJson(a.values[0], layout, e.budget()));
  return Value(std::move(text));
}

/// A whole number in `text`, or nothing.
template <class T, class... Base>
bool Parse(std::string_view text, T& number, Base... base) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number, base...);
  return !text.empty() && read.ec == std::errc() && read.ptr == text.data() + text.size();
}

bool FitsInteger(double d) { return d >= -9.2e18 && d <= 9.2e18; }

Result<Value> FilterInt(Evaluator& e, const Args& a) {
  const Value fallback = a.values[1].defined() ? a.values[1] : Value(int64_t{0});
  const Value& v = a.values[0];
  if (v.is(Kind::kInt) || v.is(Kind::kBool)) return Value(v.AsInteger());
  if (v.is(Kind::kFloat)) return FitsInteger(v.real()) ? Value(static_cast<int64_t>(v.real())) : fallback;
  if (!v.is(Kind::kString)) return fallback;
  BONSAI_ASSIGN(const int64_t base, IntArg(a.values[2], "base", 10));
  if (base < 2 || base > 36) return fallback;
  e.budget().Spend(v.text().size());
  const Text text = Strip(v.text(), "", true, true);
  int64_t integer = 0;
  double real = 0;
  if (Parse(text.bytes(), integer, static_cast<int>(base))) return Value(integer);
  if (Parse(text.bytes(), real) && FitsInteger(real)) return Value(static_cast<int64_t>(real));
  return fallback;
}

Result<Value> FilterFloat(Evaluator& e, const Args& a) {
  const Value& v = a.values[0];
  if (v.IsNumber()) return Value(v.AsReal());
  double real = 0;
  if (v.is(Kind::kString) && e.budget().Spend(v.text().size()) &&
      Parse(Strip(v.text(), "", true, true).bytes(), real)) {
    return Value(real);
  }
  return a.values[1].defined() ? a.values[1] : Value(0.0);
}

Result<Value> FilterAbs(Evaluator&, const Args& a) {
  const Value& v = a.values[0];
  if (!v.IsNumber()) return Error(ErrorCode::kInvalidArgument, "abs: a {} is no number", v.KindName());
  if (v.is(Kind::kFloat)) return Value(std::fabs(v.real()));
  return v.AsInteger() < 0 ? Negate(v) : Value(v.AsInteger());
}

/// Half to even for "common", as Python's round(): printf rounds the exact binary value to decimals.
Result<Value> FilterRound(Evaluator& e, const Args& a) {
  const Value& v = a.values[0];
  if (!v.IsNumber()) return Error(ErrorCode::kInvalidArgument, "round: a {} is no number", v.KindName());
  BONSAI_ASSIGN(const int64_t precision, IntArg(a.values[1], "precision", 0));
  const std::string method = a.values[2].defined() ? ToText(a.values[2], e.budget()).bytes() : "common";
  if (precision < 0 || precision > 30) return Error(ErrorCode::kInvalidArgument, "round: precision must be 0 to 30");
  if (method == "common" && !v.is(Kind::kFloat)) return Value(v.AsInteger());
  const double d = v.AsReal(), scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil") return Value(std::ceil(d * scale) / scale);
  if (method == "floor") return Value(std::floor(d * scale) / scale);
  if (method != "common") return Error(ErrorCode::kInvalidArgument, "round: method must be common, ceil or floor");
  if (!std::isfinite(d)) return Value(d);
  std::array<char, 400> digits{};  // 309 before the point
  std::snprintf(digits.data(), digits.size(), "%.*f", static_cast<int>(precision), d);
  double rounded = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), rounded);
  return Value(rounded);
}

constexpr Builtin kFilters[] = {
    {"abs", "x", FilterAbs},
    {"capitalize", "s", FilterCase<Case::kCapitalize>},
    {"count", "value", FilterLength},
    {"d", "value default_value? boolean?", FilterDefault},
    {"default", "value default_value? boolean?", FilterDefault},
    {"e", "s", FilterEscape},
    {"escape", "s", FilterEscape},
    {"float", "value default?", FilterFloat},
    {"indent", "s width? first? blank?", FilterIndent},
    {"int", "value default? base?", FilterInt},
    {"length", "value", FilterLength},
    {"lower", "s", FilterCase<Case::kLower>},
    {"replace", "s old new count?", FilterReplace},
    {"round", "value precision? method?", FilterRound},
    {"safe", "s", FilterString},  // nothing is escaped unless asked for
    {"string", "s", FilterString},
    {"title", "s", FilterTitle},
    {"tojson", "x ensure_ascii? indent? separators? sort_keys?", FilterToJson},
    {"trim", "s chars?", FilterTrim},
    {"upper", "s", FilterCase<Case::kUpper>},
};

}  // namespace

std::span<const Builtin> TextFilters() { return kFilters; }

}  // namespace bonsai::text::jinja
