#include "text/jinja/operators.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace bonsai::text::jinja {
namespace {

using Kind = Value::Kind;

constexpr std::string_view kSpelling[] = {"+", "-", "*", "/", "//", "%", "**", "~"};

ErrorValue Wrong(Operator op, const Value& a, const Value& b) {
  for (const Value* const v : {&a, &b}) {
    if (!v->defined()) return Error(ErrorCode::kInvalidArgument, "{} is undefined", v->what_is_undefined());
  }
  return Error(ErrorCode::kInvalidArgument, "{} and {} do not go together with '{}'", a.KindName(), b.KindName(),
               kSpelling[static_cast<size_t>(op)]);
}

int64_t FloorMod(int64_t a, int64_t b) {
  if (b == -1) return 0;  // INT64_MIN % -1 overflows
  const int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

std::optional<int64_t> Power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return std::nullopt;
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) return std::nullopt;
  }
  return result;
}

Result<Value> Integers(Operator op, int64_t a, int64_t b) {
  int64_t r = 0;
  bool overflow = false;
  switch (op) {
    case Operator::kAdd:
      overflow = __builtin_add_overflow(a, b, &r);
      break;
    case Operator::kSubtract:
      overflow = __builtin_sub_overflow(a, b, &r);
      break;
    case Operator::kMultiply:
      overflow = __builtin_mul_overflow(a, b, &r);
      break;
    case Operator::kModulo:
      r = FloorMod(a, b);
      break;
    case Operator::kFloorDivide:
      overflow = b == -1 ? __builtin_sub_overflow(int64_t{0}, a, &r) : false;
      if (b != -1) r = a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
      break;
    default:
      const std::optional<int64_t> power = Power(a, b);
      overflow = !power;
      r = power.value_or(0);
  }
  if (overflow) return Error(ErrorCode::kInvalidArgument, "an integer of more than 64 bits");
  return Value(r);
}

Result<Value> Numbers(Operator op, const Value& a, const Value& b) {
  const bool divides = op == Operator::kDivide || op == Operator::kFloorDivide || op == Operator::kModulo;
  if (divides && b.AsReal() == 0) return Error(ErrorCode::kInvalidArgument, "division by zero");
  const bool real =
      a.is(Kind::kFloat) || b.is(Kind::kFloat) || op == Operator::kDivide || (op == Operator::kPower && b.AsReal() < 0);
  if (!real) return Integers(op, a.AsInteger(), b.AsInteger());
  const double x = a.AsReal(), y = b.AsReal();
  switch (op) {
    case Operator::kAdd:
      return Value(x + y);
    case Operator::kSubtract:
      return Value(x - y);
    case Operator::kMultiply:
      return Value(x * y);
    case Operator::kDivide:
      return Value(x / y);
    case Operator::kFloorDivide:
      return Value(std::floor(x / y));
    case Operator::kModulo:
      return Value(x - std::floor(x / y) * y);
    default:
      return Value(std::pow(x, y));
  }
}

/// A text or list, `times` times.
Result<Value> Repeat(const Value& v, int64_t times, Budget& budget) {
  if (v.is(Kind::kString)) {
    Text out;
    for (int64_t i = 0; i < times && !v.text().empty() && budget.Append(out, v.text()); i++) continue;
    return Value(std::move(out));
  }
  List out;
  for (int64_t i = 0; i < times && !v.list().empty() && budget.Spend(64 * v.list().size()); i++) {
    out.insert(out.end(), v.list().begin(), v.list().end());
  }
  return Made(std::move(out), budget);
}

Result<Value> Arithmetic(Operator op, const Value& a, const Value& b, Budget& budget) {
  if (a.IsNumber() && b.IsNumber()) return Numbers(op, a, b);
  if (op == Operator::kAdd && a.is(Kind::kString) && b.is(Kind::kString)) {
    Text out;
    budget.Append(out, a.text());
    budget.Append(out, b.text());
    return Value(std::move(out));
  }
  if (op == Operator::kAdd && a.is(Kind::kList) && b.is(Kind::kList)) {
    budget.Spend(64 * (a.list().size() + b.list().size()));
    if (!budget.ok()) return budget.error();
    List out = a.list();
    out.insert(out.end(), b.list().begin(), b.list().end());
    return Made(std::move(out), budget);
  }
  const auto counts = [](const Value& v) { return v.is(Kind::kInt) || v.is(Kind::kBool); };
  const auto repeats = [](const Value& v) { return v.is(Kind::kString) || v.is(Kind::kList); };
  if (op == Operator::kMultiply && repeats(a) && counts(b)) return Repeat(a, b.AsInteger(), budget);
  if (op == Operator::kMultiply && counts(a) && repeats(b)) return Repeat(b, a.AsInteger(), budget);
  return Wrong(op, a, b);
}

