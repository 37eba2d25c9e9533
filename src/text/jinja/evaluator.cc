#include "text/jinja/evaluator.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "text/jinja/operators.h"

namespace bonsai::text::jinja {
namespace {

using EKind = Expr::Kind;
using SKind = Stmt::Kind;
using Kind = Value::Kind;

/// Of Eval and Exec inside each other: bounds the stack, about 1 kB each. Trees are up to 200 deep, and macros call.
constexpr int kMaxDepth = 500;

ErrorValue Undefined(const Value& v) {
  return Error(ErrorCode::kInvalidArgument, "{} is undefined", v.what_is_undefined());
}

}  // namespace

Value Loop::Get(std::string_view name) const {
  const auto number = [](size_t n) { return Value(static_cast<int64_t>(n)); };
  const size_t left = items.size() - index;
  if (name == "index") return number(index + 1);
  if (name == "index0") return number(index);
  if (name == "revindex") return number(left);
  if (name == "revindex0") return number(left - 1);
  if (name == "first") return Value(index == 0);
  if (name == "last") return Value(left == 1);
  if (name == "length") return number(items.size());
  if (name == "depth" || name == "depth0") return number(name == "depth" ? 1 : 0);  // counts recursion, not nesting
  if (name == "previtem" && index > 0) return items[index - 1];
  if (name == "nextitem" && left > 1) return items[index + 1];
  return Value::Undefined(fmt::format("loop.{}", name));
}

std::tm Evaluator::Now() const {
  if (now_) return now_();
  const std::time_t t = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&t, &local);
  return local;
}

Result<Text> Evaluator::Render(const Body& body, Frame& variables) {
  BONSAI_RETURN_IF_ERROR(Exec(body, variables));
  return std::move(out_);
}

/// Every error ends the render, so the first line that it meets on its way up is its own.
ErrorValue Evaluator::Located(const ErrorValue& error, int line) {
  if (std::exchange(located_, true)) return error;
  return error.WithPrefix(fmt::format("line {}", line));
}

Result<Value> Evaluator::Call(const Builtin& builtin, Args args) {
  const Deeper deeper(depth_);
  if (depth_ > kMaxDepth) return Error(ErrorCode::kInvalidArgument, "calls are nested too deep");
  BONSAI_ASSIGN(const Args bound, BindArgs(builtin, std::move(args)));
  Result<Value> result = builtin.call(*this, bound);
  if (result && !budget_.ok()) return budget_.error();
  return result;
}

Result<Value> Evaluator::Attribute(const Value& value, std::string_view name) {
  if (!value.defined()) return Undefined(value);
  if (const Builtin* const method = FindMethod(value.kind(), name)) {
    if (!value.is(Kind::kObject) || value.As<Loop>() != nullptr) return Value(std::make_shared<Bound>(*method, value));
  }
  if (value.is(Kind::kDict)) {
    const Value* const found = Find(value.dict(), Value(name), budget_);
    if (found != nullptr) return *found;
  }
  if (const Loop* const loop = value.As<Loop>()) return loop->Get(name);
  if (const Namespace* const space = value.As<Namespace>()) {
    const auto it = space->attributes.find(name);
    if (it != space->attributes.end()) return it->second;
  }
  return Value::Undefined(fmt::format("'{}' of a {}", name, value.KindName()));
}

Result<Value> Evaluator::Item(const Value& value, const Value& key) {
  if (!value.defined()) return Undefined(value);
  Value item = Index(value, key, budget_);
  if (item.defined() || !key.is(Kind::kString)) return item;
  return Attribute(value, key.text().bytes());
}

Result<Value> Evaluator::Eval(const Expr& e, Frame& frame) {
  const Deeper deeper(depth_);
  if (depth_ > kMaxDepth) return Located(Error(ErrorCode::kInvalidArgument, "calls are nested too deep"), e.line);
  budget_.Spend();
  Result<Value> result = EvalNode(e, frame);
  if (result && !budget_.ok()) result = budget_.error();
  if (!result) return Located(result.error(), e.line);
  return result;
}

