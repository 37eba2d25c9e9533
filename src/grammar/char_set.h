// Sets of bytes and of Unicode characters.
//
//   CharSet vowels;
//   vowels.Add('a').Add('e').Add(0xe0, 0xe6);
//   for (const Utf8Sequence& s : Utf8Sequences(vowels.Negated())) …   // byte ranges that spell its characters
//
// Surrogates are no characters: no set holds them, so nothing that is not well-formed UTF-8 can be expressed by one.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bonsai::grammar {

using ByteSet = std::bitset<256>;

struct CharRange {
  uint32_t first, last;
  bool operator==(const CharRange&) const = default;
};

inline constexpr uint32_t kMaxChar = 0x10ffff;

/// A set of code points. A value; `ranges` sorts, so it is not thread safe until it has been called once.
class CharSet {
 public:
  CharSet& Add(uint32_t c) { return Add(c, c); }
  /// Both ends belong to it; what lies above U+10FFFF or between U+D800 and U+DFFF is left out.
  CharSet& Add(uint32_t first, uint32_t last);
  CharSet& Add(const CharSet& other);
  /// All other characters.
  CharSet Negated() const;
  bool Contains(uint32_t c) const;
  bool empty() const { return ranges().empty(); }
  /// Sorted, disjoint, not adjacent.
  std::span<const CharRange> ranges() const;

 private:
  mutable std::vector<CharRange> ranges_;
  mutable bool sorted_ = true;
};

/// One to four byte ranges: every choice of a byte from each is the UTF-8 of a character.
struct Utf8Sequence {
  struct Range {
    uint8_t first, last;
  };
  std::array<Range, 4> bytes;
  uint8_t length;
};

/// Disjoint sequences that spell exactly the characters of `set` (Unicode 15, table 3-7: no overlong forms).
std::vector<Utf8Sequence> Utf8Sequences(const CharSet& set);

/// Appends the UTF-8 of a character.
void AppendUtf8(uint32_t c, std::string& out);

inline constexpr uint32_t kNoChar = UINT32_MAX;
/// The character at `at`, which moves behind it; kNoChar, and nothing moves, where there is no well-formed one.
uint32_t TakeChar(std::string_view s, size_t& at);

}  // namespace bonsai::grammar