Result<bool> Contains(const Value& whole, const Value& part, Budget& budget) {
  if (whole.is(Kind::kString)) {
    if (!part.is(Kind::kString)) {
      return Error(ErrorCode::kInvalidArgument, "'in' a string needs a string, not a {}", part.KindName());
    }
    if (!budget.SpendSearch(whole.text().size(), part.text().size())) return budget.error();
    return whole.text().bytes().find(part.text().bytes()) != std::string::npos;
  }
  if (whole.is(Kind::kDict)) return Find(whole.dict(), part, budget) != nullptr;
  BONSAI_ASSIGN(const List list, Elements(whole, budget));
  return std::any_of(list.begin(), list.end(), [&](const Value& v) { return Equal(v, part, budget); });
}

/// Python's slice.indices(): what [begin:end:step] means for `size` elements.
struct Range {
  int64_t begin, end, step;
};
Result<Range> SliceRange(const Value& begin, const Value& end, const Value& step, int64_t size) {
  Range r{0, 0, 1};
  for (const Value* const v : {&begin, &end, &step}) {
    if (v->defined() && !v->is(Kind::kNull) && !v->is(Kind::kInt) && !v->is(Kind::kBool)) {
      return Error(ErrorCode::kInvalidArgument, "a slice needs integers, not a {}", v->KindName());
    }
  }
  const auto given = [](const Value& v) { return v.defined() && !v.is(Kind::kNull); };
  if (given(step)) r.step = step.AsInteger();
  if (r.step == 0) return Error(ErrorCode::kInvalidArgument, "a slice of step 0");
  const int64_t low = r.step < 0 ? -1 : 0, high = r.step < 0 ? size - 1 : size;
  const auto clamp = [&](const Value& v, int64_t fallback) {
    if (!given(v)) return fallback;
    const int64_t i = v.AsInteger();
    return std::clamp(i < 0 ? std::max(i, -size - 1) + size : i, low, high);
  };
  r.begin = clamp(begin, r.step < 0 ? high : low);
  r.end = clamp(end, r.step < 0 ? low : high);
  r.step = std::clamp(r.step, -size - 1, size + 1);  // so that no sum overflows
  return r;
}

}  // namespace

Result<Value> Apply(Operator op, const Value& a, const Value& b, Budget& budget) {
  switch (op) {
    case Operator::kConcatenate: {
      Text out = ToText(a, budget);
      budget.Append(out, ToText(b, budget));
      return Value(std::move(out));
    }
    case Operator::kEqual:
      return Value(Equal(a, b, budget));
    case Operator::kNotEqual:
      return Value(!Equal(a, b, budget));
    case Operator::kIn:
    case Operator::kNotIn: {
      BONSAI_ASSIGN(const bool in, Contains(b, a, budget));
      return Value(in == (op == Operator::kIn));
    }
    case Operator::kLess:
    case Operator::kLessEqual:
    case Operator::kGreater:
    case Operator::kGreaterEqual: {
      const bool nan = (a.is(Kind::kFloat) && std::isnan(a.real())) || (b.is(Kind::kFloat) && std::isnan(b.real()));
      BONSAI_ASSIGN(const int order, Compare(a, b, budget));
      const bool less = op == Operator::kLess || op == Operator::kLessEqual;
      const bool equal = op == Operator::kLessEqual || op == Operator::kGreaterEqual;
      return Value(!nan && (order == 0 ? equal : (order < 0) == less));
    }
    default:
      return Arithmetic(op, a, b, budget);
  }
}

Result<Value> Negate(const Value& v) {
  if (!v.IsNumber()) {
    if (!v.defined()) return Error(ErrorCode::kInvalidArgument, "{} is undefined", v.what_is_undefined());
    return Error(ErrorCode::kInvalidArgument, "'-' needs a number, not a {}", v.KindName());
  }
  if (v.is(Kind::kFloat)) return Value(-v.real());
  return Integers(Operator::kSubtract, 0, v.AsInteger());
}

