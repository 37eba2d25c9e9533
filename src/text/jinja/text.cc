#include "text/jinja/text.h"

#include <utf8proc.h>

#include <algorithm>

#include "base/utf8.h"

namespace bonsai::text::jinja {
namespace {

/// The code point of one character; a byte that starts none is itself, negated: no category has it.
int32_t CodePoint(std::string_view character) {
  utf8proc_int32_t c = -1;
  const auto* const bytes = reinterpret_cast<const utf8proc_uint8_t*>(character.data());
  if (utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(character.size()), &c) <= 0) return -1;
  return c;
}

utf8proc_category_t Category(std::string_view character) {
  const int32_t c = CodePoint(character);
  return c < 0 ? UTF8PROC_CATEGORY_CN : utf8proc_category(c);
}

/// Length of the character that ends at `end` (> 0).
size_t LastLength(std::string_view s, size_t end) {
  for (size_t n = std::min<size_t>(4, end); n > 1; n--) {
    if (Utf8CharLength(s.substr(end - n, n)) == n) return n;
  }
  return 1;
}

bool IsIn(std::string_view character, std::string_view chars) {
  if (chars.empty()) return SpaceLength(character, 0) == character.size();
  for (size_t i = 0; i < chars.size(); i += CharacterLength(chars, i)) {
    if (chars.substr(i, CharacterLength(chars, i)) == character) return true;
  }
  return false;
}

}  // namespace

size_t Text::RunAt(size_t at) const {
  const auto it =
      std::upper_bound(runs_.begin(), runs_.end(), at, [](size_t a, const Run& run) { return a < run.end; });
  return static_cast<size_t>(it - runs_.begin());
}

void Text::Extend(size_t end, bool trusted) {
  if (runs_.empty() || runs_.back().trusted != trusted) {
    runs_.push_back({end, trusted});
  } else {
    runs_.back().end = end;
  }
}

void Text::Append(std::string_view bytes, bool trusted) {
  if (bytes.empty()) return;
  bytes_ += bytes;
  Extend(bytes_.size(), trusted);
}

void Text::Append(const Text& other, size_t begin, size_t end) {
  if (begin >= end) return;
  if (&other == this) return Append(Text(other), begin, end);
  const size_t start = bytes_.size();  // where byte `begin` comes to stand
  bytes_.append(other.bytes_, begin, end - begin);
  for (size_t at = begin, r = other.RunAt(begin); at < end; r++) {
    at = std::min(end, other.runs_[r].end);
    Extend(start + (at - begin), other.runs_[r].trusted);
  }
}

Text Text::Slice(size_t begin, size_t end) const {
  Text out;
  out.Append(*this, begin, end);
  return out;
}

std::string CharacterOf(int32_t code_point) {
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t n = utf8proc_encode_char(code_point, bytes);
  return {reinterpret_cast<const char*>(bytes), static_cast<size_t>(n)};
}

size_t CharacterLength(std::string_view s, size_t at) { return std::max<size_t>(1, Utf8CharLength(s.substr(at))); }

size_t CharacterCount(std::string_view s) {
  size_t count = 0;
  for (size_t i = 0; i < s.size(); i += CharacterLength(s, i)) count++;
  return count;
}

size_t CharacterOffset(std::string_view s, size_t index) {
  size_t i = 0;
  while (index > 0 && i < s.size()) i += CharacterLength(s, i), index--;
  return i;
}

size_t SpaceLength(std::string_view s, size_t at) {
  const auto c = static_cast<uint8_t>(s[at]);
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x1f) ? 1 : 0;
  const size_t n = CharacterLength(s, at);
  const std::string_view character = s.substr(at, n);
  if (character == "\xc2\x85" || character == "\xe2\x80\xa8" || character == "\xe2\x80\xa9") return n;
  return n > 1 && Category(character) == UTF8PROC_CATEGORY_ZS ? n : 0;
}

Text Strip(const Text& text, std::string_view chars, bool left, bool right) {
  const std::string_view s = text.bytes();
  size_t begin = 0, end = s.size();
  while (left && begin < end && IsIn(s.substr(begin, CharacterLength(s, begin)), chars))
    begin += CharacterLength(s, begin);
  while (right && begin < end) {
    const size_t n = LastLength(s.substr(begin, end - begin), end - begin);
    if (!IsIn(s.substr(end - n, n), chars)) break;
    end -= n;
  }
  return text.Slice(begin, end);
}

Text ChangeCase(const Text& text, Case to) {
  const std::string_view s = text.bytes();
  Text out;
  bool begins = true;  // a word, or the whole
  for (size_t i = 0, n; i < s.size(); i += n) {
    n = CharacterLength(s, i);
    const std::string_view character = s.substr(i, n);
    const int32_t c = CodePoint(character);
    const bool up = to == Case::kUpper || (to != Case::kLower && begins);
    const std::string changed = c < 0             ? std::string(character)
                                : up && c == 0xdf ? (to == Case::kUpper ? "SS" : "Ss")
                                                  : CharacterOf(up ? utf8proc_toupper(c) : utf8proc_tolower(c));
    out.Append(changed, text.TrustedAt(i));
    begins = to == Case::kTitle && !IsLetter(character);
  }
  return out;
}

bool IsLetter(std::string_view character) {
  const utf8proc_category_t c = Category(character);
  return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

bool IsDecimal(std::string_view character) { return Category(character) == UTF8PROC_CATEGORY_ND; }

bool IsPrintable(std::string_view character) {
  if (character == " ") return true;
  const utf8proc_category_t c = Category(character);
  return c != UTF8PROC_CATEGORY_CN && c < UTF8PROC_CATEGORY_ZS;
}

}  // namespace bonsai::text::jinja
