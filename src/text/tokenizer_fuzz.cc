// Any bytes as text, and any bytes as a vocabulary. What must hold: encoding never fails, decoding undoes it up to NFC,
// and a stream of tokens gives the same text as all of them at once.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "text/nfc.h"
#include "text/test_vocabulary.h"
#include "text/tokenizer.h"

namespace bonsai::text {
namespace {

void CheckStream(const Tokenizer& t, const std::vector<int32_t>& ids, bool with_special) {
  StreamDecoder decoder(t, with_special);
  std::string streamed;
  for (const int32_t id : ids) streamed += decoder.Push(id);
  streamed += decoder.Finish();
  BONSAI_CHECK(streamed == t.Decode(ids, with_special));
}

void CheckText(const Tokenizer& t, std::string_view text) {
  const std::string nfc = NormalizeNfcBytes(text);
  BONSAI_CHECK(NormalizeNfcBytes(nfc) == nfc);
  const auto plain = t.Encode(text);
  BONSAI_CHECK(t.Decode(plain) == nfc);
  for (const int32_t id : plain) BONSAI_CHECK(!t.IsControl(id));
  const auto special = t.Encode(text, {.add_special = true, .parse_special = true});
  // Added tokens keep their text as it stands, so the whole is equal only after another normalisation.
  BONSAI_CHECK(NormalizeNfcBytes(t.Decode(special, true)) == nfc);
  CheckStream(t, plain, false);
  CheckStream(t, special, true);
  CheckStream(t, special, false);
}

/// The same for SentencePiece, to which U+2581 is a space.
void CheckSentencePiece(const Tokenizer& t, std::string_view text) {
  std::string spaces(text);
  const std::string_view mark = "\xe2\x96\x81";
  for (size_t at = 0; (at = spaces.find(mark, at)) != std::string::npos;) spaces.replace(at, mark.size(), " ");
  const auto plain = t.Encode(text);
  BONSAI_CHECK(t.Decode(plain) == spaces);
  for (const int32_t id : plain) BONSAI_CHECK(!t.IsControl(id));
  const auto special = t.Encode(text, {.parse_special = true});
  BONSAI_CHECK(t.Decode(special, true) == spaces);
  CheckStream(t, plain, false);
  CheckStream(t, special, true);
  CheckStream(t, special, false);
}

/// Reads lines "K…" as the parts of a vocabulary; the rest is text for it.
void CheckHostile(std::string_view input) {
  TestVocabulary v;
  std::map<std::string, int64_t> ids;  // a key may come once
  while (!input.empty()) {
    const size_t end = std::min(input.find('\n'), input.size());
    const std::string line(input.substr(0, end));
    input.remove_prefix(std::min(end + 1, input.size()));
    if (line.empty()) break;
    const std::string rest = line.substr(1);
    if (line[0] >= '0' && line[0] <= '9') {
      v.Add(rest, line[0] - '0');
    } else if (line[0] == 'm') {
      v.merges.push_back(rest);
    } else if (line[0] == 'e' || line[0] == 'u') {
      ids[line[0] == 'e' ? "tokenizer.ggml.eos_token_id" : "tokenizer.ggml.unknown_token_id"] =
          rest.empty() ? 0 : static_cast<uint8_t>(rest[0]);
    } else if (line[0] == 'b') {
      for (int b = 0; b < 256; b += rest.empty() ? 1 : 3) v.Add(ByteChar(b));
    } else if (line[0] == 'p') {
      v.pre = rest;
    } else if (line[0] == 'l') {
      v.model = "llama";
    }
  }
  if (v.model == "llama" && v.merges.empty()) {
    for (const std::string& token : v.tokens) v.scores.push_back(token.empty() ? 0 : token.back() % 8);
  }
  v.ids.assign(ids.begin(), ids.end());
  const auto t = Tokenizer::FromMetadata(v.Build());
  if (!t) {
    BONSAI_CHECK(t.error().message().find('\n') == std::string::npos);  // lines of the input hold none
    return;
  }
  for (const bool parse_special : {false, true}) {
    const auto encoded = (*t)->Encode(input, {.add_special = true, .parse_special = parse_special});
    for (const int32_t id : encoded) BONSAI_CHECK(id >= 0 && id < (*t)->vocab_size());
    CheckStream(**t, encoded, true);
    CheckStream(**t, encoded, false);
  }
}

}  // namespace
}  // namespace bonsai::text

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using bonsai::text::Tokenizer;
  static const std::unique_ptr<Tokenizer> tokenizer =
      std::move(*Tokenizer::FromMetadata(bonsai::text::SmallVocabulary().Build()));
  static const std::unique_ptr<Tokenizer> sentencepiece = std::move(*Tokenizer::FromMetadata(
      bonsai::text::SentencePieceVocabulary({"▁t", "he", "▁the", "in", "er", "▁a",   "▁▁", "ing", "▁",    "t", "h",
                                             "e",  "i",  "n",    "g",  "aa", "aaaa", "a",  "éa",  "你好", "你"})
          .Build()));
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] == 'v') {
    bonsai::text::CheckHostile(input);
  } else if (data[0] == 's') {
    bonsai::text::CheckSentencePiece(*sentencepiece, input);
  } else {
    bonsai::text::CheckText(*tokenizer, input);
  }
  return 0;
}
