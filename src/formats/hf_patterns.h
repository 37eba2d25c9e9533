// What tokenizer.json says of the splitting patterns that we know by name. For hf_tokenizer*.cc.
#pragma once

#include <cstdint>
#include <string_view>

namespace bonsai::formats {

struct HfPattern {
  std::string_view pre;    ///< As in `tokenizer.ggml.pre`.
  std::string_view alias;  ///< Another name of the same.
  std::string_view regex;  ///< Of the pre-tokenizer Split before ByteLevel; empty: ByteLevel's own, which is GPT-2's.
  bool digits = false;     ///< The pre-tokenizer Digits comes before ByteLevel.
  bool nfc = false;        ///< The normalizer is NFC, not none.
  bool ignore_merges = false;
};

inline constexpr HfPattern kHfPatterns[] = {
    {.pre = "qwen2",
     .regex = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|)"
              R"(\s+(?!\S)|\s+)",
     .nfc = true},
    {.pre = "llama-bpe",
     .alias = "llama3",
     .regex = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
              R"(\s*[\r\n]+|\s+(?!\S)|\s+)",
     .ignore_merges = true},
    {.pre = "gpt-2", .alias = "default"},
    {.pre = "smollm", .digits = true},
};

inline constexpr std::string_view kHfSpace = "\xe2\x96\x81";  ///< U+2581, SentencePiece's space.

/// Numbered as in `tokenizer.ggml.token_type`.
enum HfTokenType : int64_t { kHfNormal = 1, kHfUnknown, kHfControl, kHfUserDefined, kHfUnused, kHfByte };

}  // namespace bonsai::formats
