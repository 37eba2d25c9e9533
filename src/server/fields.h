// Typed fields of a JSON request, each with its bounds. The first that is wrong is what the client is told.
//
//   Fields fields(body);
//   const int64_t n = fields.Integer("n", 1, 1, 16);
//   if (!fields.ok()) return fields.error();
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "server/api_error.h"
#include "server/exchange.h"

namespace bonsai::server {

/// Reads the members of one object. After the first error everything gives its fallback. Not thread safe; `object`
/// outlives it.
class Fields {
 public:
  /// `path`: of the object within the request, for messages: "stream_options". An error when it is no object.
  explicit Fields(const nlohmann::json& object, std::string path = {});

  /// The member; null when it is absent or JSON's null, which mean the same everywhere.
  const nlohmann::json* Find(std::string_view name) const;
  bool Bool(std::string_view name, bool fallback);
  /// lo ≤ value ≤ hi; 3.0 is an integer.
  int64_t Integer(std::string_view name, int64_t fallback, int64_t lo, int64_t hi);
  double Number(std::string_view name, double fallback, double lo, double hi);
  std::string Text(std::string_view name, std::string_view fallback, size_t max_bytes);

  bool ok() const { return !error_; }
  const std::optional<ApiError>& error() const { return error_; }
  /// The first failure counts. `name` may be empty: the object itself.
  void Fail(std::string_view name, std::string message);
  void Fail(ApiError error);
  /// "stream_options.include_usage"
  std::string PathOf(std::string_view name) const;

 private:
  const nlohmann::json& object_;
  const std::string path_;
  std::optional<ApiError> error_;
};

/// "a string", "an array": for messages.
std::string_view KindName(const nlohmann::json& value);

/// As text; what is not UTF-8 becomes U+FFFD.
std::string Dump(const nlohmann::json& value);
Response JsonResponse(const nlohmann::json& value);

/// Most values of a request, where one may be a prompt as token ids, and of a conversation, which has a few dozen a
/// message. As a template's values each takes a few hundred bytes.
inline constexpr size_t kMaxValues = 2'000'000, kMaxChatValues = 250'000;
/// The request's body, which must be a JSON object. The error in `error`.
nlohmann::json ParseBody(std::string_view body, std::optional<ApiError>& error, size_t max_values = kMaxValues);

}  // namespace bonsai::server
