// The real Qwen3 vocabulary, from the files that its authors publish. For tests and benchmarks.
#pragma once

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "text/test_vocabulary.h"

namespace bonsai::text {

/// Reads `folder`/{vocab.json, merges.txt, tokenizer_config.qwen3.json}: 151,643 tokens, 151,387 merges and 26 added
/// tokens, which is what a converter puts into a GGUF file. Throws when the files are not what they should be.
inline TestVocabulary QwenVocabulary(const std::string& folder) {
  TestVocabulary v;
  std::ifstream vocab_file(folder + "/vocab.json"), merges_file(folder + "/merges.txt");
  std::ifstream config_file(folder + "/tokenizer_config.qwen3.json");
  const auto vocab = nlohmann::json::parse(vocab_file), config = nlohmann::json::parse(config_file);
  const auto& added = config.at("added_tokens_decoder");
  v.tokens.resize(vocab.size() + added.size());
  v.types.assign(v.tokens.size(), 1);
  for (const auto& [token, id] : vocab.items()) v.tokens.at(id.get<size_t>()) = token;
  for (const auto& [id, token] : added.items()) {
    const size_t i = std::stoul(id);
    v.tokens.at(i) = token.at("content").get<std::string>();
    v.types.at(i) = token.at("special").get<bool>() ? 3 : 4;
  }
  std::string line;
  std::getline(merges_file, line);  // "#version: 0.2"
  while (std::getline(merges_file, line)) v.merges.push_back(line);
  v.ids = {{"tokenizer.ggml.eos_token_id", 151645}, {"tokenizer.ggml.padding_token_id", 151643}};
  v.chat_template = config.at("chat_template").get<std::string>();
  return v;
}

}  // namespace bonsai::text
