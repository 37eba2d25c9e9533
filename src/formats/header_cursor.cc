#include "formats/header_cursor.h"

#include <algorithm>

namespace bonsai::formats {
namespace {
constexpr uint64_t kChunk = 64 << 10;
}  // namespace

Status HeaderCursor::Expect(uint64_t count, uint64_t each, std::string_view what) const {
  if (count > remaining() / each)
    return Fail(ErrorCode::kCorrupt, position_, "the file ends before the {}: {} x {} bytes needed, {} left", what,
                count, each, remaining());
  if (position_ > limit_ || count > (limit_ - position_) / each)
    return Fail(ErrorCode::kUnsupported, position_, "the {}, {} x {} bytes, would make the header larger than {} MiB",
                what, count, each, limit_ >> 20);
  return {};
}

Status HeaderCursor::Refill(uint64_t n, std::string_view what) {
  BONSAI_RETURN_IF_ERROR(Expect(n, 1, what));
  const uint64_t want = std::max(n, std::min({kChunk, remaining(), limit_ - position_}));
  buffer_.resize(want);
  begin_ = end_ = position_;
  if (const Status read = source_.ReadAt(position_, buffer_); !read)
    return Fail(read.error().code(), position_, "{}", read.error().message());
  end_ = begin_ + want;
  return {};
}

}  // namespace bonsai::formats