Result<Value> Evaluator::EvalNode(const Expr& e, Frame& frame) {
  switch (e.kind) {
    case EKind::kLiteral:
      return e.value;
    case EKind::kInner:
      return inner_;
    case EKind::kName:
      return Lookup(e.name, frame);
    case EKind::kList:
    case EKind::kDict:
      return EvalSequence(e, frame);
    case EKind::kItem:
      return EvalItem(e, frame);
    case EKind::kSlice:
      return EvalSlice(e, frame);
    case EKind::kCall:
      return EvalCall(e, frame);
    case EKind::kCompare:
      return EvalCompare(e, frame);
    case EKind::kFilter:
    case EKind::kTest: {
      BONSAI_ASSIGN(Args args, EvalArgs(e, 0, frame));
      return Call(*e.builtin, std::move(args));
    }
    default:
      break;
  }
  if (e.kind == EKind::kConditional) {
    BONSAI_ASSIGN(const Value condition, Eval(*e.operands[1], frame));
    if (condition.Truthy()) return Eval(*e.operands[0], frame);
    return e.operands[2] == nullptr ? Value::Undefined("an 'if' without 'else'") : Eval(*e.operands[2], frame);
  }
  BONSAI_ASSIGN(const Value first, Eval(*e.operands[0], frame));
  switch (e.kind) {
    case EKind::kAttribute:
      return Attribute(first, e.name);
    case EKind::kNot:
      return Value(!first.Truthy());
    case EKind::kNegative:
      return Negate(first);
    case EKind::kAnd:
      return first.Truthy() ? Eval(*e.operands[1], frame) : first;
    case EKind::kOr:
      return first.Truthy() ? first : Eval(*e.operands[1], frame);
    case EKind::kBinary: {
      BONSAI_ASSIGN(const Value second, Eval(*e.operands[1], frame));
      return Apply(e.operators[0], first, second, budget_);
    }
    default:  // kPositive
      BONSAI_ASSIGN(const Value negative, Negate(first));
      return Negate(negative);
  }
}

Value Evaluator::Lookup(const std::string& name, const Frame& frame) {
  for (const Frame* f = &frame; f != nullptr; f = f->parent) {
    const auto it = f->variables.find(name);
    if (it != f->variables.end()) return it->second;
  }
  if (const Builtin* const function = FindFunction(name)) return Value(std::make_shared<Bound>(*function));
  return Value::Undefined("'" + name + "'");
}

Result<Value> Evaluator::EvalSequence(const Expr& e, Frame& frame) {
  List values;
  for (const ExprPtr& operand : e.operands) {
    BONSAI_ASSIGN(Value v, Eval(*operand, frame));
    values.push_back(std::move(v));
  }
  if (e.kind == EKind::kList) return Made(std::move(values), budget_);
  Dict dict;
  for (size_t i = 0; i < values.size(); i += 2) {
    if (values[i].depth() != 0) {
      return Error(ErrorCode::kInvalidArgument, "a {} cannot be a key", values[i].KindName());
    }
    Set(dict, std::move(values[i]), std::move(values[i + 1]), budget_);
  }
  return Made(std::move(dict), budget_);
}

Result<Value> Evaluator::EvalItem(const Expr& e, Frame& frame) {
  BONSAI_ASSIGN(const Value object, Eval(*e.operands[0], frame));
  BONSAI_ASSIGN(const Value key, Eval(*e.operands[1], frame));
  return Item(object, key);
}

Result<Value> Evaluator::EvalSlice(const Expr& e, Frame& frame) {
  BONSAI_ASSIGN(const Value object, Eval(*e.operands[0], frame));
  Value parts[3];
  for (size_t i = 0; i < 3; i++) {
    if (e.operands[i + 1] == nullptr) continue;
    BONSAI_ASSIGN(parts[i], Eval(*e.operands[i + 1], frame));
  }
  return Slice(object, parts[0], parts[1], parts[2], budget_);
}

Result<Args> Evaluator::EvalArgs(const Expr& e, size_t first, Frame& frame) {
  Args args;
  for (size_t i = first; i < e.operands.size(); i++) {
    BONSAI_ASSIGN(Value v, Eval(*e.operands[i], frame));
    args.values.push_back(std::move(v));
  }
  for (const auto& [name, expr] : e.named) {
    BONSAI_ASSIGN(Value v, Eval(*expr, frame));
    args.named.emplace_back(name, std::move(v));
  }
  return args;
}

Result<Value> Evaluator::EvalCall(const Expr& e, Frame& frame, const Value* caller) {
  BONSAI_ASSIGN(const Value callee, Eval(*e.operands[0], frame));
  BONSAI_ASSIGN(Args args, EvalArgs(e, 1, frame));
  if (const Macro* const macro = callee.As<Macro>()) return CallMacro(*macro, std::move(args), caller);
  if (const Bound* const bound = callee.As<Bound>(); bound != nullptr && caller == nullptr) {
    args.values.insert(args.values.begin(), bound->self.begin(), bound->self.end());
    return Call(bound->builtin, std::move(args));
  }
  if (!callee.defined()) return Undefined(callee);
  return Error(ErrorCode::kInvalidArgument, "a {} cannot be called{}", callee.KindName(),
               caller == nullptr ? "" : " by {% call %}");
}

