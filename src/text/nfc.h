// Unicode normalisation form C, as the reference tokenizer of Qwen applies it before it splits text into words
// (mainline llama.cpp does not: there "e" + U+0301 and "é" get different tokens).
//
//   std::string storage;
//   std::string_view n = text::NormalizeNfc("Cafe\u0301", storage);   // "Café", in storage
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace bonsai::text {

/// Number of bytes at the start of `s` that are well-formed UTF-8. Linear; ASCII goes eight bytes at a time.
size_t WellFormedPrefix(std::string_view s);

/// NFC (Unicode Standard Annex #15) of well-formed UTF-8. Returns `s` itself when it is in NFC by a quick check, else a
/// view of `storage`, whose old contents are lost. n log n whatever the order of combining marks; thread safe.
std::string_view NormalizeNfc(std::string_view s, std::string& storage);

/// NFC of any bytes: each maximal well-formed stretch on its own, what lies between them unchanged.
std::string NormalizeNfcBytes(std::string_view s);

}  // namespace bonsai::text
