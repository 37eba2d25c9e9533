#include "server/fields.h"

#include <cmath>

#include "base/json.h"

namespace bonsai::server {
namespace {

using Json = nlohmann::json;

}  // namespace

Fields::Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {
  if (!object.is_object()) Fail("", fmt::format("must be an object, not {}", KindName(object)));
}

const Json* Fields::Find(std::string_view name) const {
  if (!object_.is_object()) return nullptr;
  const auto at = object_.find(name);
  return at == object_.end() || at->is_null() ? nullptr : &*at;
}

std::string Fields::PathOf(std::string_view name) const {
  if (path_.empty() || name.empty()) return path_ + std::string(name);
  return path_ + (name.front() == '[' ? "" : ".") + std::string(name);
}

void Fields::Fail(std::string_view name, std::string message) {
  const std::string path = PathOf(name);
  Fail(ApiError{.message = path.empty() ? std::move(message) : fmt::format("'{}' {}", path, message), .param = path});
}

void Fields::Fail(ApiError error) {
  if (!error_) error_ = std::move(error);
}

bool Fields::Bool(std::string_view name, bool fallback) {
  const Json* v = Find(name);
  if (v == nullptr || !ok()) return fallback;
  if (v->is_boolean()) return v->get<bool>();
  Fail(name, fmt::format("must be true or false, not {}", KindName(*v)));
  return fallback;
}

int64_t Fields::Integer(std::string_view name, int64_t fallback, int64_t lo, int64_t hi) {
  const Json* v = Find(name);
  if (v == nullptr || !ok()) return fallback;
  constexpr double kExact = 9007199254740992.0;  // 2^53: beyond it a float is no certain integer
  if (v->is_number_float() && std::abs(v->get<double>()) <= kExact &&
      std::trunc(v->get<double>()) == v->get<double>()) {
    const auto i = static_cast<int64_t>(v->get<double>());
    if (i >= lo && i <= hi) return i;
  } else if (v->is_number_unsigned()) {
    if (const auto u = v->get<uint64_t>(); u <= static_cast<uint64_t>(INT64_MAX)) {
      const auto i = static_cast<int64_t>(u);
      if (i >= lo && i <= hi) return i;
    }
  } else if (v->is_number_integer()) {
    if (const auto i = v->get<int64_t>(); i >= lo && i <= hi) return i;
  } else {
    Fail(name, fmt::format("must be an integer, not {}", KindName(*v)));
    return fallback;
  }
  Fail(name, fmt::format("must be from {} to {}", lo, hi));
  return fallback;
}

double Fields::Number(std::string_view name, double fallback, double lo, double hi) {
  const Json* v = Find(name);
  if (v == nullptr || !ok()) return fallback;
  if (!v->is_number()) {
    Fail(name, fmt::format("must be a number, not {}", KindName(*v)));
    return fallback;
  }
  const auto d = v->get<double>();
  if (d >= lo && d <= hi) return d;
  Fail(name, fmt::format("must be from {} to {}", lo, hi));
  return fallback;
}

std::string Fields::Text(std::string_view name, std::string_view fallback, size_t max_bytes) {
  const Json* v = Find(name);
  if (v == nullptr || !ok()) return std::string(fallback);
  if (!v->is_string()) {
    Fail(name, fmt::format("must be a string, not {}", KindName(*v)));
  } else if (v->get_ref<const std::string&>().size() > max_bytes) {
    Fail(name, fmt::format("is longer than {} bytes", max_bytes));
  } else {
    return v->get<std::string>();
  }
  return std::string(fallback);
}

std::string_view KindName(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    default:
      return "a number";
  }
}

std::string Dump(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

Response JsonResponse(const Json& value) { return {.body = Dump(value)}; }

Json ParseBody(std::string_view body, std::optional<ApiError>& error, size_t max_values) {
  auto parsed = ParseJson("the request's body", body, {.bytes = body.size(), .values = max_values});
  if (!parsed) {
    error = ApiError{.message = parsed.error().message(), .code = "invalid_json"};
  } else if (!parsed->is_object()) {
    error = ApiError{.message = fmt::format("the request's body must be a JSON object, not {}", KindName(*parsed))};
  } else {
    return std::move(*parsed);
  }
  return Json::object();
}

}  // namespace bonsai::server
