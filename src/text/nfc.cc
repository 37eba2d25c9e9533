#include "text/nfc.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/utf8.h"

namespace bonsai::text {
namespace {

/// Length of the run of ASCII at the start of `s`, rounded down to whole words while it is long.
size_t AsciiPrefix(std::string_view s) {
  size_t i = 0;
  for (; i + 8 <= s.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, s.data() + i, 8);
    if ((word & 0x8080808080808080u) != 0) break;
  }
  while (i < s.size() && static_cast<uint8_t>(s[i]) < 0x80) i++;
  return i;
}

struct Range {
  uint32_t first, last;
};

/// Characters that NFC neither changes nor joins to what stands before them (NFC_Quick_Check=Yes and combining class
/// 0): the blocks of everyday text. Anything else merely takes the slow way. The normalisation stability policy of
/// Unicode keeps the list true; nfc_test.cc checks it against utf8proc.
constexpr std::array kInert = std::to_array<Range>({
    {0x0000, 0x02ff},    // Latin
    {0x03b1, 0x03ff},    // Greek, lower case
    {0x0400, 0x0482},    // Cyrillic
    {0x048a, 0x052f},    // Cyrillic
    {0x1e00, 0x1eff},    // Latin, Vietnamese
    {0x200b, 0x206f},    // punctuation, joiners
    {0x20a0, 0x20c0},    // currencies
    {0x2190, 0x2328},    // arrows, mathematics
    {0x2460, 0x27ff},    // boxes, shapes, dingbats
    {0x3000, 0x3029},    // CJK punctuation
    {0x3041, 0x3096},    // Hiragana
    {0x309b, 0x30ff},    // Katakana
    {0x4e00, 0x9fff},    // CJK ideographs
    {0xac00, 0xd7a3},    // Hangul syllables
    {0xfe0f, 0xfe0f},    // emoji presentation
    {0xff01, 0xff9d},    // full-width forms
    {0x1f000, 0x1faff},  // emoji
});

bool IsInert(uint32_t c) {
  if (c < 0x300) return true;
  const auto it =
      std::upper_bound(kInert.begin(), kInert.end(), c, [](uint32_t v, const Range& r) { return v < r.first; });
  return it != kInert.begin() && c <= it[-1].last;
}

/// Decodes the character at `s[i]` and moves `i` past it. Precondition: well formed.
uint32_t NextChar(std::string_view s, size_t& i) {
  const auto at = [&](size_t k) { return static_cast<uint32_t>(static_cast<uint8_t>(s[i + k])); };
  const uint32_t b = at(0);
  uint32_t c;
  if (b < 0x80) {
    c = b, i += 1;
  } else if (b < 0xe0) {
    c = (b & 0x1f) << 6 | (at(1) & 0x3f), i += 2;
  } else if (b < 0xf0) {
    c = (b & 0x0f) << 12 | (at(1) & 0x3f) << 6 | (at(2) & 0x3f), i += 3;
  } else {
    c = (b & 0x07) << 18 | (at(1) & 0x3f) << 12 | (at(2) & 0x3f) << 6 | (at(3) & 0x3f), i += 4;
  }
  return c;
}

uint16_t CombiningClass(int32_t c) { return static_cast<uint16_t>(utf8proc_get_property(c)->combining_class); }

/// Appends the NFC of `s`. utf8proc_map() would do all of it, but it sorts combining marks with a bubble sort: a
/// megabyte of alternating marks takes minutes there.
void AppendNfc(std::string_view s, std::string& out, std::vector<int32_t>& chars) {
  constexpr auto kOptions = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  chars.clear();
  for (size_t i = 0; i < s.size();) {
    const auto c = static_cast<int32_t>(NextChar(s, i));
    std::array<int32_t, 32> parts;  // the longest canonical decomposition is 4
    int boundary = 0;
    const utf8proc_ssize_t n = utf8proc_decompose_char(c, parts.data(), parts.size(), kOptions, &boundary);
    BONSAI_CHECK(n >= 0 && n <= static_cast<utf8proc_ssize_t>(parts.size()));
    chars.insert(chars.end(), parts.begin(), parts.begin() + n);
  }
  for (auto begin = chars.begin(); begin != chars.end();) {  // canonical ordering: stable, within runs of class > 0
    if (CombiningClass(*begin) == 0) {
      ++begin;
      continue;
    }
    const auto end = std::find_if(begin, chars.end(), [](int32_t c) { return CombiningClass(c) == 0; });
    std::stable_sort(begin, end, [](int32_t a, int32_t b) { return CombiningClass(a) < CombiningClass(b); });
    begin = end;
  }
  const utf8proc_ssize_t n =
      utf8proc_normalize_utf32(chars.data(), static_cast<utf8proc_ssize_t>(chars.size()), kOptions);
  BONSAI_CHECK(n >= 0);
  for (utf8proc_ssize_t i = 0; i < n; i++) {
    std::array<utf8proc_uint8_t, 4> bytes;
    const utf8proc_ssize_t length = utf8proc_encode_char(chars[static_cast<size_t>(i)], bytes.data());
    out.append(reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(length));
  }
}

}  // namespace

size_t WellFormedPrefix(std::string_view s) {
  size_t i = 0;
  while (true) {
    i += AsciiPrefix(s.substr(i));
    size_t n = 0;
    while (i < s.size() && static_cast<uint8_t>(s[i]) >= 0x80 && (n = Utf8CharLength(s.substr(i))) != 0) i += n;
    if (i == s.size() || static_cast<uint8_t>(s[i]) >= 0x80) return i;
  }
}

std::string_view NormalizeNfc(std::string_view s, std::string& storage) {
  storage.clear();
  std::vector<int32_t> chars;
  size_t copied = 0;      // s[0, copied) has its NFC in storage
  size_t last_inert = 0;  // where the last inert character begins: what follows may join it
  for (size_t i = 0; i < s.size();) {
    if (const size_t ascii = AsciiPrefix(s.substr(i)); ascii != 0) {
      i += ascii;
      last_inert = i - 1;
      continue;
    }
    const size_t begin = i;
    if (IsInert(NextChar(s, i))) {
      last_inert = begin;
      continue;
    }
    size_t end = i;  // up to the next inert character
    while (end < s.size()) {
      size_t next = end;
      if (IsInert(NextChar(s, next))) break;
      end = next;
    }
    const size_t from = std::max(copied, last_inert);
    storage.append(s, copied, from - copied);
    AppendNfc(s.substr(from, end - from), storage, chars);
    copied = i = end;
  }
  if (copied == 0) return s;
  storage.append(s, copied);
  return storage;
}

std::string NormalizeNfcBytes(std::string_view s) {
  std::string out, storage;
  while (!s.empty()) {
    const size_t n = WellFormedPrefix(s);
    out += NormalizeNfc(s.substr(0, n), storage);
    s.remove_prefix(n);
    if (s.empty()) break;
    out += s[0];
    s.remove_prefix(1);
  }
  return out;
}

}  // namespace bonsai::text
