#include "text/jinja/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace bonsai::text::jinja {
namespace {

using Kind = Value::Kind;

int DepthOf(const List& list) {
  int depth = 0;
  for (const Value& v : list) depth = std::max(depth, v.depth());
  return depth;
}

int DepthOf(const Dict& dict) {
  int depth = 0;
  for (const auto& [key, value] : dict) depth = std::max({depth, key.depth(), value.depth()});
  return depth;
}

/// Python's repr of a string. It prefers single quotes.
void AppendQuoted(Text& out, const Text& text, Budget& budget) {
  const std::string_view s = text.bytes();
  if (!budget.Spend(s.size())) return;
  const bool double_quotes = s.find('\'') != std::string_view::npos && s.find('"') == std::string_view::npos;
  const std::string quote = double_quotes ? "\"" : "'";
  budget.Append(out, quote);
  for (size_t i = 0, n; i < s.size() && budget.ok(); i += n) {
    n = CharacterLength(s, i);
    const std::string_view c = s.substr(i, n);
    const size_t simple = std::string_view("\n\r\t\\").find(c[0]);
    if (simple != std::string_view::npos || c == quote) {
      const char escape[] = {'\\', c == quote ? c[0] : "nrt\\"[simple]};
      out.Append({escape, 2}, text.TrustedAt(i));
    } else if (static_cast<uint8_t>(c[0]) < 0x20 || c[0] == 0x7f) {
      out.Append(fmt::format("\\x{:02x}", c[0]), text.TrustedAt(i));
    } else {
      out.Append(c, text.TrustedAt(i));
    }
  }
  budget.Append(out, quote);
}

void AppendRepr(Text& out, const Value& value, Budget& budget) {
  if (!budget.Spend()) return;
  std::string_view separator;
  switch (value.kind()) {
    case Kind::kString:
      return AppendQuoted(out, value.text(), budget);
    case Kind::kList:
      budget.Append(out, "[");
      for (const Value& v : value.list()) {
        if (!budget.Append(out, std::exchange(separator, ", "))) return;
        AppendRepr(out, v, budget);
      }
      budget.Append(out, "]");
      return;
    case Kind::kDict:
      budget.Append(out, "{");
      for (const auto& [key, v] : value.dict()) {
        if (!budget.Append(out, std::exchange(separator, ", "))) return;
        AppendRepr(out, key, budget);
        budget.Append(out, ": ");
        AppendRepr(out, v, budget);
      }
      budget.Append(out, "}");
      return;
    case Kind::kUndefined:
      budget.Append(out, "Undefined");
      return;
    default:
      budget.Append(out, ToText(value, budget));
  }
}

template <class T>
int Order(T a, T b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

}  // namespace

bool Budget::Append(Text& to, const Text& more) {
  if (Fits(to.size() + more.size()) && Spend(more.size())) to.Append(more);
  return ok();
}

bool Budget::Append(Text& to, std::string_view more, bool trusted) {
  if (Fits(to.size() + more.size()) && Spend(more.size())) to.Append(more, trusted);
  return ok();
}

ErrorValue Budget::error() const {
  if (too_long_) return Error(ErrorCode::kInvalidArgument, "a text grew beyond {} bytes", text_bytes_);
  return Error(ErrorCode::kInvalidArgument, "the template took too many steps; does it loop?");
}

Value Value::Of(List list) {
  const int depth = 1 + DepthOf(list);
  Value v(nullptr);
  v.data_ = std::make_shared<const Nested<List>>(Nested<List>{std::move(list), depth});
  return v;
}

Value Value::Of(Dict dict) {
  const int depth = 1 + DepthOf(dict);
  Value v(nullptr);
  v.data_ = std::make_shared<const Nested<Dict>>(Nested<Dict>{std::move(dict), depth});
  return v;
}

int Value::depth() const {
  if (const auto* list = std::get_if<std::shared_ptr<const Nested<List>>>(&data_)) return (*list)->depth;
  if (const auto* dict = std::get_if<std::shared_ptr<const Nested<Dict>>>(&data_)) return (*dict)->depth;
  return is(Kind::kObject) ? kMaxDepth : 0;
}

bool Value::Truthy() const {
  switch (kind()) {
    case Kind::kUndefined:
    case Kind::kNull:
      return false;
    case Kind::kString:
      return !text().empty();
    case Kind::kList:
      return !list().empty();
    case Kind::kDict:
      return !dict().empty();
    case Kind::kObject:
      return true;
    default:
      return AsReal() != 0;
  }
}

double Value::AsReal() const { return is(Kind::kFloat) ? real() : static_cast<double>(AsInteger()); }

std::string_view Value::KindName() const {
  constexpr std::string_view kNames[] = {"undefined", "none",   "boolean", "integer",
                                         "float",     "string", "list",    "dictionary"};
  return is(Kind::kObject) ? object()->kind() : kNames[data_.index()];
}

bool Equal(const Value& a, const Value& b, Budget& budget) {
  if (!budget.Spend()) return false;
  if (a.IsNumber() && b.IsNumber()) {
    if (a.is(Kind::kFloat) || b.is(Kind::kFloat)) return a.AsReal() == b.AsReal();
    return a.AsInteger() == b.AsInteger();
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kString:
      return a.text().size() == b.text().size() && budget.Spend(a.text().size()) &&
             a.text().bytes() == b.text().bytes();
    case Kind::kList:
      return std::equal(a.list().begin(), a.list().end(), b.list().begin(), b.list().end(),
                        [&](const Value& x, const Value& y) { return Equal(x, y, budget); });
    case Kind::kDict:
      return a.dict().size() == b.dict().size() &&
             std::all_of(a.dict().begin(), a.dict().end(), [&](const std::pair<Value, Value>& item) {
               const Value* const other = Find(b.dict(), item.first, budget);
               return other != nullptr && Equal(item.second, *other, budget);
             });
    case Kind::kObject:
      return a.object() == b.object();
    default:
      return true;  // undefined, none
  }
}

Result<int> Compare(const Value& a, const Value& b, Budget& budget) {
  if (!budget.Spend()) return 0;
  if (a.IsNumber() && b.IsNumber()) {
    if (!a.is(Kind::kFloat) && !b.is(Kind::kFloat)) return Order(a.AsInteger(), b.AsInteger());
    return Order(a.AsReal(), b.AsReal());
  }
  if (a.is(Kind::kString) && b.is(Kind::kString)) {
    budget.Spend(std::min(a.text().size(), b.text().size()));
    return Order(a.text().bytes().compare(b.text().bytes()), 0);  // UTF-8 sorts as code points do
  }
  if (a.is(Kind::kList) && b.is(Kind::kList)) {
    for (size_t i = 0; i < std::min(a.list().size(), b.list().size()) && budget.ok(); i++) {
      if (!Equal(a.list()[i], b.list()[i], budget)) return Compare(a.list()[i], b.list()[i], budget);
    }
    return Order(a.list().size(), b.list().size());
  }
  if (!a.defined() || !b.defined()) {
    return Error(ErrorCode::kInvalidArgument, "{} is undefined", (a.defined() ? b : a).what_is_undefined());
  }
  return Error(ErrorCode::kInvalidArgument, "{} and {} have no order", a.KindName(), b.KindName());
}

const Value* Find(const Dict& dict, const Value& key, Budget& budget) {
  for (const auto& [k, value] : dict) {
    if (Equal(k, key, budget)) return &value;
    if (!budget.ok()) break;  // or a thousand lookups in a large dictionary would still go through it
  }
  return nullptr;
}

void Set(Dict& dict, Value key, Value value, Budget& budget) {
  for (auto& [k, v] : dict) {
    if (!budget.ok()) return;
    if (Equal(k, key, budget)) {
      v = std::move(value);
      return;
    }
  }
  dict.emplace_back(std::move(key), std::move(value));
}

Text ToText(const Value& value, Budget& budget) {
  Text out;
  switch (value.kind()) {
    case Kind::kUndefined:
      return out;
    case Kind::kNull:
      return Text("None", false);
    case Kind::kBool:
      return Text(value.boolean() ? "True" : "False", false);
    case Kind::kInt:
      return Text(std::to_string(value.integer()), false);
    case Kind::kFloat:
      return Text(FloatText(value.real()), false);
    case Kind::kString:
      budget.Spend(value.text().size());
      return value.text();
    case Kind::kObject:
      return Text(fmt::format("<{}>", value.KindName()), false);
    default:
      AppendRepr(out, value, budget);
      return out;
  }
}

std::string FloatText(double d) {
  if (std::isnan(d)) return "nan";
  if (std::isinf(d)) return d < 0 ? "-inf" : "inf";
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), d, std::chars_format::scientific).ptr;
  const std::string_view all(buffer, static_cast<size_t>(end - buffer));  // -d.ddde-XX
  const size_t e = all.find('e');
  int exponent = 0;
  std::from_chars(buffer + e + (all[e + 1] == '+' ? 2 : 1), end, exponent);
  if (exponent < -4 || exponent >= 16) return std::string(all);
  const std::string sign = all[0] == '-' ? "-" : "";
  std::string digits;
  for (const char c : all.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  if (exponent < 0) return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

}  // namespace bonsai::text::jinja
