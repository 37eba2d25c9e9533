// ASCII, whatever the locale: names of formats, headers and files compare by these. Pure functions; bytes from 0x80 on
// are left alone.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace bonsai {

inline bool IsDigit(char c) { return c >= '0' && c <= '9'; }
/// True for the empty string, too.
inline bool AllDigits(std::string_view s) { return std::all_of(s.begin(), s.end(), IsDigit); }

inline char ToLower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
inline std::string ToLower(std::string_view s) {
  std::string out(s);
  for (char& c : out) c = ToLower(c);
  return out;
}
inline bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return ToLower(x) == ToLower(y); });
}

}  // namespace bonsai
