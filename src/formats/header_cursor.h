// Sequential reading of a hostile binary header: every error says file, what was being read, and the byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/byte_source.h"
#include "base/status.h"

namespace bonsai::formats {

/// Reads little-endian fields through a buffer of 64 KiB. Lengths are checked against the bytes that are left and
/// against a limit before anything is allocated. Not thread safe; the source must outlive it.
class HeaderCursor {
 public:
  /// No byte at `limit` or beyond is interpreted; such a header is refused.
  HeaderCursor(const ByteSource& source, uint64_t limit) : source_(source), limit_(limit) {}

  uint64_t position() const { return position_; }
  /// Bytes from here to the end of the source.
  uint64_t remaining() const { return source_.size() - position_; }
  const std::string& file() const { return source_.name(); }

  /// What is being read, for messages: "key 'general.name'", "tensor 3 of 46".
  void SetContext(std::string context) { context_ = std::move(context); }

  /// "FILE: CONTEXT (byte AT): MESSAGE".
  template <class... Args>
  ErrorValue Fail(ErrorCode code, uint64_t at, fmt::format_string<Args...> format, Args&&... args) const {
    return Error(code, "{}: {} (byte {}): {}", file(), context_, at, fmt::format(format, std::forward<Args>(args)...));
  }

  /// Whether `count` items of at least `each` bytes can follow: kCorrupt beyond the end of the file, kUnsupported
  /// beyond the limit. To be asked before memory is reserved for them.
  Status Expect(uint64_t count, uint64_t each, std::string_view what) const;

  /// The next `n` bytes; the view is valid until the next call. `what` names the field in errors ("tensor count").
  Result<std::string_view> Bytes(uint64_t n, std::string_view what) {
    // The common case stays inline: a vocabulary is 600,000 calls.
    if (n > end_ - position_) BONSAI_RETURN_IF_ERROR(Refill(n, what));
    const std::string_view view(reinterpret_cast<const char*>(buffer_.data()) + (position_ - begin_), n);
    position_ += n;
    return view;
  }

  /// The next number, little-endian.
  template <class T>
  Result<T> Number(std::string_view what) {
    static_assert(std::is_arithmetic_v<T>);
    BONSAI_ASSIGN(const std::string_view bytes, Bytes(sizeof(T), what));
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }

  /// A string preceded by its length in 64 bits; the view is valid until the next call.
  Result<std::string_view> String(std::string_view what) {
    BONSAI_ASSIGN(const uint64_t length, Number<uint64_t>(what));
    return Bytes(length, what);
  }

 private:
  /// Makes at least `n` bytes from position_ on available.
  Status Refill(uint64_t n, std::string_view what);

  const ByteSource& source_;
  const uint64_t limit_;
  std::string context_ = "header";
  std::vector<std::byte> buffer_;
  uint64_t begin_ = 0, end_ = 0;  // the part of the source that lies in buffer_
  uint64_t position_ = 0;         // begin_ <= position_ <= end_
};

}  // namespace bonsai::formats
