// Errors as values. Everything that a file, a user or the network can cause comes back as a Result<T>.
//
//   Result<Config> ParseConfig(const Metadata& m) {
//     BONSAI_ASSIGN(const uint32_t layers, m.GetU32("qwen3.block_count"));   // returns the error, if any
//     BONSAI_RETURN_IF_ERROR(Validate(layers));
//     if (layers == 0) return Error(ErrorCode::kCorrupt, "{}: block_count is 0", m.source());
//     return Config{layers};
//   }
//
// Messages are one line without a full stop: what is wrong, where (file, key or tensor, byte offset), what to do.
#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <type_traits>
#include <utility>

namespace bonsai {

/// What kind of failure it is: what a caller may branch on. The message is for people.
enum class ErrorCode {
  kInvalidArgument,  ///< The caller asked for something that makes no sense (a usage error).
  kNotFound,         ///< A file, tensor, key or model does not exist.
  kCorrupt,          ///< A file's bytes break its own rules (truncated, overlapping, out of range).
  kUnsupported,      ///< Well formed, but we do not run it (unknown architecture, type, tokenizer).
  kOutOfMemory,      ///< The plan does not fit, or an allocation failed.
  kIo,               ///< The operating system refused a read or a write.
  kCancelled,        ///< A callback or a signal asked to stop.
  kBusy,             ///< Nothing is wrong with the request, but too many came before it: try again later.
};

/// Stable lower-case name of a code ("corrupt"), for JSON and logs.
std::string_view ErrorCodeName(ErrorCode code);

/// A failure: a code and one line of text. Cheap to move; immutable by convention.
class [[nodiscard]] ErrorValue {
 public:
  ErrorValue(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}
  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }
  /// The same error with `prefix + ": "` before its message: a caller adds the file that a callee did not know.
  ErrorValue WithPrefix(std::string_view prefix) const;

 private:
  ErrorCode code_;
  std::string message_;
};

/// A T or an ErrorValue. `Result<void>` is `Status`. Ignoring one is a compiler warning, hence an error.
template <class T>
class [[nodiscard]] Result : public tl::expected<T, ErrorValue> {
 public:
  using tl::expected<T, ErrorValue>::expected;
  Result() = default;
  Result(ErrorValue e) : tl::expected<T, ErrorValue>(tl::unexpect, std::move(e)) {}  // NOLINT(google-explicit-*)
  bool ok() const { return this->has_value(); }
};
using Status = Result<void>;

/// Builds an ErrorValue from a format string (fmt syntax): `return Error(ErrorCode::kIo, "{}: {}", path, why);`
template <class... Args>
ErrorValue Error(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return ErrorValue(code, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace bonsai

#define BONSAI_CONCAT_INNER(a, b) a##b
#define BONSAI_CONCAT(a, b) BONSAI_CONCAT_INNER(a, b)

/// Evaluates a Status or Result and returns its error from the enclosing function, if it has one.
#define BONSAI_RETURN_IF_ERROR(expr)                                               \
  do {                                                                             \
    if (auto bonsai_status = (expr); !bonsai_status) return bonsai_status.error(); \
  } while (0)

/// `BONSAI_ASSIGN(const auto x, MakeX());` declares x from a Result's value, or returns its error.
#define BONSAI_ASSIGN(decl, expr) BONSAI_ASSIGN_INNER(BONSAI_CONCAT(bonsai_result_, __LINE__), decl, expr)
#define BONSAI_ASSIGN_INNER(tmp, decl, expr) \
  auto tmp = (expr);                         \
  if (!tmp) return tmp.error();              \
  decl = std::move(*tmp)
