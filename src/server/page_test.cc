#include "server/page.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "base/sha256.h"
#include "tests/support.h"

namespace bonsai::server {
namespace {

std::string PageFile() { return test::ReadFile(test::SourcePath("web/dist/index.html")); }

/// CRC-32 as gzip has it (RFC 1952, section 8).
uint32_t Crc32(const std::string& bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

uint32_t LittleEndian(std::span<const std::byte> four) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | static_cast<uint32_t>(four[i]);
  return value;
}

std::string Base64(const std::string& hex) {
  static const char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char digit : hex) {
    bits = bits << 4 | static_cast<uint32_t>(std::stoi(std::string(1, digit), nullptr, 16));
    for (count += 4; count >= 6; count -= 6) out += kDigits[bits >> (count - 6) & 63];
  }
  if (count > 0) out += kDigits[bits << (6 - count) & 63];
  return out + std::string((4 - out.size() % 4) % 4, '=');
}

/// What the policy must say of the one inline element that begins with `open` and ends with `close`.
std::string HashOf(const std::string& page, const std::string& open, const std::string& close) {
  const size_t begin = page.find(open) + open.size();
  const std::string content = page.substr(begin, page.find(close, begin) - begin);
  Sha256 hash;
  hash.Update(std::as_bytes(std::span(content)));
  return "'sha256-" + Base64(hash.HexDigest()) + "'";
}

TEST(ChatPage, IsTheFileCompressed) {
  const std::string page = PageFile();
  const auto gzip = ChatPageGzip();
  ASSERT_GT(gzip.size(), 18u);  // header and trailer
  EXPECT_LT(gzip.size(), page.size());
  EXPECT_EQ(gzip[0], std::byte{0x1f});
  EXPECT_EQ(gzip[1], std::byte{0x8b});
  EXPECT_EQ(LittleEndian(gzip.subspan(gzip.size() - 8, 4)), Crc32(page));
  EXPECT_EQ(LittleEndian(gzip.last(4)), page.size());
}

TEST(ChatPage, PolicyAllowsItsScriptAndItsStyleAndNoOther) {
  const std::string page = PageFile();
  ASSERT_NE(page.find("<style>"), std::string::npos);
  ASSERT_NE(page.find("<script type=\"module\">"), std::string::npos);
  EXPECT_EQ(ChatPagePolicy(), "default-src 'none'; connect-src 'self'; img-src data:; script-src " +
                                  HashOf(page, "<script type=\"module\">", "</script>") + "; style-src " +
                                  HashOf(page, "<style>", "</style>") +
                                  "; frame-ancestors 'none'; base-uri 'none'; form-action 'none'");
}

TEST(ChatPage, Base64IsThatOfRfc4648) {
  EXPECT_EQ(Base64("666f6f626172"), "Zm9vYmFy");
  EXPECT_EQ(Base64("666f6f6261"), "Zm9vYmE=");
  EXPECT_EQ(Base64("666f6f62"), "Zm9vYg==");
}

TEST(ChatPage, Crc32IsThatOfRfc1952) { EXPECT_EQ(Crc32("123456789"), 0xcbf43926u); }

}  // namespace
}  // namespace bonsai::server
