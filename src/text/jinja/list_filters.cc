// Filters of lists and dictionaries.
#include <algorithm>
#include <charconv>

#include "formats/metadata.h"
#include "text/jinja/builtins.h"
#include "text/jinja/evaluator.h"
#include "text/jinja/operators.h"

namespace bonsai::text::jinja {
namespace {

using Kind = Value::Kind;

/// value.path ("a.b.0"), or value when there is no path. Parts that are undefined become `fallback`.
Result<Value> Pick(Evaluator& e, const Value& value, const Value& path, const Value& fallback = Value()) {
  if (!path.defined() || path.is(Kind::kNull)) return value;
  const std::string text = ToText(path, e.budget()).bytes();
  Value at = value;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view part = rest.substr(0, rest.find('.'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    int64_t index = 0;
    const auto read = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool number = read.ec == std::errc() && read.ptr == part.data() + part.size();
    BONSAI_ASSIGN(at, e.Item(at, number ? Value(index) : Value(part)));
    if (!at.defined() && fallback.defined()) at = fallback;
  }
  return at;
}

/// What sort, unique, min and max compare: without case, unless asked for.
Result<Value> SortKey(Evaluator& e, const Value& value, const Value& path, bool case_sensitive) {
  BONSAI_ASSIGN(Value key, Pick(e, value, path));
  if (case_sensitive || !key.is(Kind::kString)) return key;
  e.budget().Spend(8 * key.text().size());
  return Value(ChangeCase(key.text(), Case::kLower));
}

struct Keyed {
  Value key, value;
};

Result<std::vector<Keyed>> WithKeys(Evaluator& e, const Value& value, const Value& path, bool case_sensitive) {
  BONSAI_ASSIGN(const List list, Elements(value, e.budget()));
  std::vector<Keyed> keyed;
  for (const Value& v : list) {
    BONSAI_ASSIGN(Value key, SortKey(e, v, path, case_sensitive));
    keyed.push_back({std::move(key), v});
  }
  return keyed;
}

/// Stable.
Status Sort(std::vector<Keyed>& keyed, bool reverse, Budget& budget) {
  Status status;
  std::stable_sort(keyed.begin(), keyed.end(), [&](const Keyed& a, const Keyed& b) {
    const Result<int> order = Compare(a.key, b.key, budget);
    if (!order && status) status = order.error();
    return order && (reverse ? *order > 0 : *order < 0);
  });
  return status;
}

Result<Value> Values(const std::vector<Keyed>& keyed, Budget& budget) {
  List out;
  for (const Keyed& k : keyed) out.push_back(k.value);
  return Made(std::move(out), budget);
}

Result<Value> FilterSort(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(auto keyed, WithKeys(e, a.values[0], a.values[3], BoolArg(a.values[2], false)));
  BONSAI_RETURN_IF_ERROR(Sort(keyed, BoolArg(a.values[1], false), e.budget()));
  return Values(keyed, e.budget());
}

Result<Value> FilterUnique(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(auto keyed, WithKeys(e, a.values[0], a.values[2], BoolArg(a.values[1], false)));
  std::vector<Keyed> kept;
  for (Keyed& k : keyed) {
    const auto same = [&](const Keyed& other) { return Equal(k.key, other.key, e.budget()); };
    if (std::none_of(kept.begin(), kept.end(), same)) kept.push_back(std::move(k));
    if (!e.budget().ok()) return e.budget().error();
  }
  return Values(kept, e.budget());
}

template <bool kMax>
Result<Value> FilterExtreme(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(auto keyed, WithKeys(e, a.values[0], a.values[2], BoolArg(a.values[1], false)));
  BONSAI_RETURN_IF_ERROR(Sort(keyed, kMax, e.budget()));
  return keyed.empty() ? Value::Undefined("the extreme of nothing") : keyed[0].value;
}

Result<Value> FilterSum(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(const List list, Elements(a.values[0], e.budget()));
  Value sum = a.values[2].defined() ? a.values[2] : Value(int64_t{0});
  for (const Value& v : list) {
    BONSAI_ASSIGN(const Value part, Pick(e, v, a.values[1]));
    BONSAI_ASSIGN(sum, Apply(Operator::kAdd, sum, part, e.budget()));
  }
  return sum;
}

Result<Value> FilterJoin(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(List list, Elements(a.values[0], e.budget()));
  for (Value& v : list) {
    BONSAI_ASSIGN(v, Pick(e, v, a.values[2]));
  }
  return Value(Join(list, ToText(a.values[1], e.budget()), e.budget()));
}

Result<Value> FilterFirst(Evaluator& e, const Args& a) {
  if (a.values[0].is(Kind::kList) || a.values[0].is(Kind::kString))
    return Index(a.values[0], Value(int64_t{0}), e.budget());
  BONSAI_ASSIGN(const List list, Elements(a.values[0], e.budget()));
  return list.empty() ? Value::Undefined("the first of nothing") : list.front();
}

Result<Value> FilterLast(Evaluator& e, const Args& a) {
  if (a.values[0].is(Kind::kList) || a.values[0].is(Kind::kString))
    return Index(a.values[0], Value(int64_t{-1}), e.budget());
  BONSAI_ASSIGN(const List list, Elements(a.values[0], e.budget()));
  return list.empty() ? Value::Undefined("the last of nothing") : list.back();
}

Result<Value> FilterList(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(List list, Elements(a.values[0], e.budget()));
  return Made(std::move(list), e.budget());
}

/// A reversed text stays a text.
Result<Value> FilterReverse(Evaluator& e, const Args& a) {
  if (a.values[0].is(Kind::kString)) return Slice(a.values[0], Value(), Value(), Value(int64_t{-1}), e.budget());
  BONSAI_ASSIGN(List list, Elements(a.values[0], e.budget()));
  std::reverse(list.begin(), list.end());
  return Made(std::move(list), e.budget());
}

Result<Value> Pairs(const std::vector<std::pair<Value, Value>>& items, Budget& budget) {
  List out;
  for (const auto& [key, value] : items) {
    BONSAI_ASSIGN(Value pair, Made(List{key, value}, budget));
    out.push_back(std::move(pair));
  }
  return Made(std::move(out), budget);
}

Result<Value> FilterItems(Evaluator& e, const Args& a) {
  const Value& v = a.values[0];
  if (!v.defined()) return Value::Of(List());
  if (!v.is(Kind::kDict)) return Error(ErrorCode::kInvalidArgument, "items: a {} is no dictionary", v.KindName());
  return Pairs(v.dict(), e.budget());
}

Result<Value> FilterDictSort(Evaluator& e, const Args& a) {
  const Value& v = a.values[0];
  if (!v.is(Kind::kDict)) return Error(ErrorCode::kInvalidArgument, "dictsort: a {} is no dictionary", v.KindName());
  const std::string by = a.values[2].defined() ? ToText(a.values[2], e.budget()).bytes() : "key";
  if (by != "key" && by != "value") return Error(ErrorCode::kInvalidArgument, "dictsort: by must be key or value");
  BONSAI_ASSIGN(const Value pairs, Pairs(v.dict(), e.budget()));
  const Value path(int64_t{by == "key" ? 0 : 1});
  BONSAI_ASSIGN(auto keyed, WithKeys(e, pairs, path, BoolArg(a.values[1], false)));
  BONSAI_RETURN_IF_ERROR(Sort(keyed, BoolArg(a.values[3], false), e.budget()));
  return Values(keyed, e.budget());
}

/// Lists of `linecount` elements each.
Result<Value> FilterBatch(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(const int64_t size, IntArg(a.values[1], "linecount", 1));
  if (size < 1 || size > (1 << 20)) return Error(ErrorCode::kInvalidArgument, "batch: linecount must be 1 to 2^20");
  BONSAI_ASSIGN(const List list, Elements(a.values[0], e.budget()));
  List out;
  for (size_t i = 0; i < list.size(); i += static_cast<size_t>(size)) {
    List line(list.begin() + static_cast<std::ptrdiff_t>(i),
              list.begin() + static_cast<std::ptrdiff_t>(std::min(list.size(), i + static_cast<size_t>(size))));
    if (a.values[2].defined()) line.resize(static_cast<size_t>(size), a.values[2]);
    BONSAI_ASSIGN(Value made, Made(std::move(line), e.budget()));
    out.push_back(std::move(made));
  }
  return Made(std::move(out), e.budget());
}

Result<Value> FilterAttr(Evaluator& e, const Args& a) {
  return e.Attribute(a.values[0], ToText(a.values[1], e.budget()).bytes());
}

/// The builtin that the argument at `at` names, applied to `value` and the arguments behind it.
Result<Value> CallNamed(Evaluator& e, const Builtin* (*find)(std::string_view), const Args& a, size_t at,
                        const Value& value) {
  BONSAI_ASSIGN(const Text name, TextArg(a.values[at], "name"));
  const Builtin* const builtin = find(name.bytes());
  if (builtin == nullptr) {
    return Error(ErrorCode::kUnsupported, "{} is no filter or test that is supported", formats::Quote(name.bytes()));
  }
  Args args{{value}, a.named};
  args.values.insert(args.values.end(), a.values.begin() + static_cast<std::ptrdiff_t>(at + 1), a.values.end());
  return e.Call(*builtin, std::move(args));
}

/// map('upper') and map(attribute='name', default='-').
Result<Value> FilterMap(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(const List list, Elements(a.values[0], e.budget()));
  const auto named = [&](std::string_view name) {
    for (const auto& [key, value] : a.named) {
      if (key == name) return value;
    }
    return Value();
  };
  const Value path = named("attribute"), fallback = named("default");
  if (a.values.size() < 2 && !path.defined()) {
    return Error(ErrorCode::kInvalidArgument, "map needs a filter or attribute=");
  }
  List out;
  for (const Value& v : list) {
    BONSAI_ASSIGN(Value mapped, a.values.size() > 1 ? CallNamed(e, FindFilter, a, 1, v) : Pick(e, v, path, fallback));
    out.push_back(std::move(mapped));
  }
  return Made(std::move(out), e.budget());
}

/// select(test…), reject(test…), and with kAttribute selectattr(path, test…), rejectattr(path, test…). Without a test:
/// whether it is true.
template <bool kAttribute, bool kKeep>
Result<Value> FilterSelect(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(const List list, Elements(a.values[0], e.budget()));
  const size_t test = kAttribute ? 2 : 1;
  if (a.values.size() < test) return Error(ErrorCode::kInvalidArgument, "selectattr and rejectattr need an attribute");
  List out;
  for (const Value& v : list) {
    Value holds = v;
    if (kAttribute) {
      BONSAI_ASSIGN(holds, Pick(e, v, a.values[1]));
    }
    if (a.values.size() > test) {
      BONSAI_ASSIGN(holds, CallNamed(e, FindTest, a, test, holds));
    }
    if (holds.Truthy() == kKeep) out.push_back(v);
  }
  return Made(std::move(out), e.budget());
}

constexpr Builtin kFilters[] = {
    {"attr", "obj name", FilterAttr},
    {"batch", "value linecount fill_with?", FilterBatch},
    {"dictsort", "value case_sensitive? by? reverse?", FilterDictSort},
    {"first", "seq", FilterFirst},
    {"items", "value", FilterItems},
    {"join", "value d? attribute?", FilterJoin},
    {"last", "seq", FilterLast},
    {"list", "value", FilterList},
    {"map", "seq * **", FilterMap},
    {"max", "value case_sensitive? attribute?", FilterExtreme<true>},
    {"min", "value case_sensitive? attribute?", FilterExtreme<false>},
    {"reject", "seq * **", FilterSelect<false, false>},
    {"rejectattr", "seq * **", FilterSelect<true, false>},
    {"reverse", "value", FilterReverse},
    {"select", "seq * **", FilterSelect<false, true>},
    {"selectattr", "seq * **", FilterSelect<true, true>},
    {"sort", "value reverse? case_sensitive? attribute?", FilterSort},
    {"sum", "iterable attribute? start?", FilterSum},
    {"unique", "value case_sensitive? attribute?", FilterUnique},
};

}  // namespace

std::span<const Builtin> ListFilters() { return kFilters; }

}  // namespace bonsai::text::jinja
