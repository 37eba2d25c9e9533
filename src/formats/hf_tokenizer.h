// Hugging Face tokenizer files ↔ the metadata keys of GGUF, so that everything else needs to know only the latter.
//
//   HfTokenizerFiles files{.tokenizer_json = ReadAll(dir + "/tokenizer.json"), .name = dir};
//   BONSAI_RETURN_IF_ERROR(AddHfTokenizer(files, embedding_rows, metadata));
//
// Formats: https://huggingface.co/docs/tokenizers (tokenizer.json), https://huggingface.co/docs/transformers
// (tokenizer_config.json and the others).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/status.h"
#include "formats/metadata.h"

namespace bonsai::formats {

/// The texts of the files, those that exist.
struct HfTokenizerFiles {
  std::optional<std::string> tokenizer_json, tokenizer_config_json, vocab_json, merges_txt, special_tokens_map_json,
      added_tokens_json, generation_config_json, config_json, chat_template_jinja;
  std::string name;  ///< Of the directory, for messages.
};

/// Adds `tokenizer.ggml.*` and `tokenizer.chat_template` to `metadata`. Thread safe.
///
/// The vocabulary is tokenizer.json's, or, without that file, vocab.json's, merges.txt's and added_tokens.json's, with
/// the pattern that tokenizer_config.json's class has. Byte-level BPE becomes the model "gpt2", its pattern a name in
/// `pre`; BPE with byte_fallback becomes "llama" with the merges as they are and, for other readers, scores that fall
/// with the rank of the first merge that makes a token. Special added tokens are control tokens, others user-defined.
/// Ids that nothing has become "[PAD<id>]" of type unused, up to `vocab_rows`, the rows of the embedding (0: as many as
/// there are tokens). The end of a text is generation_config.json's (a list stays one in `eos_token_ids`), else what
/// tokenizer_config.json, special_tokens_map.json and config.json say, in this order; other special tokens likewise,
/// with generation_config.json before config.json.
///
/// Errors name file and key. kUnsupported: other models (WordPiece, Unigram), patterns or normalizers than those above.
/// kCorrupt: broken files, or a token that has no row. kNotFound: neither tokenizer.json nor vocab.json and merges.txt.
/// `metadata` may then hold some of the keys.
Status AddHfTokenizer(const HfTokenizerFiles& files, int64_t vocab_rows, Metadata& metadata);

/// The way back: tokenizer.json and tokenizer_config.json, which AddHfTokenizer and Hugging Face's library read to the
/// same tokenizer, and generation_config.json where more than one id ends a generation. A SentencePiece vocabulary
/// without merges gets those that its scores imply (equal scores go by id there, by place here). Lost are the types of
/// unused tokens that are not "[PAD<id>]". kUnsupported names what these files cannot say. Thread safe.
Result<HfTokenizerFiles> WriteHfTokenizer(const Metadata& metadata);

}  // namespace bonsai::formats
