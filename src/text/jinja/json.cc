// Values ↔ JSON.
#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/jinja/value.h"

namespace bonsai::text::jinja {
namespace {

using Kind = Value::Kind;

/// Builds a value from the events of a parser that has checked depth and keys.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return Add(Value(nullptr)); }
  bool boolean(bool v) override { return Add(Value(v)); }
  bool number_integer(number_integer_t v) override { return Add(Value(int64_t{v})); }
  bool number_unsigned(number_unsigned_t v) override {
    return Add(v <= static_cast<uint64_t>(INT64_MAX) ? Value(static_cast<int64_t>(v)) : Value(static_cast<double>(v)));
  }
  bool number_float(number_float_t v, const string_t&) override { return Add(Value(v)); }
  bool string(string_t& v) override { return Add(Value(Text(std::move(v), false))); }
  bool binary(binary_t&) override { return false; }  // JSON has none
  bool start_object(size_t) override { return Open(); }
  bool start_array(size_t) override { return Open(); }
  bool key(string_t& v) override {
    open_.back().keys.emplace_back(Text(std::move(v), false));
    return true;
  }
  bool end_array() override { return Add(Value::Of(Close().values)); }
  bool end_object() override {
    Level level = Close();
    Dict dict;
    for (size_t i = 0; i < level.keys.size(); i++) dict.emplace_back(level.keys[i], level.values[i]);
    return Add(Value::Of(std::move(dict)));
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

  Value root() { return open_[0].values.empty() ? Value() : open_[0].values[0]; }

 private:
  struct Level {
    std::vector<Value> keys, values;
  };
  bool Add(Value v) {
    open_.back().values.push_back(std::move(v));
    return true;
  }
  bool Open() {
    open_.emplace_back();
    return true;
  }
  Level Close() {
    Level level = std::move(open_.back());
    open_.pop_back();
    return level;
  }
  std::vector<Level> open_ = std::vector<Level>(1);
};

class Writer {
 public:
  Writer(const JsonLayout& layout, Budget& budget) : layout_(layout), budget_(budget) {}

  Status Write(const Value& v) {
    if (!budget_.Spend()) return {};
    switch (v.kind()) {
      case Kind::kNull:
        return Plain("null");
      case Kind::kBool:
        return Plain(v.boolean() ? "true" : "false");
      case Kind::kInt:
        return Plain(std::to_string(v.integer()));
      case Kind::kFloat:
        return Plain(std::isnan(v.real())   ? "NaN"
                     : std::isinf(v.real()) ? (v.real() < 0 ? "-Infinity" : "Infinity")
                                            : FloatText(v.real()));
      case Kind::kString:
        return Quoted(v.text());
      case Kind::kList:
        return WriteAll(v.list(), "[]", [&](const Value& item) { return Write(item); });
      case Kind::kDict:
        return WriteDict(v.dict());
      case Kind::kUndefined:
        return Error(ErrorCode::kInvalidArgument, "tojson: {} is undefined", v.what_is_undefined());
      case Kind::kObject:
        break;
    }
    return Error(ErrorCode::kInvalidArgument, "tojson: a {} is not JSON", v.KindName());
  }

  Text out;

 private:
  void Append(std::string_view s) { budget_.Append(out, s); }
  Status Plain(std::string_view s) {
    Append(s);
    return {};
  }

  void NewLine() {
    if (!layout_.lines) return;
    Append("\n");
    for (int i = 0; i < level_ && budget_.ok(); i++) budget_.Append(out, layout_.indent);
  }

  template <class Items, class WriteItem>
  Status WriteAll(const Items& items, std::string_view brackets, WriteItem write) {
    budget_.Append(out, brackets.substr(0, 1));
    level_++;
    bool first = true;
    for (const auto& item : items) {
      if (!first) budget_.Append(out, layout_.comma);
      first = false;
      NewLine();
      BONSAI_RETURN_IF_ERROR(write(item));
      if (!budget_.ok()) return {};
    }
    level_--;
    if (!first) NewLine();
    return Plain(brackets.substr(1));
  }

  Status WriteDict(const Dict& dict) {
    std::vector<const std::pair<Value, Value>*> items;
    for (const auto& item : dict) items.push_back(&item);
    if (layout_.sort_keys) {
      std::stable_sort(items.begin(), items.end(), [&](const auto* a, const auto* b) {
        const Result<int> order = Compare(a->first, b->first, budget_);
        return order && *order < 0;
      });
    }
    return WriteAll(items, "{}", [&](const std::pair<Value, Value>* item) -> Status {
      BONSAI_RETURN_IF_ERROR(WriteKey(item->first));
      budget_.Append(out, layout_.colon);
      return Write(item->second);
    });
  }

  /// Keys that are no strings become strings, as in Python.
  Status WriteKey(const Value& key) {
    if (key.is(Kind::kString)) return Quoted(key.text());
    if (key.depth() != 0 || !key.defined()) {
      return Error(ErrorCode::kInvalidArgument, "tojson: a {} cannot be a key", key.KindName());
    }
    Append("\"");
    BONSAI_RETURN_IF_ERROR(Write(key));
    return Plain("\"");
  }

  Status Quoted(const Text& text) {
    const std::string_view s = text.bytes();
    budget_.Spend(s.size());
    Append("\"");
    for (size_t i = 0, n; i < s.size() && budget_.Fits(out.size() + 2); i += n) {
      n = CharacterLength(s, i);
      out.Append(Escaped(s.substr(i, n)), text.TrustedAt(i));
    }
    return Plain("\"");
  }

  std::string Escaped(std::string_view c) const {
    constexpr std::string_view kFrom = "\"\\\n\r\t\f\b", kTo = "\"\\nrtfb";
    if (const size_t i = kFrom.find(c[0]); i != std::string_view::npos) return {'\\', kTo[i]};
    if (static_cast<uint8_t>(c[0]) < 0x20 || (c[0] == 0x7f && layout_.ensure_ascii))
      return fmt::format("\\u{:04x}", c[0]);
    if (!layout_.ensure_ascii || c.size() == 1) return std::string(c);
    uint32_t code = static_cast<uint8_t>(c[0]) & (0x7fu >> c.size());
    for (const char byte : c.substr(1)) code = code << 6 | (static_cast<uint8_t>(byte) & 0x3f);
    if (code < 0x10000) return fmt::format("\\u{:04x}", code);
    code -= 0x10000;
    return fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + (code >> 10), 0xdc00 + (code & 0x3ff));
  }

  const JsonLayout& layout_;
  Budget& budget_;
  int level_ = 0;
};

}  // namespace

Result<Text> ToJson(const Value& value, const JsonLayout& layout, Budget& budget) {
  Writer writer(layout, budget);
  BONSAI_RETURN_IF_ERROR(writer.Write(value));
  return std::move(writer.out);
}

Result<Value> ValueFromJson(std::string_view name, std::string_view json_text) {
  Builder builder;
  BONSAI_RETURN_IF_ERROR(ReadJson(name, json_text, builder));
  return builder.root();
}

}  // namespace bonsai::text::jinja
