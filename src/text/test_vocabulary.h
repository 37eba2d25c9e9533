// Vocabularies for tests, fuzzers and benchmarks: metadata built by hand, without a file. No test framework here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "formats/metadata.h"

namespace bonsai::text {

/// The parts of a vocabulary, to change before they become metadata.
struct TestVocabulary {
  std::vector<std::string> tokens;
  std::vector<int64_t> types;
  std::vector<std::string> merges;
  std::vector<double> scores;                        ///< Of a SentencePiece model.
  std::vector<std::pair<std::string, int64_t>> ids;  ///< More keys: "tokenizer.ggml.eos_token_id" → 7.
  std::vector<std::pair<std::string, bool>> flags;   ///< "tokenizer.ggml.add_bos_token" → true.
  std::string model = "gpt2", pre = "qwen2", chat_template;

  int32_t Add(std::string token, int64_t type = 1) {
    tokens.push_back(std::move(token));
    types.push_back(type);
    return static_cast<int32_t>(tokens.size() - 1);
  }
  /// Adds "left right" and, when it is new, the token that it makes.
  void Merge(const std::string& left, const std::string& right, bool add_token = true) {
    merges.push_back(left + " " + right);
    if (add_token) Add(left + right);
  }
  formats::Metadata Build() const;
};

/// UTF-8 of a character.
inline std::string EncodeUtf8(uint32_t c) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | (c >> shift & 0x3f)); };
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xc0 | c >> 6), tail(0)};
  if (c < 0x10000) return {static_cast<char>(0xe0 | c >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xf0 | c >> 18), tail(12), tail(6), tail(0)};
}

/// `byte` in the alphabet of GPT-2, written out anew here: a test should not trust what it tests.
inline std::string ByteChar(int byte) {
  int shifted = 0;  // how many unprintable bytes come before this one
  for (int b = 0; b < byte; b++) shifted += b < 0x21 || (b > 0x7e && b < 0xa1) || b == 0xad;
  const bool printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte != 0xad);
  const int c = printable ? byte : 0x100 + shifted;
  if (c < 0x80) return std::string(1, static_cast<char>(c));
  return {static_cast<char>(0xc0 | (c >> 6)), static_cast<char>(0x80 | (c & 0x3f))};
}

/// All of `bytes` in the alphabet.
inline std::string Alphabet(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += ByteChar(static_cast<uint8_t>(c));
  return out;
}

inline formats::Metadata TestVocabulary::Build() const {
  formats::Metadata m("test");
  const auto add = [&](std::string key, formats::ValueKind kind, auto data) {
    formats::Value value;
    value.kind = kind;
    value.data = std::move(data);
    BONSAI_CHECK(m.Add(std::move(key), std::move(value)).ok());
  };
  const auto strings = [](const std::vector<std::string>& from) {
    formats::StringList list;
    for (const std::string& s : from) list.Add(s);
    return formats::Array(std::move(list));
  };
  const auto add_array = [&](std::string key, formats::ValueKind element, formats::Array array) {
    formats::Value value;
    value.kind = formats::ValueKind::kArray;
    value.element = element;
    value.data = std::move(array);
    BONSAI_CHECK(m.Add(std::move(key), std::move(value)).ok());
  };
  add("tokenizer.ggml.model", formats::ValueKind::kString, model);
  if (!pre.empty()) add("tokenizer.ggml.pre", formats::ValueKind::kString, pre);
  if (!chat_template.empty()) add("tokenizer.chat_template", formats::ValueKind::kString, chat_template);
  add_array("tokenizer.ggml.tokens", formats::ValueKind::kString, strings(tokens));
  if (!types.empty()) add_array("tokenizer.ggml.token_type", formats::ValueKind::kI32, formats::Array(types));
  if (scores.empty()) add_array("tokenizer.ggml.merges", formats::ValueKind::kString, strings(merges));
  if (!scores.empty()) add_array("tokenizer.ggml.scores", formats::ValueKind::kF32, formats::Array(scores));
  for (const auto& [key, id] : ids) add(key, formats::ValueKind::kU32, id);
  for (const auto& [key, flag] : flags) add(key, formats::ValueKind::kBool, int64_t{flag});
  return m;
}

/// All 256 bytes, merges for some English, for spaces, newlines and ones, for parts of é, 你 and emoji, and four added
/// tokens, one of which begins another.
inline TestVocabulary SmallVocabulary() {
  TestVocabulary v;
  for (int b = 0; b < 256; b++) v.Add(ByteChar(b));
  for (const auto& [left, right] : std::vector<std::pair<std::string, std::string>>{
           {" ", "t"},           {"h", "e"},       {" t", "he"},     {"i", "n"},           {"in", "g"},
           {"e", "r"},           {"o", "u"},       {"l", "l"},       {"he", "ll"},         {"hell", "o"},
           {"a", "a"},           {"aa", "aa"},     {"aaaa", "aaaa"}, {" ", " "},           {"  ", "  "},
           {"\n", "\n"},         {"\xc3", "\xa9"}, {"e", "\xcc"},    {"\xe4\xbd", "\xa0"}, {"\xf0", "\x9f"},
           {"\xf0\x9f", "\x98"}, {"\xcc", "\x81"}, {"'", "s"},       {"\xff", "\xff"}}) {
    if (left.size() == 2 && left == "\xe4\xbd") v.Merge(Alphabet("\xe4"), Alphabet("\xbd"));
    v.Merge(Alphabet(left), Alphabet(right));
  }
  const int32_t end_of_text = v.Add("<|endoftext|>", 3), im_end = v.Add("<|im_end|>", 3);
  v.Add("<think>", 4);
  v.Add("<think>\n\xc3\xa9", 4);
  v.ids = {{"tokenizer.ggml.eos_token_id", im_end}, {"tokenizer.ggml.bos_token_id", end_of_text}};
  return v;
}

/// A SentencePiece vocabulary: <unk>, <s>, </s>, the 256 bytes, then `words` in order of falling score, from 0 on.
inline TestVocabulary SentencePieceVocabulary(const std::vector<std::string>& words) {
  TestVocabulary v;
  v.model = "llama", v.pre = "";
  v.Add("<unk>", 2), v.Add("<s>", 3), v.Add("</s>", 3);
  for (int b = 0; b < 256; b++) {
    const std::string_view hex = "0123456789ABCDEF";
    v.Add(std::string("<0x") + hex[static_cast<size_t>(b / 16)] + hex[static_cast<size_t>(b % 16)] + ">", 6);
  }
  v.scores.assign(v.tokens.size(), 0);
  for (const std::string& word : words) {
    v.Add(word);
    v.scores.push_back(259 - static_cast<double>(v.scores.size()));
  }
  v.ids = {
      {"tokenizer.ggml.bos_token_id", 1}, {"tokenizer.ggml.eos_token_id", 2}, {"tokenizer.ggml.unknown_token_id", 0}};
  return v;
}

}  // namespace bonsai::text
