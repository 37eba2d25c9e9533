// UTF-8 as bytes: how long a character is and whether it is well formed (Unicode 15, table 3-7). Pure functions.
#pragma once

#include <cstddef>
#include <string_view>

namespace bonsai {

/// Length (1-4) of the well-formed character at the start of `s`; 0 when the first byte starts none (stray
/// continuation byte, overlong form, surrogate, above U+10FFFF, or `s` empty or cut short).
size_t Utf8CharLength(std::string_view s);

/// Number of bytes at the end of `s` that may be the beginning of a character whose rest has not arrived yet (0-3).
/// Bytes that can no longer become well formed do not count.
size_t Utf8IncompleteTail(std::string_view s);

/// True when `s` is entirely well-formed UTF-8.
bool IsUtf8(std::string_view s);

}  // namespace bonsai