Result<Value> Evaluator::EvalCompare(const Expr& e, Frame& frame) {
  BONSAI_ASSIGN(Value left, Eval(*e.operands[0], frame));
  for (size_t i = 0; i < e.operators.size(); i++) {
    BONSAI_ASSIGN(Value right, Eval(*e.operands[i + 1], frame));
    BONSAI_ASSIGN(const Value holds, Apply(e.operators[i], left, right, budget_));
    if (!holds.boolean()) return holds;
    left = std::move(right);
  }
  return Value(true);
}

Result<Value> Evaluator::CallMacro(const Macro& macro, Args args, const Value* caller) {
  const Stmt& s = macro.stmt;
  const std::string& name = s.names[0];
  const size_t parameters = s.names.size() - 1, required = parameters - (s.exprs.size() - macro.first_default);
  if (args.values.size() > parameters) {
    return Error(ErrorCode::kInvalidArgument, "macro '{}' takes {} arguments, not {}", name, parameters,
                 args.values.size());
  }
  Frame frame{&macro.frame, {}};
  if (caller != nullptr) frame.variables["caller"] = *caller;
  for (size_t i = 0; i < args.values.size(); i++) frame.variables[s.names[i + 1]] = std::move(args.values[i]);
  for (auto& [key, value] : args.named) {
    const auto it = std::find(s.names.begin() + 1, s.names.end(), key);
    if (it == s.names.end() || frame.variables.count(*it) > 0) {
      return Error(ErrorCode::kInvalidArgument, "macro '{}' takes no argument '{}', or takes it once", name, key);
    }
    frame.variables[*it] = std::move(value);
  }
  for (size_t i = 0; i < parameters; i++) {
    const std::string& parameter = s.names[i + 1];
    if (frame.variables.count(parameter) > 0) continue;
    Value value = Value::Undefined(fmt::format("parameter '{}'", parameter));
    if (i >= required) {
      BONSAI_ASSIGN(value, Eval(*s.exprs[macro.first_default + i - required], frame));
    }
    frame.variables[parameter] = std::move(value);
  }
  BONSAI_ASSIGN(Text text, Capture(s.bodies[0], frame));
  return Value(std::move(text));
}

