#include "base/json.h"

#include <fmt/format.h>

#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace bonsai {
namespace {

using Json = nlohmann::json;

/// Bytes of the text that tells where the parser is; its callbacks do not say.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** last) : at_(at), last_(last) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    *last_ = ++at_;
    return *this;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** last_;
};

/// A key, or what the library says, for one line of a message: printable ASCII, not too long.
std::string Shown(std::string_view s) {
  constexpr size_t kMost = 120;
  std::string out;
  for (const char c : s.substr(0, kMost)) out += c >= ' ' && c <= '~' ? c : '?';
  return out + (s.size() > kMost ? "..." : "");
}

/// The part of the library's message that says what was expected, without the text that it read: that is as long as the
/// input is.
std::string Reason(std::string_view message) {
  const size_t begin = message.find("syntax error");
  if (begin == std::string_view::npos) return Shown(message.substr(message.find("] ") + 2));
  message.remove_prefix(begin);
  const size_t read = message.find("; last read: '");
  if (read == std::string_view::npos) return Shown(message);
  const size_t expected = message.rfind("'; expected ");
  return Shown(message.substr(0, read)) +
         (expected == std::string_view::npos || expected < read ? "" : Shown(message.substr(expected + 1)));
}

/// Builds the document from the parser's events and stops at the first limit. (The library's own builder keeps the
/// last of equal keys, and its parser has no limit.)
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(const JsonLimits& limits, const char* const& at, const char* begin)
      : limits_(limits), at_(at), begin_(begin) {}

  Json root;
  std::string error;  ///< What is wrong, and where; empty as long as nothing is.

  bool null() override { return Add(nullptr) != nullptr; }
  bool boolean(bool v) override { return Add(v) != nullptr; }
  bool number_integer(number_integer_t v) override { return Add(v) != nullptr; }
  bool number_unsigned(number_unsigned_t v) override { return Add(v) != nullptr; }
  bool number_float(number_float_t v, const string_t&) override { return Add(v) != nullptr; }
  bool string(string_t& v) override { return Add(std::move(v)) != nullptr; }
  bool binary(binary_t&) override { return false; }  // JSON has none
  bool start_object(size_t) override { return Open(Json::object()); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& v) override {
    if (!Count()) return false;
    const auto [at, is_new] = open_.back()->get_ref<Json::object_t&>().try_emplace(std::move(v));
    if (!is_new) return Fail(fmt::format("key \"{}\" comes a second time in one object", Shown(at->first)));
    slot_ = &at->second;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    error = fmt::format("byte {}: {}", position, Reason(e.what()));
    return false;
  }

 private:
  bool Fail(std::string_view what) {
    error = fmt::format("byte {}: {}", at_ - begin_, what);
    return false;
  }

  bool Count() {
    return ++values_ <= limits_.values || Fail(fmt::format("more than {} values in one document", limits_.values));
  }

  /// Puts `value` where the parser stands; null when there are too many.
  Json* Add(Json value) {
    if (!Count()) return nullptr;
    Json* const parent = open_.empty() ? nullptr : open_.back();
    if (parent != nullptr && parent->is_array()) {
      parent->get_ref<Json::array_t&>().push_back(std::move(value));
      return &parent->back();
    }
    Json* const to = parent == nullptr ? &root : slot_;
    *to = std::move(value);
    return to;
  }

  bool Open(Json value) {
    if (open_.size() >= static_cast<size_t>(limits_.depth)) {
      return Fail(fmt::format("arrays and objects are nested deeper than {}", limits_.depth));
    }
    Json* const added = Add(std::move(value));
    if (added != nullptr) open_.push_back(added);
    return added != nullptr;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  const JsonLimits& limits_;
  const char* const& at_;
  const char* const begin_;
  size_t values_ = 0;
  std::vector<Json*> open_;  // of these only the last one grows, so none of them moves
  Json* slot_ = nullptr;     // the value of the last key
};

}  // namespace

Result<Json> ParseJson(std::string_view name, std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes) {
    return Error(ErrorCode::kCorrupt, "{}: {} bytes of JSON; at most {} are read", name, text.size(), limits.bytes);
  }
  // To the library a zero byte ends the input, so what follows it would never be looked at.
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
    return Error(ErrorCode::kCorrupt, "{}: byte {}: a zero byte; expected text", name, zero + 1);
  }
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const char* at = begin;
  Builder builder(limits, at, begin);
  if (!Json::sax_parse(CountingIterator(begin, &at), CountingIterator(end, &at), &builder)) {
    return Error(ErrorCode::kCorrupt, "{}: {}", name, builder.error);
  }
  return Result<Json>(std::move(builder.root));
}

Status ReadJson(std::string_view name, std::string_view text, nlohmann::json_sax<Json>& events,
                const JsonLimits& limits) {
  BONSAI_RETURN_IF_ERROR(ParseJson(name, text, limits));
  Json::sax_parse(text, &events);
  return {};
}

}  // namespace bonsai
