#include "text/jinja/builtins.h"

#include <fmt/format.h>

#include <algorithm>

namespace bonsai::text::jinja {
namespace {

using Kind = Value::Kind;

ErrorValue Wrong(const Builtin& builtin, std::string_view what) {
  return Error(ErrorCode::kInvalidArgument, "{}: {}", builtin.name, what);
}

}  // namespace

const Builtin* FindFilter(std::string_view name) {
  for (const auto table : {TextFilters(), ListFilters()}) {
    for (const Builtin& b : table) {
      if (b.name == name) return &b;
    }
  }
  return nullptr;
}

Result<Args> BindArgs(const Builtin& builtin, Args args) {
  Args bound;
  size_t given = 0;
  for (std::string_view rest = builtin.parameters; !rest.empty();) {
    std::string_view parameter = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(rest.size(), parameter.size() + 1));
    if (parameter == "**") {
      bound.named = std::exchange(args.named, {});
      continue;
    }
    if (parameter == "*") {
      for (; given < args.values.size(); given++) bound.values.push_back(std::move(args.values[given]));
      continue;
    }
    const bool optional = parameter.ends_with('?');
    if (optional) parameter.remove_suffix(1);
    const auto named =
        std::find_if(args.named.begin(), args.named.end(), [&](const auto& item) { return item.first == parameter; });
    if (given < args.values.size()) {
      bound.values.push_back(std::move(args.values[given++]));
    } else if (named != args.named.end()) {
      bound.values.push_back(std::move(named->second));
      args.named.erase(named);
    } else if (optional) {
      bound.values.push_back(Value::Undefined(std::string(parameter)));
    } else {
      return Wrong(builtin, fmt::format("argument '{}' is missing", parameter));
    }
  }
  if (given < args.values.size()) return Wrong(builtin, "too many arguments");
  if (!args.named.empty()) return Wrong(builtin, fmt::format("no argument is called '{}'", args.named[0].first));
  return bound;
}

Result<int64_t> IntArg(const Value& v, std::string_view name, int64_t fallback) {
  if (!v.defined() || v.is(Kind::kNull)) return fallback;
  if (v.is(Kind::kInt) || v.is(Kind::kBool)) return v.AsInteger();
  return Error(ErrorCode::kInvalidArgument, "'{}' must be an integer, not a {}", name, v.KindName());
}

Result<Text> TextArg(const Value& v, std::string_view name) {
  if (v.is(Kind::kString)) return v.text();
  return Error(ErrorCode::kInvalidArgument, "'{}' must be a string, not a {}", name, v.KindName());
}

Text Replace(const Text& text, std::string_view from, const Text& to, int64_t count, Budget& budget) {
  const std::string& s = text.bytes();
  budget.SpendSearch(s.size(), from.size());
  Text out;
  size_t at = 0;
  for (; count != 0 && budget.ok(); count--) {
    const size_t found = s.find(from, at);
    if (found == std::string::npos || found >= s.size() + (from.empty() ? 1 : 0)) break;
    out.Append(text, at, found);
    budget.Append(out, to);
    at = found + from.size();
    if (!from.empty()) continue;
    if (at == s.size()) return out;  // "ab" with "-" between all: -a-b-
    const size_t n = CharacterLength(s, at);
    out.Append(text, at, at + n);
    at += n;
  }
  if (budget.Fits(out.size() + s.size() - at)) out.Append(text, at, s.size());
  return out;
}

Text Join(const List& list, const Text& separator, Budget& budget) {
  Text out;
  for (size_t i = 0; i < list.size() && budget.ok(); i++) {
    if (i != 0) budget.Append(out, separator);
    budget.Append(out, ToText(list[i], budget));
  }
  return out;
}

}  // namespace bonsai::text::jinja