Result<Evaluator::Flow> Evaluator::Exec(const Body& body, Frame& frame) {
  const Deeper deeper(depth_);
  if (depth_ > kMaxDepth) return Error(ErrorCode::kInvalidArgument, "calls are nested too deep");
  for (const auto& s : body) {
    budget_.Spend();
    Result<Flow> flow = ExecOne(*s, frame);
    if (flow && !budget_.ok()) flow = budget_.error();
    if (!flow) return Located(flow.error(), s->line);
    if (*flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Evaluator::Flow> Evaluator::ExecOne(const Stmt& s, Frame& frame) {
  switch (s.kind) {
    case SKind::kData:
      BONSAI_RETURN_IF_ERROR(Print(s.value));
      break;
    case SKind::kPrint: {
      BONSAI_ASSIGN(const Value v, Eval(*s.exprs[0], frame));
      BONSAI_RETURN_IF_ERROR(Print(v));
      break;
    }
    case SKind::kFilterBlock: {
      BONSAI_ASSIGN(const Value v, EvalBlock(s, frame));
      BONSAI_RETURN_IF_ERROR(Print(v));
      break;
    }
    case SKind::kSetBlock: {
      BONSAI_ASSIGN(Value v, EvalBlock(s, frame));
      frame.variables[s.names[0]] = std::move(v);
      break;
    }
    case SKind::kIf:
      return ExecIf(s, frame);
    case SKind::kFor:
      return ExecFor(s, frame);
    case SKind::kWith:
      return ExecWith(s, frame);
    case SKind::kSet:
      BONSAI_RETURN_IF_ERROR(ExecSet(s, frame));
      break;
    case SKind::kMacro:
      frame.variables[s.names[0]] = Value(std::make_shared<Macro>(s, 0, frame));
      break;
    case SKind::kCallBlock:
      BONSAI_RETURN_IF_ERROR(ExecCallBlock(s, frame));
      break;
    case SKind::kBreak:
      return Flow::kBreak;
    case SKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

Result<Evaluator::Flow> Evaluator::ExecIf(const Stmt& s, Frame& frame) {
  for (size_t i = 0; i < s.exprs.size(); i++) {
    BONSAI_ASSIGN(const Value condition, Eval(*s.exprs[i], frame));
    if (condition.Truthy()) return Exec(s.bodies[i], frame);
  }
  return s.bodies.size() > s.exprs.size() ? Exec(s.bodies.back(), frame) : Flow::kNext;
}

/// What a loop goes through: those elements for which its `if` holds.
Result<List> Evaluator::ForItems(const Stmt& s, Frame& frame) {
  BONSAI_ASSIGN(const Value value, Eval(*s.exprs[0], frame));
  BONSAI_ASSIGN(List items, Elements(value, budget_));
  if (s.exprs[1] == nullptr) return items;
  List kept;
  for (Value& item : items) {
    Frame inner{&frame, {}};
    BONSAI_RETURN_IF_ERROR(Assign(s.names, item, inner));
    BONSAI_ASSIGN(const Value condition, Eval(*s.exprs[1], inner));
    if (condition.Truthy()) kept.push_back(std::move(item));
  }
  return kept;
}

Result<Evaluator::Flow> Evaluator::ExecFor(const Stmt& s, Frame& frame) {
  const auto loop = std::make_shared<Loop>();
  BONSAI_ASSIGN(loop->items, ForItems(s, frame));
  if (loop->items.empty()) return s.bodies.size() > 1 ? Exec(s.bodies[1], frame) : Flow::kNext;
  for (; loop->index < loop->items.size(); loop->index++) {
    Frame inner{&frame, {}};
    inner.variables["loop"] = Value(std::shared_ptr<Object>(loop));
    BONSAI_RETURN_IF_ERROR(Assign(s.names, loop->items[loop->index], inner));
    BONSAI_ASSIGN(const Flow flow, Exec(s.bodies[0], inner));
    if (flow == Flow::kBreak) break;
  }
  return Flow::kNext;
}

Status Evaluator::Assign(const std::vector<std::string>& names, const Value& value, Frame& frame) {
  budget_.Spend();
  if (names.size() == 1) {
    frame.variables[names[0]] = value;
    return {};
  }
  BONSAI_ASSIGN(const List parts, Elements(value, budget_));
  if (parts.size() != names.size()) {
    return Error(ErrorCode::kInvalidArgument, "{} values for {} names", parts.size(), names.size());
  }
  for (size_t i = 0; i < names.size(); i++) frame.variables[names[i]] = parts[i];
  return {};
}

Status Evaluator::ExecSet(const Stmt& s, Frame& frame) {
  BONSAI_ASSIGN(Value value, Eval(*s.exprs[0], frame));
  if (s.attribute.empty()) return Assign(s.names, value, frame);
  const Value target = Lookup(s.names[0], frame);
  Namespace* const space = target.As<Namespace>();
  if (space == nullptr) {
    return Error(ErrorCode::kInvalidArgument, "'{}' is no namespace, so {}.{} cannot be set", s.names[0], s.names[0],
                 s.attribute);
  }
  if (value.depth() >= Value::kMaxDepth) {
    return Error(ErrorCode::kInvalidArgument, "a namespace cannot hold a {}", value.KindName());
  }
  space->attributes.insert_or_assign(s.attribute, std::move(value));
  return {};
}

Status Evaluator::ExecCallBlock(const Stmt& s, Frame& frame) {
  const Value caller(std::make_shared<Macro>(s, 1, frame));
  BONSAI_ASSIGN(const Value v, EvalCall(*s.exprs[0], frame, &caller));
  return Print(v);
}

Result<Evaluator::Flow> Evaluator::ExecWith(const Stmt& s, Frame& frame) {
  Frame inner{&frame, {}};
  for (size_t i = 0; i < s.names.size(); i++) {
    BONSAI_ASSIGN(Value v, Eval(*s.exprs[i], frame));
    inner.variables[s.names[i]] = std::move(v);
  }
  return Exec(s.bodies[0], inner);
}

Result<Value> Evaluator::EvalBlock(const Stmt& s, Frame& frame) {
  Frame inner{&frame, {}};
  BONSAI_ASSIGN(Text text, Capture(s.bodies[0], inner));
  Value outside = std::exchange(inner_, Value(std::move(text)));
  Result<Value> v = Eval(*s.exprs[0], frame);
  inner_ = std::move(outside);
  return v;
}

Result<Text> Evaluator::Capture(const Body& body, Frame& frame) {
  Text outside = std::exchange(out_, Text());
  BONSAI_RETURN_IF_ERROR(Exec(body, frame));
  return std::exchange(out_, std::move(outside));
}

Status Evaluator::Print(const Value& v) {
  const bool ok = v.is(Kind::kString) ? budget_.Append(out_, v.text()) : budget_.Append(out_, ToText(v, budget_));
  return ok ? Status() : Status(budget_.error());
}

}  // namespace bonsai::text::jinja
