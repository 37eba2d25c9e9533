// libFuzzer: any bytes as tokenizer.json and, after a zero byte each, tokenizer_config.json, generation_config.json and
// special_tokens_map.json; with a first byte 'v' as vocab.json, merges.txt and these. What is accepted is written to
// files that read to the same metadata, and again. The corpus is tests/corpus/hf_tokenizer_fuzz.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/hf_tokenizer.h"

namespace {

using bonsai::formats::HfTokenizerFiles;
using bonsai::formats::Metadata;

std::optional<std::string> Part(std::string_view& input) {
  if (input.empty()) return std::nullopt;
  const size_t end = std::min(input.find('\0'), input.size());
  std::string part(input.substr(0, end));
  input.remove_prefix(std::min(end + 1, input.size()));
  return part;
}

void Check(bool ok) {
  if (!ok) std::abort();
}

bool Same(const Metadata& a, const Metadata& b) {
  for (const auto& [key, value] : a.entries()) {
    const auto* const other = b.Find(key);
    if (other == nullptr || !(*other == value)) return false;
  }
  return a.entries().size() == b.entries().size();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  HfTokenizerFiles files{.name = "fuzz"};
  if (input.starts_with('v')) {
    input.remove_prefix(1);
    files.vocab_json = Part(input);
    files.merges_txt = Part(input);
  } else {
    files.tokenizer_json = Part(input);
  }
  files.tokenizer_config_json = Part(input);
  files.generation_config_json = Part(input);
  files.special_tokens_map_json = Part(input);
  Metadata first("first");
  // The rows keep a single huge id from filling megabytes with holes.
  if (const auto read = AddHfTokenizer(files, 1000, first); !read.ok()) {
    Check(read.error().message().find('\n') == std::string::npos);
    return 0;
  }
  const auto written = WriteHfTokenizer(first);
  if (!written.ok()) return 0;
  Metadata second("second"), third("third");
  Check(AddHfTokenizer(*written, 1000, second).ok());
  const auto again = WriteHfTokenizer(second);
  Check(again.ok());
  Check(AddHfTokenizer(*again, 1000, third).ok());
  Check(Same(second, third));
  return 0;
}
