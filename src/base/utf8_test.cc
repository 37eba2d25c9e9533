#include "base/utf8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace bonsai {
namespace {

/// Every well-formed character, made from its code point by the bit layout of RFC 3629 §3.
std::string Encode(uint32_t c) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | (c >> shift & 0x3f)); };
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xc0 | c >> 6), tail(0)};
  if (c < 0x10000) return {static_cast<char>(0xe0 | c >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xf0 | c >> 18), tail(12), tail(6), tail(0)};
}

bool IsScalar(uint32_t c) { return c <= 0x10ffff && (c < 0xd800 || c > 0xdfff); }

/// The code point of s read by the layout alone, without a check of its range; 0xffffffff when the layout is wrong.
uint32_t Decode(std::string_view s) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
  const size_t ones = static_cast<size_t>(std::countl_one(byte(0)));
  if (ones == 1 || ones > 4 || s.size() != std::max<size_t>(ones, 1)) return 0xffffffff;
  uint32_t c = ones == 0 ? byte(0) : byte(0) & (0x7fu >> ones);
  for (size_t i = 1; i < s.size(); i++) {
    if (byte(i) >> 6 != 2) return 0xffffffff;
    c = c << 6 | (byte(i) & 0x3f);
  }
  return c;
}

/// Well formed: the layout reads as a scalar value whose only (shortest) encoding is exactly these bytes.
size_t LengthByDefinition(std::string_view s) {
  for (size_t n = 1; n <= std::min<size_t>(4, s.size()); n++) {
    const uint32_t c = Decode(s.substr(0, n));
    if (c != 0xffffffff && IsScalar(c) && Encode(c) == s.substr(0, n)) return n;
  }
  return 0;
}

/// Every proper prefix of every well-formed character.
const std::set<std::string>& ProperPrefixes() {
  static const auto* prefixes = [] {
    auto* set = new std::set<std::string>;
    for (uint32_t c = 0; c <= 0x10ffff; c += c < 0x10000 ? 1 : 64)  // a step of 64 leaves out last bytes only
      if (IsScalar(c))
        for (size_t n = 1; n < Encode(c).size(); n++) set->insert(Encode(c).substr(0, n));
    return set;
  }();
  return *prefixes;
}

size_t TailByDefinition(std::string_view s) {
  for (size_t n = std::min<size_t>(3, s.size()); n > 0; n--)
    if (ProperPrefixes().count(std::string(s.substr(s.size() - n))) != 0) return n;
  return 0;
}

TEST(Utf8, EverySequenceOfUpToThreeBytes) {
  // 16,843,008 sequences. Comparing inside an if keeps GoogleTest's bookkeeping out of the loop.
  size_t wrong = 0;
  std::array<char, 3> bytes{};
  for (uint32_t i = 0; i < 1u << 24; i++) {
    bytes = {static_cast<char>(i >> 16), static_cast<char>(i >> 8), static_cast<char>(i)};
    const std::string_view s(bytes.data(), 3);
    wrong += Utf8CharLength(s) != LengthByDefinition(s);
    if ((i & 0xffff) == 0) wrong += Utf8CharLength(s.substr(0, 1)) != LengthByDefinition(s.substr(0, 1));
    if ((i & 0xff) == 0) wrong += Utf8CharLength(s.substr(0, 2)) != LengthByDefinition(s.substr(0, 2));
  }
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(Utf8CharLength(""), 0u);
}

TEST(Utf8, EveryCharacter) {
  size_t wrong = 0;
  for (uint32_t c = 0; c < 0x110000; c++) {
    const std::string s = Encode(c);
    wrong += Utf8CharLength(s + "\x80") != (IsScalar(c) ? s.size() : 0);
    wrong += IsUtf8(s) != IsScalar(c);
  }
  EXPECT_EQ(wrong, 0u);
}

TEST(Utf8, FourByteForms) {
  EXPECT_EQ(Utf8CharLength("\xf0\x8f\xbf\xbf"), 0u);  // overlong
  EXPECT_EQ(Utf8CharLength("\xf0\x90\x80\x80"), 4u);
  EXPECT_EQ(Utf8CharLength("\xf4\x8f\xbf\xbf"), 4u);
  EXPECT_EQ(Utf8CharLength("\xf4\x90\x80\x80"), 0u);  // above U+10FFFF
  EXPECT_EQ(Utf8CharLength("\xf5\x80\x80\x80"), 0u);
  EXPECT_EQ(Utf8CharLength("\xf0\x90\x80"), 0u);
  EXPECT_EQ(Utf8CharLength("\xf0\x90\x80\x41"), 0u);
}

TEST(Utf8, IncompleteTailOfEveryEnding) {
  // Only lead bytes and boundaries of ranges matter, so these bytes stand for all 256 (table 3-7).
  const std::string bytes(
      "\x00\x41\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xee\xef\xf0\xf1\xf3\xf4\xf5\xff", 25);
  for (const char a : bytes)
    for (const char b : bytes)
      for (const char c : bytes)
        for (const char d : bytes) {
          const std::string s = {a, b, c, d};
          ASSERT_EQ(Utf8IncompleteTail(s), TailByDefinition(s)) << testing::PrintToString(s);
          ASSERT_EQ(Utf8IncompleteTail(s.substr(2)), TailByDefinition(s.substr(2)));
        }
  EXPECT_EQ(Utf8IncompleteTail(""), 0u);
  EXPECT_EQ(Utf8IncompleteTail("\xe6"), 1u);
}

TEST(Utf8, IsUtf8) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("a é 日 😀"));
  EXPECT_TRUE(IsUtf8(std::string_view("\0", 1)));
  EXPECT_FALSE(IsUtf8("a\x80"));
  EXPECT_FALSE(IsUtf8("日\xe6\x97"));
  EXPECT_FALSE(IsUtf8("\xed\xa0\x80"));
}

}  // namespace
}  // namespace bonsai
