// Bytes that remember who wrote them: the strings of the template language.
//
//   Text t("<|im_start|>", true);      // the template's author
//   t.Append("<|im_end|>", false);     // a user
//   t.runs();                          // {12, true}, {22, false}
//
// A chat template mixes both, through concatenation, slices, replacements and so on. Only what its author wrote may
// become control tokens, so every operation keeps the origin of each byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bonsai::text::jinja {

/// A value type; const methods are thread safe.
class Text {
 public:
  /// The bytes from the end of the run before it (0) up to `end`. Neighbours differ in `trusted`, none is empty.
  struct Run {
    size_t end = 0;
    bool trusted = false;
    bool operator==(const Run&) const = default;
  };

  Text() = default;
  Text(std::string bytes, bool trusted) : bytes_(std::move(bytes)) {
    if (!bytes_.empty()) runs_.push_back({bytes_.size(), trusted});
  }

  const std::string& bytes() const { return bytes_; }
  const std::vector<Run>& runs() const { return runs_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  /// Whether the template's author wrote byte `at` (< size()). Logarithmic in the number of runs.
  bool TrustedAt(size_t at) const { return runs_[RunAt(at)].trusted; }

  void Append(std::string_view bytes, bool trusted);
  void Append(const Text& other) { Append(other, 0, other.size()); }
  /// Bytes [begin, end) of `other`, which may be this text; begin ≤ end ≤ other.size().
  void Append(const Text& other, size_t begin, size_t end);
  Text Slice(size_t begin, size_t end) const;

 private:
  size_t RunAt(size_t at) const;
  void Extend(size_t end, bool trusted);

  std::string bytes_;
  std::vector<Run> runs_;
};

// Characters of UTF-8; a byte that starts none counts as one.

/// UTF-8 of a code point, 0 to 0x10ffff.
std::string CharacterOf(int32_t code_point);
/// Length in bytes of the character at `at` (< s.size()): 1 to 4.
size_t CharacterLength(std::string_view s, size_t at);
/// How many characters `s` has.
size_t CharacterCount(std::string_view s);
/// The byte at which character number `index` starts; s.size() when there are not so many.
size_t CharacterOffset(std::string_view s, size_t index);
/// Length in bytes of the white space (as Python's str.isspace sees it) at `at`; 0 when there is none.
size_t SpaceLength(std::string_view s, size_t at);

/// `chars` empty: white space; else any character of it. Which ends to cut: as str.strip, lstrip, rstrip.
Text Strip(const Text& text, std::string_view chars, bool left, bool right);

enum class Case { kUpper, kLower, kCapitalize, kTitle };
/// Unicode's simple case mapping, a character for a character, but for "ß", which becomes "SS" as in Python. (Ligatures
/// such as "ﬁ", which Python takes apart, stay.)
/// kTitle: a letter after something that is no letter is upper case, as str.title.
Text ChangeCase(const Text& text, Case to);

/// Unicode's general categories L* and N[dl]..., for str.isalpha and str.isdigit (decimal digits only).
bool IsLetter(std::string_view character);
bool IsDecimal(std::string_view character);
/// Whether Python's repr() shows the character as it is.
bool IsPrintable(std::string_view character);

}  // namespace bonsai::text::jinja
