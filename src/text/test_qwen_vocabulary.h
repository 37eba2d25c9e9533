// The real Qwen3 tokenizer, from the files that its authors publish. For tests and benchmarks.
#pragma once

#include <string>

#include "base/check.h"
#include "formats/hf_tokenizer.h"
#include "tests/support.h"

namespace bonsai::text {

/// Reads `folder`/{vocab.json, merges.txt, tokenizer_config.qwen3.json}: 151,643 tokens, 151,387 merges and 26 added
/// tokens, which is what a converter puts into a GGUF file.
inline formats::Metadata QwenMetadata(const std::string& folder) {
  formats::Metadata metadata(folder);
  const formats::HfTokenizerFiles files{
      .tokenizer_config_json = test::ReadFile(folder + "/tokenizer_config.qwen3.json"),
      .vocab_json = test::ReadFile(folder + "/vocab.json"),
      .merges_txt = test::ReadFile(folder + "/merges.txt"),
      .name = folder};
  BONSAI_CHECK(formats::AddHfTokenizer(files, 0, metadata).ok());
  return metadata;
}

}  // namespace bonsai::text
