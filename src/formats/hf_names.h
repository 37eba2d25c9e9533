// What Hugging Face calls things and what GGUF calls them: model classes, tensors, and the order of rows.
//
//   const HfArch* a = FindHfArch("LlamaForCausalLM");                       // a->arch is "llama"
//   GgufTensorName("model.layers.3.self_attn.q_proj.weight");               // "blk.3.attn_q.weight"
//   if (HfPermutes("llama", "blk.3.attn_q.weight")) hf_row = HfRowOf(gguf_row, head_width);
//
// Sources: transformers' modeling_*.py, and the converters of llama.cpp (gguf-py/gguf/tensor_mapping.py) and BitNet,
// whose output GGUF readers expect. Pure functions on constant tables, thread safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace bonsai::formats {

struct HfArch {
  std::string_view arch;         ///< general.architecture: "qwen3".
  std::string_view model_class;  ///< The element of `architectures` in config.json: "Qwen3ForCausalLM".
  std::string_view model_type;   ///< `model_type` of config.json: "qwen3".
};

/// All that are known. Where an `arch` has several rows, the first is the one that is written.
std::span<const HfArch> HfArchs();
/// By class, or else by model type; null when it is neither.
const HfArch* FindHfArch(std::string_view name);
/// The row that writes this GGUF architecture; null when there is none.
const HfArch* HfArchOf(std::string_view arch);

/// GGUF's name of a weight or bias ("….weight", "….bias"); empty when it is not known.
std::string GgufTensorName(std::string_view hf_name);
/// The inverse, in the spelling of this architecture (BitNet's sub-norms have two); empty when it is not known.
std::string HfTensorName(std::string_view arch, std::string_view gguf_name);
/// A tensor that checkpoints hold and that nobody needs: the angle speeds of old Llama files.
bool HfIsDerived(std::string_view hf_name);

/// Do the rows of this tensor (weight or bias) lie in another order than in Hugging Face's file? GGUF's "llama" rotates
/// neighbouring columns of a head, Hugging Face the halves of it; so queries and keys are stored shuffled, head by
/// head.
bool HfPermutes(std::string_view arch, std::string_view gguf_name);
/// Hugging Face's row of a GGUF row of such a tensor, and the inverse. `head_width` is even; rows count from 0 over all
/// heads.
uint64_t HfRowOf(uint64_t gguf_row, uint64_t head_width);
uint64_t GgufRowOf(uint64_t hf_row, uint64_t head_width);

}  // namespace bonsai::formats
