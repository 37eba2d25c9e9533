#include "formats/header_cursor.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

namespace bonsai::formats {
namespace {

std::unique_ptr<ByteSource> Source(const std::vector<std::byte>& bytes) { return MemorySource("f", bytes); }

std::vector<std::byte> Counting(size_t n) {
  std::vector<std::byte> bytes(n);
  for (size_t i = 0; i < n; i++) bytes[i] = static_cast<std::byte>(i % 251);
  return bytes;
}

TEST(HeaderCursorTest, FieldsOfAnyLengthAcrossTheChunks) {
  const std::vector<std::byte> bytes = Counting(1 << 20);
  const auto source = Source(bytes);
  HeaderCursor in(*source, 1 << 20);
  size_t at = 0;
  for (size_t length = 1; at + length <= bytes.size(); length = length * 5 / 3 + 1) {
    const auto view = in.Bytes(length, "field");
    ASSERT_TRUE(view.ok());
    ASSERT_EQ(view->size(), length);
    EXPECT_EQ(std::memcmp(view->data(), bytes.data() + at, length), 0) << at;
    at += length;
    EXPECT_EQ(in.position(), at);
    EXPECT_EQ(in.remaining(), bytes.size() - at);
  }
  EXPECT_GT(at, 200u << 10);  // beyond several chunks of 64 KiB, with fields longer than one
}

TEST(HeaderCursorTest, NumbersAreLittleEndian) {
  const std::vector<std::byte> bytes = Counting(16);
  const auto source = Source(bytes);
  HeaderCursor in(*source, 16);
  EXPECT_EQ(in.Number<uint8_t>("a").value(), 0u);
  EXPECT_EQ(in.Number<uint16_t>("b").value(), 0x0201u);
  EXPECT_EQ(in.Number<uint32_t>("c").value(), 0x06050403u);
  EXPECT_EQ(in.Number<uint64_t>("d").value(), 0x0e0d0c0b0a090807u);
  const auto cut = in.Number<uint16_t>("e");
  ASSERT_FALSE(cut.ok());
  EXPECT_EQ(cut.error().message(), "f: header (byte 15): the file ends before the e: 2 x 1 bytes needed, 1 left");
  EXPECT_EQ(in.Number<uint8_t>("e").value(), 15u);  // a failed read moves nothing
}

TEST(HeaderCursorTest, NothingIsReadBeyondTheLimit) {
  const std::vector<std::byte> bytes = Counting(3 << 20);
  const auto source = Source(bytes);
  HeaderCursor in(*source, 1 << 20);
  in.SetContext("key 'k'");
  ASSERT_TRUE(in.Bytes((1 << 20) - 4, "first").ok());
  EXPECT_TRUE(in.Expect(1, 4, "last").ok());
  EXPECT_TRUE(in.Number<uint32_t>("last").ok());
  const auto beyond = in.Number<uint8_t>("one more");
  ASSERT_FALSE(beyond.ok());
  EXPECT_EQ(beyond.error().code(), ErrorCode::kUnsupported);
  EXPECT_EQ(beyond.error().message(),
            "f: key 'k' (byte 1048576): the one more, 1 x 1 bytes, would make the header larger than 1 MiB");
  EXPECT_EQ(in.Expect(1, 1, "more").error().code(), ErrorCode::kUnsupported);
  EXPECT_EQ(in.Expect(UINT64_MAX, UINT64_MAX, "more").error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(in.Expect(4 << 20, 1, "more").error().code(), ErrorCode::kCorrupt);  // not even in the file
  EXPECT_TRUE(in.Expect(0, 8, "none").ok());
}

}  // namespace
}  // namespace bonsai::formats
