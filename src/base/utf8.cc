#include "base/utf8.h"

#include <algorithm>
#include <cstdint>

namespace bonsai {
namespace {

struct Lead {
  size_t length;                    // 0: not a lead byte
  uint8_t second_low, second_high;  // allowed range of the second byte
};

Lead LeadOf(uint8_t b) {
  if (b < 0x80) return {1, 0, 0};
  if (b < 0xc2) return {0, 0, 0};  // continuation, or overlong C0/C1
  if (b < 0xe0) return {2, 0x80, 0xbf};
  if (b == 0xe0) return {3, 0xa0, 0xbf};  // no overlong forms
  if (b == 0xed) return {3, 0x80, 0x9f};  // no surrogates
  if (b < 0xf0) return {3, 0x80, 0xbf};
  if (b == 0xf0) return {4, 0x90, 0xbf};
  if (b < 0xf4) return {4, 0x80, 0xbf};
  if (b == 0xf4) return {4, 0x80, 0x8f};  // nothing above U+10FFFF
  return {0, 0, 0};
}

/// How many of the bytes present agree with a character that starts at s[0]; `length` is the character's full length.
size_t MatchingPrefix(std::string_view s, size_t& length) {
  const Lead lead = LeadOf(static_cast<uint8_t>(s[0]));
  length = lead.length;
  if (length == 0) return 0;
  size_t n = 1;
  for (; n < length && n < s.size(); n++) {
    const auto b = static_cast<uint8_t>(s[n]);
    const uint8_t low = n == 1 ? lead.second_low : 0x80, high = n == 1 ? lead.second_high : 0xbf;
    if (b < low || b > high) break;
  }
  return n;
}

}  // namespace

size_t Utf8CharLength(std::string_view s) {
  if (s.empty()) return 0;
  size_t length = 0;
  return MatchingPrefix(s, length) == length ? length : 0;
}

size_t Utf8IncompleteTail(std::string_view s) {
  for (size_t back = 1; back <= std::min<size_t>(3, s.size()); back++) {
    const std::string_view tail = s.substr(s.size() - back);
    size_t length = 0;
    const size_t n = MatchingPrefix(tail, length);
    if (length != 0) return length > back && n == back ? back : 0;
  }
  return 0;
}

bool IsUtf8(std::string_view s) {
  while (!s.empty()) {
    const size_t n = Utf8CharLength(s);
    if (n == 0) return false;
    s.remove_prefix(n);
  }
  return true;
}

}  // namespace bonsai
