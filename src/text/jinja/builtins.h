// The names that templates find: filters, tests, functions and methods. A new one is a function and a row in the table
// of its file.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace bonsai::text::jinja {

class Evaluator;  // jinja/evaluator.h

/// The arguments of a call. A builtin gets `values` in the order of its parameters, undefined where none was given;
/// those of a "*" follow, those of a "**" are in `named`.
struct Args {
  List values;
  std::vector<std::pair<std::string, Value>> named;
};

struct Builtin {
  std::string_view name;
  /// Names with a space between them. Behind the optional ones stands "?"; "*" and "**" at the end take the rest. What
  /// a filter, test or method is applied to comes first.
  std::string_view parameters;
  Result<Value> (*call)(Evaluator& evaluator, const Args& args);
};

std::span<const Builtin> TextFilters();
std::span<const Builtin> ListFilters();
// By name; null when there is none.
const Builtin* FindFilter(std::string_view name);
const Builtin* FindTest(std::string_view name);
const Builtin* FindFunction(std::string_view name);
const Builtin* FindMethod(Value::Kind kind, std::string_view name);

/// Arguments as the builtin wants them. kInvalidArgument: too many, missing, or of another name.
Result<Args> BindArgs(const Builtin& builtin, Args args);

// Arguments of one type. kInvalidArgument names the argument.
Result<int64_t> IntArg(const Value& v, std::string_view name, int64_t fallback);
/// Undefined: `fallback`; else its truth.
inline bool BoolArg(const Value& v, bool fallback) { return v.defined() ? v.Truthy() : fallback; }
Result<Text> TextArg(const Value& v, std::string_view name);

// Shared by filters and methods.
/// Every `from` becomes `to`, at most `count` times (negative: all).
Text Replace(const Text& text, std::string_view from, const Text& to, int64_t count, Budget& budget);
/// Elements as text, with `separator` between them.
Text Join(const List& list, const Text& separator, Budget& budget);

}  // namespace bonsai::text::jinja
