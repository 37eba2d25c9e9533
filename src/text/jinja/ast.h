// The syntax tree of a template. Immutable once parsed; whoever renders refers to it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace bonsai::text::jinja {

struct Builtin;  // jinja/builtins.h

/// Counts how deep a recursion is while it lives.
class Deeper {
 public:
  explicit Deeper(int& depth) : depth_(++depth) {}
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;
  ~Deeper() { --depth_; }

 private:
  int& depth_;
};

enum class Operator : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kConcatenate,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

struct Expr;
using ExprPtr = std::unique_ptr<const Expr>;

struct Expr {
  enum class Kind : uint8_t {
    kLiteral,    ///< value
    kInner,      ///< what a {% filter %} or {% set x | … %} block holds
    kName,       ///< name
    kList,       ///< operands
    kDict,       ///< operands: key, value, key, value
    kAttribute,  ///< operands[0].name
    kItem,       ///< operands[0][operands[1]]
    kSlice,      ///< operands[0][operands[1]:operands[2]:operands[3]], each of the three may be null
    kCall,       ///< operands[0](operands[1…], named…)
    kFilter,     ///< operands[0] | filter(operands[1…], named…)
    kTest,       ///< operands[0] is test(operands[1…], named…)
    kNot,        ///< not operands[0]
    kNegative,   ///< -operands[0]
    kPositive,   ///< +operands[0]
    kBinary,     ///< operands[0] operators[0] operands[1]
    kCompare,    ///< operands[0] operators[0] operands[1] operators[1] operands[2] …
    kAnd,
    kOr,           ///< operands[0], operands[1]
    kConditional,  ///< operands[0] if operands[1] else operands[2], which may be null
  };
  Kind kind = Kind::kLiteral;
  int line = 1;
  int depth = 1;  ///< Of the tree below: what evaluating and destroying it recurses.
  std::string name;
  Value value;
  const Builtin* builtin = nullptr;  ///< The filter or test.
  std::vector<ExprPtr> operands;
  std::vector<Operator> operators;
  std::vector<std::pair<std::string, ExprPtr>> named;
};

struct Stmt;
using Body = std::vector<std::unique_ptr<const Stmt>>;

struct Stmt {
  enum class Kind : uint8_t {
    kData,         ///< value
    kPrint,        ///< exprs[0]
    kIf,           ///< bodies[i] if exprs[i]; one body more is the else
    kFor,          ///< names in exprs[0], if exprs[1] (may be null): bodies[0]; none: bodies[1]
    kSet,          ///< names = exprs[0]; `attribute` not empty: names[0].attribute = exprs[0]
    kSetBlock,     ///< names[0] = exprs[0] (kInner in it is bodies[0])
    kMacro,        ///< names[0](names[1…]), of whose parameters the last have the defaults exprs: bodies[0]
    kCallBlock,    ///< exprs[0] is a call; the rest is the macro `caller`, as in kMacro, with its defaults behind it
    kFilterBlock,  ///< exprs[0] (kInner in it is bodies[0])
    kWith,         ///< names[i] = exprs[i]: bodies[0]
    kBreak,
    kContinue,
  };
  Kind kind = Kind::kData;
  int line = 1;
  Value value;
  std::string attribute;
  std::vector<std::string> names;
  std::vector<ExprPtr> exprs;
  std::vector<Body> bodies;
};

}  // namespace bonsai::text::jinja
