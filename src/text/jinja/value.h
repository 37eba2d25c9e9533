// Values of the template language, as Python has them: what goes into a template and what it computes with.
//
//   Value message = Value::Of(Dict{{Value("role"), Value("user")}, {Value("content"), Value("Hi")}});
//   BONSAI_ASSIGN(const Value tools, ValueFromJson("tools", R"([{"type": "function"}])"));
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "text/jinja/text.h"

namespace bonsai::text::jinja {

class Value;
using List = std::vector<Value>;
/// In the order of insertion; keys differ.
using Dict = std::vector<std::pair<Value, Value>>;

/// What a render may still cost. Sticky: once it is exceeded everything that takes it does as good as nothing, and
/// whoever evaluates expressions looks at ok() after each. Not thread safe.
class Budget {
 public:
  Budget(int64_t steps, size_t text_bytes) : steps_(steps), text_bytes_(text_bytes) {}
  /// A step, and another one for every 64 bytes (of text that is read or made).
  bool Spend(size_t bytes = 0) {
    if (ok()) steps_ -= 1 + static_cast<int64_t>(bytes / 64);
    return ok();
  }
  /// Looking for `needle` bytes in `text` bytes, at worst.
  bool SpendSearch(size_t text, size_t needle) { return Spend(text * (1 + needle / 64)); }
  /// Appends what `to` has room for: everything or nothing.
  bool Append(Text& to, const Text& more);
  bool Append(Text& to, std::string_view more, bool trusted = false);
  bool Fits(size_t text_bytes) {
    if (text_bytes > text_bytes_) too_long_ = true;
    return ok();
  }
  bool ok() const { return steps_ >= 0 && !too_long_; }
  /// Which limit it was. Only when !ok().
  ErrorValue error() const;

 private:
  int64_t steps_;
  const size_t text_bytes_;
  bool too_long_ = false;
};

/// Things that only templates make: namespaces, macros, bound methods, loops. Compared by identity.
class Object {
 public:
  virtual ~Object() = default;
  /// "namespace", "macro": for messages and printing.
  virtual std::string_view kind() const = 0;
};

/// Immutable (an Object may change); copies share lists, dictionaries and texts. Const methods are thread safe.
class Value {
 public:
  enum class Kind : uint8_t { kUndefined, kNull, kBool, kInt, kFloat, kString, kList, kDict, kObject };
  /// Deepest nesting of lists and dictionaries that a template may build.
  static constexpr int kMaxDepth = 100;

  Value() : data_(std::make_shared<const std::string>("a value")) {}
  explicit Value(std::nullptr_t) : data_(nullptr) {}
  explicit Value(bool b) : data_(b) {}
  explicit Value(int64_t i) : data_(i) {}
  explicit Value(double d) : data_(d) {}
  explicit Value(Text text) : data_(std::make_shared<const Text>(std::move(text))) {}
  /// Text from outside: not trusted.
  explicit Value(std::string_view text) : Value(Text(std::string(text), false)) {}
  explicit Value(const char* text) : Value(std::string_view(text)) {}
  explicit Value(std::shared_ptr<Object> object) : data_(std::move(object)) {}
  static Value Of(List list);
  static Value Of(Dict dict);
  /// The undefined value; `what` is for the error of whoever uses it: "'x'", "'content' of a dictionary".
  static Value Undefined(std::string what) {
    Value v(nullptr);
    v.data_ = std::make_shared<const std::string>(std::move(what));
    return v;
  }

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is(Kind k) const { return kind() == k; }
  bool defined() const { return !is(Kind::kUndefined); }
  // Only of the kind that they name.
  bool boolean() const { return std::get<bool>(data_); }
  int64_t integer() const { return std::get<int64_t>(data_); }
  double real() const { return std::get<double>(data_); }
  const Text& text() const { return *std::get<std::shared_ptr<const Text>>(data_); }
  const List& list() const { return std::get<std::shared_ptr<const Nested<List>>>(data_)->items; }
  const Dict& dict() const { return std::get<std::shared_ptr<const Nested<Dict>>>(data_)->items; }
  Object* object() const { return std::get<std::shared_ptr<Object>>(data_).get(); }
  const std::string& what_is_undefined() const { return *std::get<std::shared_ptr<const std::string>>(data_); }

  /// The object, when it is a T; else null.
  template <class T>
  T* As() const {
    return is(Kind::kObject) ? dynamic_cast<T*>(object()) : nullptr;
  }
  /// 0 for scalars, 1 for [], 2 for [[]]. Objects count as kMaxDepth: no container may hold one, so that none outlives
  /// what it refers to and none contains itself.
  int depth() const;
  /// As Python's bool().
  bool Truthy() const;
  bool IsNumber() const { return is(Kind::kInt) || is(Kind::kFloat) || is(Kind::kBool); }
  /// Of a number; a bool is 0 or 1.
  double AsReal() const;
  /// Of a bool or an int.
  int64_t AsInteger() const { return is(Kind::kBool) ? boolean() : integer(); }
  /// "undefined", "none", "boolean", "integer", "float", "string", "list", "dictionary", or the object's: for messages.
  std::string_view KindName() const;

 private:
  template <class T>
  struct Nested {
    T items;
    int depth;
  };

  std::variant<std::shared_ptr<const std::string>, std::nullptr_t, bool, int64_t, double, std::shared_ptr<const Text>,
               std::shared_ptr<const Nested<List>>, std::shared_ptr<const Nested<Dict>>, std::shared_ptr<Object>>
      data_;
};

/// As Python's ==: 1 == 1.0 == True, texts by their bytes.
bool Equal(const Value& a, const Value& b, Budget& budget);
/// -1, 0 or 1 (0 when the budget is spent, so that a sort ends soon); kInvalidArgument when the two have no order.
Result<int> Compare(const Value& a, const Value& b, Budget& budget);
/// The value at a key, or null.
const Value* Find(const Dict& dict, const Value& key, Budget& budget);
/// Replaces or appends.
void Set(Dict& dict, Value key, Value value, Budget& budget);

/// As Python's str(): texts as they are, lists and dictionaries with repr() inside. Undefined is empty.
Text ToText(const Value& value, Budget& budget);
/// Python's repr of a float: the shortest digits that read back as the same number.
std::string FloatText(double d);

/// Layout of ToJson, with the defaults of Hugging Face's `tojson`.
struct JsonLayout {
  bool ensure_ascii = false;
  bool sort_keys = false;
  Text indent;         ///< What one level of nesting is indented by.
  bool lines = false;  ///< Each element on its own line.
  Text comma{", ", false}, colon{": ", false};
};
/// As Python's json.dumps. kInvalidArgument for what JSON does not have.
Result<Text> ToJson(const Value& value, const JsonLayout& layout, Budget& budget);

/// A JSON document as a value: keys in order, texts not trusted. Integers beyond 64 bits become floats. `name` is for
/// messages. Errors as ParseJson (base/json.h), which reads it: kCorrupt, at most 64 levels.
Result<Value> ValueFromJson(std::string_view name, std::string_view json_text);

}  // namespace bonsai::text::jinja
