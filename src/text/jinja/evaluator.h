// Renders a syntax tree. One evaluator is one render.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <string_view>

#include "text/jinja/ast.h"
#include "text/jinja/builtins.h"

namespace bonsai::text::jinja {

/// What a render may cost. A step is an expression, a statement, a list element or 64 bytes of text.
struct Limits {
  int64_t steps = 10'000'000;
  size_t text_bytes = size_t{64} << 20;  ///< Of the result and of every text on the way.
};

/// Variables of a block. Macros look up those of the frame that they were defined in, which outlives them: no list,
/// dictionary or namespace holds a macro.
struct Frame {
  Frame* parent = nullptr;
  std::map<std::string_view, Value> variables;
};

/// {% set ns = namespace(x=1) %}{% set ns.x = 2 %}
class Namespace : public Object {
 public:
  std::string_view kind() const override { return "namespace"; }
  std::map<std::string, Value, std::less<>> attributes;
};

/// `loop` inside a for.
class Loop : public Object {
 public:
  std::string_view kind() const override { return "loop"; }
  /// Undefined when there is no such attribute.
  Value Get(std::string_view name) const;
  List items;
  size_t index = 0;
};

/// A function, or a method with what it belongs to.
class Bound : public Object {
 public:
  explicit Bound(const Builtin& b) : builtin(b) {}
  Bound(const Builtin& b, Value s) : builtin(b), self{std::move(s)} {}
  std::string_view kind() const override { return "function"; }
  const Builtin& builtin;
  List self;  ///< None or one.
};

class Macro : public Object {
 public:
  Macro(const Stmt& s, size_t first, Frame& f) : stmt(s), first_default(first), frame(f) {}
  std::string_view kind() const override { return "macro"; }
  const Stmt& stmt;
  const size_t first_default;  ///< In stmt.exprs.
  Frame& frame;
};

/// Not thread safe. Errors name the line: "line 3: 'x' is undefined".
class Evaluator {
 public:
  /// `now` may be empty: the machine's local time.
  Evaluator(const Limits& limits, std::function<std::tm()> now)
      : budget_(limits.steps, limits.text_bytes), now_(std::move(now)) {}

  /// The template's text. `variables` is the outermost frame; names in it outlive the call.
  Result<Text> Render(const Body& body, Frame& variables);

  // For builtins.
  Budget& budget() { return budget_; }
  std::tm Now() const;
  /// Binds the arguments and calls.
  Result<Value> Call(const Builtin& builtin, Args args);
  /// value.name
  Result<Value> Attribute(const Value& value, std::string_view name);
  /// value[key]
  Result<Value> Item(const Value& value, const Value& key);

 private:
  enum class Flow { kNext, kBreak, kContinue };

  ErrorValue Located(const ErrorValue& error, int line);
  Result<Value> Eval(const Expr& e, Frame& frame);
  Result<Value> EvalNode(const Expr& e, Frame& frame);
  static Value Lookup(const std::string& name, const Frame& frame);
  Result<Value> EvalSequence(const Expr& e, Frame& frame);
  Result<Value> EvalItem(const Expr& e, Frame& frame);
  Result<Value> EvalSlice(const Expr& e, Frame& frame);
  Result<Value> EvalCall(const Expr& e, Frame& frame, const Value* caller = nullptr);
  Result<Value> EvalCompare(const Expr& e, Frame& frame);
  Result<Args> EvalArgs(const Expr& e, size_t first, Frame& frame);
  Result<Value> CallMacro(const Macro& macro, Args args, const Value* caller);

  Result<Flow> Exec(const Body& body, Frame& frame);
  Result<Flow> ExecOne(const Stmt& s, Frame& frame);
  Result<Flow> ExecIf(const Stmt& s, Frame& frame);
  Result<Flow> ExecFor(const Stmt& s, Frame& frame);
  Result<List> ForItems(const Stmt& s, Frame& frame);
  Status ExecSet(const Stmt& s, Frame& frame);
  Status ExecCallBlock(const Stmt& s, Frame& frame);
  Result<Flow> ExecWith(const Stmt& s, Frame& frame);
  Status Assign(const std::vector<std::string>& names, const Value& value, Frame& frame);
  /// Evaluates exprs[0] of a block whose content is its kInner.
  Result<Value> EvalBlock(const Stmt& s, Frame& frame);
  Result<Text> Capture(const Body& body, Frame& frame);
  Status Print(const Value& v);

  Budget budget_;
  const std::function<std::tm()> now_;
  Text out_;
  Value inner_;
  int depth_ = 0;         // of recursion
  bool located_ = false;  // the error on its way up names its line
};

}  // namespace bonsai::text::jinja