Value Index(const Value& v, const Value& key, Budget& budget) {
  budget.Spend();
  if (v.is(Kind::kDict)) {
    const Value* const found = Find(v.dict(), key, budget);
    if (found != nullptr) return *found;
  } else if ((v.is(Kind::kList) || v.is(Kind::kString)) && (key.is(Kind::kInt) || key.is(Kind::kBool))) {
    if (v.is(Kind::kString)) budget.Spend(v.text().size());
    const size_t count = v.is(Kind::kList) ? v.list().size() : CharacterCount(v.text().bytes());
    const int64_t size = static_cast<int64_t>(count), i = key.AsInteger();
    if (i >= -size && i < size) {
      const auto at = static_cast<size_t>(i < 0 ? i + size : i);
      if (v.is(Kind::kList)) return v.list()[at];
      const size_t begin = CharacterOffset(v.text().bytes(), at);
      return Value(v.text().Slice(begin, begin + CharacterLength(v.text().bytes(), begin)));
    }
  }
  return Value::Undefined(fmt::format("{} of a {}", ToText(key, budget).bytes().substr(0, 64), v.KindName()));
}

Result<Value> Slice(const Value& v, const Value& begin, const Value& end, const Value& step, Budget& budget) {
  if (!v.is(Kind::kString) && !v.is(Kind::kList)) {
    if (!v.defined()) return Error(ErrorCode::kInvalidArgument, "{} is undefined", v.what_is_undefined());
    return Error(ErrorCode::kInvalidArgument, "a {} cannot be sliced", v.KindName());
  }
  std::vector<size_t> offsets;  // of characters
  if (v.is(Kind::kString)) {
    const std::string& s = v.text().bytes();
    if (!budget.Spend(s.size() * 8)) return budget.error();
    for (size_t i = 0; i < s.size(); i += CharacterLength(s, i)) offsets.push_back(i);
    offsets.push_back(s.size());
  }
  const size_t size = v.is(Kind::kString) ? offsets.size() - 1 : v.list().size();
  BONSAI_ASSIGN(const Range r, SliceRange(begin, end, step, static_cast<int64_t>(size)));
  const auto more = [&](int64_t i) { return r.step > 0 ? i < r.end : i > r.end; };
  if (v.is(Kind::kString)) {
    if (r.step == 1) {
      const auto last = static_cast<size_t>(std::max(r.begin, r.end));
      return Value(v.text().Slice(offsets[static_cast<size_t>(r.begin)], offsets[last]));
    }
    Text out;
    for (int64_t i = r.begin; more(i); i += r.step) {
      const auto at = static_cast<size_t>(i);
      out.Append(v.text(), offsets[at], offsets[at + 1]);
    }
    return Value(std::move(out));
  }
  List out;
  for (int64_t i = r.begin; more(i) && budget.Spend(); i += r.step) out.push_back(v.list()[static_cast<size_t>(i)]);
  return Value::Of(std::move(out));
}

Result<List> Elements(const Value& v, Budget& budget) {
  List out;
  switch (v.kind()) {
    case Kind::kUndefined:
      return out;
    case Kind::kList:
      if (!budget.Spend(64 * v.list().size())) return budget.error();
      return v.list();
    case Kind::kDict:
      for (const auto& [key, value] : v.dict()) {
        if (!budget.Spend()) return budget.error();
        out.push_back(key);
      }
      return out;
    case Kind::kString: {
      const std::string& s = v.text().bytes();
      for (size_t i = 0, n; i < s.size(); i += n) {
        if (!budget.Spend()) return budget.error();
        n = CharacterLength(s, i);
        out.emplace_back(v.text().Slice(i, i + n));
      }
      return out;
    }
    default:
      return Error(ErrorCode::kInvalidArgument, "a {} has no elements", v.KindName());
  }
}

namespace {

template <class Items>
Result<Value> Check(Items items, Budget& budget) {
  if (!budget.Spend(64 * items.size())) return budget.error();
  Value v = Value::Of(std::move(items));
  if (v.depth() <= Value::kMaxDepth) return v;
  return Error(ErrorCode::kInvalidArgument, "a list or dictionary that holds a macro or namespace, or over {} levels",
               Value::kMaxDepth);
}

}  // namespace

Result<Value> Made(List list, Budget& budget) { return Check(std::move(list), budget); }
Result<Value> Made(Dict dict, Budget& budget) { return Check(std::move(dict), budget); }

}  // namespace bonsai::text::jinja
