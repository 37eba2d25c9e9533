// Functions that every template can call.
#include <array>
#include <ctime>

#include "text/jinja/builtins.h"
#include "text/jinja/evaluator.h"
#include "text/jinja/operators.h"

namespace bonsai::text::jinja {
namespace {

using Kind = Value::Kind;

/// range(end), range(begin, end, step). Jinja's sandbox stops at 100,000 as well.
Result<Value> Range(Evaluator& e, const Args& a) {
  constexpr size_t kMost = 100'000;
  const bool one = !a.values[1].defined();
  BONSAI_ASSIGN(const int64_t first, IntArg(a.values[0], "start", 0));
  BONSAI_ASSIGN(const int64_t second, IntArg(a.values[1], "stop", 0));
  BONSAI_ASSIGN(const int64_t step, IntArg(a.values[2], "step", 1));
  const int64_t end = one ? first : second;
  if (step == 0) return Error(ErrorCode::kInvalidArgument, "range: step is 0");
  List list;
  for (int64_t i = one ? 0 : first; step > 0 ? i < end : i > end;) {
    if (list.size() == kMost) return Error(ErrorCode::kInvalidArgument, "range: more than {} numbers", kMost);
    list.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Made(std::move(list), e.budget());
}

/// The entries of an optional dictionary and of the named arguments.
Result<Dict> Entries(Evaluator& e, const Args& a) {
  Dict dict;
  if (a.values[0].defined()) {
    if (!a.values[0].is(Kind::kDict)) return Error(ErrorCode::kInvalidArgument, "dict and namespace take a dictionary");
    dict = a.values[0].dict();
  }
  for (const auto& [name, value] : a.named) Set(dict, Value(name), value, e.budget());
  return dict;
}

Result<Value> MakeDict(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(Dict dict, Entries(e, a));
  return Made(std::move(dict), e.budget());
}

Result<Value> MakeNamespace(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(const Value dict, MakeDict(e, a));
  auto space = std::make_shared<Namespace>();
  for (const auto& [key, value] : dict.dict()) space->attributes[ToText(key, e.budget()).bytes()] = value;
  return Value(std::shared_ptr<Object>(std::move(space)));
}

/// How a template says that it cannot take these messages.
Result<Value> RaiseException(Evaluator& e, const Args& a) {
  return Error(ErrorCode::kInvalidArgument, "{}", ToText(a.values[0], e.budget()).bytes());
}

Result<Value> StrftimeNow(Evaluator& e, const Args& a) {
  BONSAI_ASSIGN(const Text format, TextArg(a.values[0], "format"));
  if (format.size() > 256) return Error(ErrorCode::kInvalidArgument, "strftime_now: a format over 256 bytes");
  const std::tm now = e.Now();
  std::array<char, 4096> out{};
  const size_t n = std::strftime(out.data(), out.size(), format.bytes().c_str(), &now);
  return Value(std::string_view(out.data(), n));
}

constexpr Builtin kFunctions[] = {
    {"dict", "mapping? **", MakeDict},
    {"namespace", "mapping? **", MakeNamespace},
    {"raise_exception", "message", RaiseException},
    {"range", "start stop? step?", Range},
    {"strftime_now", "format", StrftimeNow},
};

}  // namespace

const Builtin* FindFunction(std::string_view name) {
  for (const Builtin& b : kFunctions) {
    if (b.name == name) return &b;
  }
  return nullptr;
}

}  // namespace bonsai::text::jinja
