// config.json and generation_config.json of Hugging Face, as GGUF metadata and back.
//
//   Metadata m("models/qwen3");
//   BONSAI_ASSIGN(const HfModel model, AddHfConfig("models/qwen3/config.json", text, m));
//   BONSAI_ASSIGN(const std::string json, WriteHfConfig(m, model));
//
// Tensors' names and the order of rows: formats/hf_names.h. Not here: tokens (bos_token_id and the like, which belong
// to the tokenizer), and how weights are stored (`quantization` of MLX, `quantization_config`).
//
//   config.json                              GGUF
//   architectures, else model_type           general.architecture
//   num_hidden_layers                        <arch>.block_count
//   hidden_size, intermediate_size           <arch>.embedding_length, feed_forward_length
//   max_position_embeddings, vocab_size      <arch>.context_length, vocab_size
//   num_attention_heads, num_key_value_heads <arch>.attention.head_count, head_count_kv
//   head_dim                                 <arch>.attention.key_length and value_length
//   rms_norm_eps                             <arch>.attention.layer_norm_rms_epsilon
//   hidden_act                               <arch>.hidden_activation
//   rope_theta                               <arch>.rope.freq_base
//   partial_rotary_factor · head_dim         <arch>.rope.dimension_count
//   rope_scaling, or rope_parameters, which holds rope_theta too:
//     default, linear, yarn                  <arch>.rope.scaling.*; yarn's attention_factor is divided by its usual
//                                            value 0.1·ln(factor) + 1, which GGUF's attn_factor comes on top of
//     llama3                                 HfModel::rope_factors, the tensor rope_freqs.weight of a GGUF file
//   tie_word_embeddings                      HfModel::tied
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/metadata.h"

namespace bonsai::formats {

/// What a config says that GGUF files say with tensors.
struct HfModel {
  std::string arch;                 ///< general.architecture.
  bool tied = false;                ///< The head is the embedding, even where a file stores one. Absent: false.
  std::vector<float> rope_factors;  ///< What each pair's angle speed is divided by, head width / 2; empty: nothing.
};

/// Adds the keys above; they must not be there yet. `name` is the file's, for messages. kCorrupt: no JSON, a missing or
/// impossible value; kUnsupported: an architecture, a kind of rotary scaling or an attention window that we do not run.
Result<HfModel> AddHfConfig(std::string_view name, std::string_view text, Metadata& metadata);

/// Adds general.sampling.{temp,top_k,top_p,min_p,penalty_repeat} from generation_config.json, those that it has. With
/// "do_sample": false the temperature is 0. Their ranges are checked by whoever uses them.
Status AddHfGenerationConfig(std::string_view name, std::string_view text, Metadata& metadata);

/// The text of a config.json for these keys. kUnsupported: an architecture that has no class there, or factors that are
/// not those of a published Llama 3; otherwise as Metadata's getters.
Result<std::string> WriteHfConfig(const Metadata& metadata, const HfModel& model);

}  // namespace bonsai::formats
