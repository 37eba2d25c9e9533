// Methods of strings, lists, dictionaries and `loop`: Python's, as far as they do not change anything.
#include <algorithm>

#include "text/jinja/builtins.h"
#include "text/jinja/evaluator.h"
#include "text/jinja/operators.h"

namespace bonsai::text::jinja {
namespace {

using Kind = Value::Kind;

const std::string& Self(const Args& a) { return a.values[0].text().bytes(); }

template <bool kLeft, bool kRight>
Result<Value> StringStrip(Evaluator& e, const Args& a) {
  Text chars;
  if (a.values[1].defined() && !a.values[1].is(Kind::kNull)) {
    BONSAI_ASSIGN(chars, TextArg(a.values[1], "chars"));
    if (chars.empty()) return a.values[0];
  }
  if (!e.budget().Spend(Self(a).size() * std::max<size_t>(1, chars.size()))) return e.budget().error();
  return Value(Strip(a.values[0].text(), chars.bytes(), kLeft, kRight));
}

/// The parts that `separator` (not empty) leaves, at most `count` cuts.
List Cut(const Text& text, const std::string& separator, int64_t count, Budget& budget) {
  List parts;
  size_t begin = 0;
  for (; count != 0 && budget.Spend(); count--) {
    const size_t end = text.bytes().find(separator, begin);
    if (end == std::string::npos) break;
    parts.emplace_back(text.Slice(begin, end));
    begin = end + separator.size();
  }
  parts.emplace_back(text.Slice(begin, text.size()));
  return parts;
}

/// The same from the right.
List CutRight(const Text& text, const std::string& separator, int64_t count, Budget& budget) {
  List parts;
  size_t end = text.size();
  for (; count != 0 && end >= separator.size() && budget.Spend(); count--) {
    const size_t found = text.bytes().rfind(separator, end - separator.size());
    if (found == std::string::npos) break;
    parts.emplace_back(text.Slice(found + separator.size(), end));
    end = found;
  }
  parts.emplace_back(text.Slice(0, end));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

/// Words between white space, at most `count` cuts.
List Words(const Text& text, int64_t count, Budget& budget) {
  const std::string& s = text.bytes();
  List words;
  for (size_t begin = 0; budget.Spend();) {
    while (begin < s.size() && SpaceLength(s, begin) > 0) begin += SpaceLength(s, begin);
    if (begin == s.size()) break;
    size_t end = begin;
    while (end < s.size() && SpaceLength(s, end) == 0) end += CharacterLength(s, end);
    if (count-- == 0) {
      words.emplace_back(text.Slice(begin, s.size()));
      break;
    }
    words.emplace_back(text.Slice(begin, end));
    begin = end;
  }
  return words;
}

template <bool kRight>
Result<Value> StringSplit(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(const int64_t count, IntArg(a.values[2], "maxsplit", -1));
  e.budget().SpendSearch(2 * Self(a).size(), a.values[1].is(Kind::kString) ? a.values[1].text().size() : 0);
  if (!a.values[1].defined() || a.values[1].is(Kind::kNull)) {
    if (kRight && count >= 0) return Error(ErrorCode::kInvalidArgument, "rsplit with maxsplit needs a separator");
    return Made(Words(a.values[0].text(), count, e.budget()), e.budget());
  }
  BONSAI_ASSIGN(const Text separator, TextArg(a.values[1], "sep"));
  if (separator.empty()) return Error(ErrorCode::kInvalidArgument, "split: an empty separator");
  const auto cut = kRight ? CutRight : Cut;
  return Made(cut(a.values[0].text(), separator.bytes(), count, e.budget()), e.budget());
}

Result<Value> StringSplitLines(Evaluator& e, const Args& a) {
  const std::string& s = Self(a);
  const bool keep = BoolArg(a.values[1], false);
  e.budget().Spend(s.size());
  List lines;
  for (size_t begin = 0; begin < s.size() && e.budget().Spend();) {
    const size_t end = std::min(s.find_first_of("\r\n", begin), s.size());
    const size_t next = std::min(s.size(), end + (s.compare(end, 2, "\r\n") == 0 ? 2 : 1));
    lines.emplace_back(a.values[0].text().Slice(begin, keep ? next : end));
    begin = next;
  }
  return Made(std::move(lines), e.budget());
}

/// startswith and endswith; a list of texts is a choice.
template <bool kStart>
Result<Value> StringAffix(Evaluator& e, const Args& a) {
  const List choice = a.values[1].is(Kind::kList) ? a.values[1].list() : List{a.values[1]};
  for (const Value& v : choice) {
    BONSAI_ASSIGN(const Text affix, TextArg(v, "affix"));
    e.budget().Spend(affix.size());
    if (kStart ? Self(a).starts_with(affix.bytes()) : Self(a).ends_with(affix.bytes())) return Value(true);
  }
  return Value(false);
}

template <bool kPrefix>
Result<Value> StringRemoveAffix(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(const Value has, StringAffix<kPrefix>(e, a));
  if (!has.boolean() || !a.values[1].is(Kind::kString)) return a.values[0];
  const size_t n = a.values[1].text().size(), size = Self(a).size();
  return Value(a.values[0].text().Slice(kPrefix ? n : 0, kPrefix ? size : size - n));
}

Result<Value> StringReplace(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(const Text from, TextArg(a.values[1], "old"));
  BONSAI_ASSIGN(const Text to, TextArg(a.values[2], "new"));
  BONSAI_ASSIGN(const int64_t count, IntArg(a.values[3], "count", -1));
  return Value(Replace(a.values[0].text(), from.bytes(), to, count, e.budget()));
}

template <Case kCase>
Result<Value> StringCase(Evaluator& e, const Args& a) {
  e.budget().Spend(8 * Self(a).size());
  return Value(ChangeCase(a.values[0].text(), kCase));
}

/// In characters; -1 when there is none.
template <bool kRight>
Result<Value> StringFind(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(const Text part, TextArg(a.values[1], "sub"));
  const std::string& s = Self(a);
  if (!e.budget().SpendSearch(s.size(), part.size())) return e.budget().error();
  const size_t at = kRight ? s.rfind(part.bytes()) : s.find(part.bytes());
  if (at == std::string::npos) return Value(int64_t{-1});
  return Value(static_cast<int64_t>(CharacterCount(std::string_view(s).substr(0, at))));
}

Result<Value> StringCount(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(const Text part, TextArg(a.values[1], "sub"));
  const std::string& s = Self(a);
  if (!e.budget().SpendSearch(s.size(), part.size())) return e.budget().error();
  if (part.empty()) return Value(static_cast<int64_t>(CharacterCount(s) + 1));
  int64_t count = 0;
  for (size_t at = 0; (at = s.find(part.bytes(), at)) != std::string::npos; at += part.size()) count++;
  return Value(count);
}

Result<Value> StringJoin(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(const List list, Elements(a.values[1], e.budget()));
  for (const Value& v : list) BONSAI_RETURN_IF_ERROR(TextArg(v, "an element"));
  return Value(Join(list, a.values[0].text(), e.budget()));
}

/// Not empty, and every character is one of those.
template <bool (*kIs)(std::string_view)>
Result<Value> StringAll(Evaluator& e, const Args& a) {
  const std::string& s = Self(a);
  e.budget().Spend(4 * s.size());
  for (size_t i = 0; i < s.size(); i += CharacterLength(s, i)) {
    if (!kIs(std::string_view(s).substr(i, CharacterLength(s, i)))) return Value(false);
  }
  return Value(!s.empty());
}
bool IsSpace(std::string_view c) { return SpaceLength(c, 0) > 0; }
bool IsLetterOrDecimal(std::string_view c) { return IsLetter(c) || IsDecimal(c); }

Result<Value> DictGet(Evaluator& e, const Args& a) {
  const Value* const found = Find(a.values[0].dict(), a.values[1], e.budget());
  if (found != nullptr) return *found;
  return a.values[2].defined() ? a.values[2] : Value(nullptr);
}

Result<Value> DictKeys(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(List keys, Elements(a.values[0], e.budget()));
  return Made(std::move(keys), e.budget());
}

Result<Value> DictValues(Evaluator& e, const Args& a) {
  List values;
  for (const auto& [key, value] : a.values[0].dict()) values.push_back(value);
  return Made(std::move(values), e.budget());
}

Result<Value> DictItems(Evaluator& e, const Args& a) { return e.Call(*FindFilter("items"), a); }

Result<Value> ListIndex(Evaluator& e, const Args& a) {
  const List& list = a.values[0].list();
  const auto same = [&](const Value& v) { return Equal(v, a.values[1], e.budget()); };
  const auto it = std::find_if(list.begin(), list.end(), same);
  if (it == list.end()) return Error(ErrorCode::kInvalidArgument, "index: the list does not hold that");
  return Value(static_cast<int64_t>(it - list.begin()));
}

Result<Value> ListCount(Evaluator& e, const Args& a) {
  const List& list = a.values[0].list();
  const auto same = [&](const Value& v) { return Equal(v, a.values[1], e.budget()); };
  return Value(static_cast<int64_t>(std::count_if(list.begin(), list.end(), same)));
}

Result<Value> Copy(Evaluator&, const Args& a) { return a.values[0]; }

/// Hugging Face's sandbox refuses these, too.
Result<Value> Refuse(Evaluator&, const Args& a) {
  return Error(ErrorCode::kInvalidArgument, "a template may not change a {}", a.values[0].KindName());
}

Result<Value> LoopCycle(Evaluator&, const Args& a) {
  if (a.values.size() < 2) return Error(ErrorCode::kInvalidArgument, "loop.cycle needs values");
  return a.values[1 + a.values[0].As<Loop>()->index % (a.values.size() - 1)];
}

constexpr Builtin kStringMethods[] = {
    {"capitalize", "self", StringCase<Case::kCapitalize>},
    {"count", "self sub", StringCount},
    {"endswith", "self suffix", StringAffix<false>},
    {"find", "self sub", StringFind<false>},
    {"isalnum", "self", StringAll<IsLetterOrDecimal>},
    {"isalpha", "self", StringAll<IsLetter>},
    {"isdecimal", "self", StringAll<IsDecimal>},
    {"isdigit", "self", StringAll<IsDecimal>},
    {"isnumeric", "self", StringAll<IsDecimal>},
    {"isspace", "self", StringAll<IsSpace>},
    {"join", "self iterable", StringJoin},
    {"lower", "self", StringCase<Case::kLower>},
    {"lstrip", "self chars?", StringStrip<true, false>},
    {"removeprefix", "self prefix", StringRemoveAffix<true>},
    {"removesuffix", "self suffix", StringRemoveAffix<false>},
    {"replace", "self old new count?", StringReplace},
    {"rfind", "self sub", StringFind<true>},
    {"rsplit", "self sep? maxsplit?", StringSplit<true>},
    {"rstrip", "self chars?", StringStrip<false, true>},
    {"split", "self sep? maxsplit?", StringSplit<false>},
    {"splitlines", "self keepends?", StringSplitLines},
    {"startswith", "self prefix", StringAffix<true>},
    {"strip", "self chars?", StringStrip<true, true>},
    {"title", "self", StringCase<Case::kTitle>},
    {"upper", "self", StringCase<Case::kUpper>},
};
constexpr Builtin kDictMethods[] = {
    {"clear", "self * **", Refuse},
    {"copy", "self", Copy},
    {"get", "self key default?", DictGet},
    {"items", "self", DictItems},
    {"keys", "self", DictKeys},
    {"pop", "self * **", Refuse},
    {"popitem", "self * **", Refuse},
    {"setdefault", "self * **", Refuse},
    {"update", "self * **", Refuse},
    {"values", "self", DictValues},
};
constexpr Builtin kListMethods[] = {
    {"append", "self * **", Refuse},    {"clear", "self * **", Refuse},  {"copy", "self", Copy},
    {"count", "self value", ListCount}, {"extend", "self * **", Refuse}, {"index", "self value", ListIndex},
    {"insert", "self * **", Refuse},    {"pop", "self * **", Refuse},    {"remove", "self * **", Refuse},
    {"reverse", "self * **", Refuse},   {"sort", "self * **", Refuse},
};
constexpr Builtin kLoopMethods[] = {{"cycle", "self *", LoopCycle}};

std::span<const Builtin> Methods(Kind kind) {
  switch (kind) {
    case Kind::kString:
      return kStringMethods;
    case Kind::kDict:
      return kDictMethods;
    case Kind::kList:
      return kListMethods;
    case Kind::kObject:
      return kLoopMethods;
    default:
      return {};
  }
}

}  // namespace

const Builtin* FindMethod(Kind kind, std::string_view name) {
  for (const Builtin& b : Methods(kind)) {
    if (b.name == name) return &b;
  }
  return nullptr;
}

}  // namespace bonsai::text::jinja
