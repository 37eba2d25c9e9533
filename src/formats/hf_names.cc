#include "formats/hf_names.h"

#include <algorithm>

#include "base/ascii.h"

namespace bonsai::formats {
namespace {

// The 1bitLLM models of 2024 are BitnetForCausalLM with SiLU; Microsoft's model of 2025 is BitNetForCausalLM.
constexpr HfArch kArchs[] = {
    {"qwen3", "Qwen3ForCausalLM", "qwen3"},          {"qwen2", "Qwen2ForCausalLM", "qwen2"},
    {"llama", "LlamaForCausalLM", "llama"},          {"llama", "MistralForCausalLM", "mistral"},
    {"bitnet-b1.58", "BitNetForCausalLM", "bitnet"}, {"bitnet", "BitnetForCausalLM", "bitnet"},
};

/// A module, without its layer and without ".weight" or ".bias".
struct Name {
  std::string_view gguf, hf;
  std::string_view arch = "";  // that spells it so; empty: all
};
constexpr Name kGlobal[] = {
    {"token_embd", "model.embed_tokens"},
    {"output_norm", "model.norm"},
    {"output", "lm_head"},
};
constexpr Name kLayer[] = {
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
    {"attn_sub_norm", "self_attn.inner_attn_ln", "bitnet"},
    {"attn_sub_norm", "self_attn.attn_sub_norm"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_sub_norm", "mlp.ffn_layernorm", "bitnet"},
    {"ffn_sub_norm", "mlp.ffn_sub_norm"},
    {"ffn_down", "mlp.down_proj"},
};
constexpr std::string_view kGgufLayer = "blk.", kHfLayer = "model.layers.";

/// "blk.12.attn_q.weight" in pieces: layer "12" (empty outside of layers), module "attn_q", parameter ".weight".
struct Pieces {
  std::string_view layer, module, parameter;
};
/// An empty module when the name has no such form.
Pieces Split(std::string_view name, std::string_view layer_prefix) {
  Pieces p;
  for (const std::string_view parameter : {".weight", ".bias"})
    if (name.ends_with(parameter)) p.parameter = parameter;
  if (p.parameter.empty()) return {};
  name.remove_suffix(p.parameter.size());
  if (!name.starts_with(layer_prefix)) return {"", name, p.parameter};
  name.remove_prefix(layer_prefix.size());
  const size_t dot = std::min(name.find('.'), name.size());
  p.layer = name.substr(0, dot);
  // Without leading zeros, which would give one tensor two names.
  if (!AllDigits(p.layer) || p.layer.empty() || (p.layer.size() > 1 && p.layer[0] == '0') || dot == name.size())
    return {};
  p.module = name.substr(dot + 1);
  return p;
}

std::string Join(std::string_view layer_prefix, const Pieces& p, std::string_view module) {
  std::string name;
  if (!p.layer.empty()) name.append(layer_prefix).append(p.layer).append(".");
  return name.append(module).append(p.parameter);
}

std::span<const Name> NamesFor(const Pieces& p) {
  return p.layer.empty() ? std::span<const Name>(kGlobal) : std::span<const Name>(kLayer);
}

}  // namespace

std::span<const HfArch> HfArchs() { return kArchs; }

const HfArch* FindHfArch(std::string_view name) {
  for (const HfArch& a : kArchs)
    if (a.model_class == name) return &a;
  for (const HfArch& a : kArchs)
    if (a.model_type == name) return &a;
  return nullptr;
}

const HfArch* HfArchOf(std::string_view arch) {
  if (arch == "bitnet-25") arch = "bitnet-b1.58";  // early files of the same model
  for (const HfArch& a : kArchs)
    if (a.arch == arch) return &a;
  return nullptr;
}

std::string GgufTensorName(std::string_view hf_name) {
  const Pieces p = Split(hf_name, kHfLayer);
  for (const Name& name : NamesFor(p))
    if (name.hf == p.module) return Join(kGgufLayer, p, name.gguf);
  return "";
}

std::string HfTensorName(std::string_view arch, std::string_view gguf_name) {
  const Pieces p = Split(gguf_name, kGgufLayer);
  for (const Name& name : NamesFor(p))
    if (name.gguf == p.module && (name.arch.empty() || name.arch == arch)) return Join(kHfLayer, p, name.hf);
  return "";
}

bool HfIsDerived(std::string_view hf_name) { return hf_name.ends_with(".rotary_emb.inv_freq"); }

bool HfPermutes(std::string_view arch, std::string_view gguf_name) {
  const Pieces p = Split(gguf_name, kGgufLayer);
  return arch == "llama" && !p.layer.empty() && (p.module == "attn_q" || p.module == "attn_k");
}

uint64_t HfRowOf(uint64_t gguf_row, uint64_t head_width) {
  const uint64_t in_head = gguf_row % head_width;
  return gguf_row - in_head + in_head % 2 * (head_width / 2) + in_head / 2;
}

uint64_t GgufRowOf(uint64_t hf_row, uint64_t head_width) {
  const uint64_t in_head = hf_row % head_width, half = head_width / 2;
  return hf_row - in_head + in_head % half * 2 + in_head / half;
}

}  // namespace bonsai::formats
