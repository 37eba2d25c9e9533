#include "model/registry.h"

#include <array>

namespace bonsai::model {
namespace {

constexpr std::array kArchs = {&kQwen3, &kQwen2, &kLlama, &kBitnet, &kBitnetB158, &kBitnet25};

/// Architectures that people try, and what each needs that we do not have.
struct Refused {
  std::string_view name, what;
};
constexpr Refused kRefused[] = {
    {"qwen2moe", "Qwen2 with a mixture of experts"},
    {"qwen3moe", "Qwen3 with a mixture of experts"},
    {"qwen3next", "Qwen3-Next: linear attention and a mixture of experts"},
    {"qwen35", "Qwen3.5: linear attention in most layers"},
    {"qwen35moe", "Qwen3.5 with a mixture of experts"},
    {"llama4", "Llama 4: a mixture of experts"},
    {"mixtral", "a mixture of experts"},
    {"deepseek2", "DeepSeek: latent attention and a mixture of experts"},
    {"gpt-oss", "gpt-oss: a mixture of experts"},
    {"gemma", "Gemma: GELU gates and scaled embeddings"},
    {"gemma2", "Gemma 2: local attention and norms behind each half of a block"},
    {"gemma3", "Gemma 3: local attention and norms behind each half of a block"},
    {"phi2", "Phi-2: parallel attention and feed-forward"},
    {"phi3", "Phi-3: fused query, key and value matrices"},
    {"falcon", "Falcon: LayerNorm and parallel halves"},
    {"falcon-h1", "Falcon-H1: attention beside a state-space model"},
    {"starcoder2", "StarCoder2: LayerNorm and no gates"},
    {"stablelm", "StableLM: LayerNorm"},
    {"gpt2", "GPT-2: LayerNorm and learned positions"},
    {"mamba", "Mamba: a state-space model, not a transformer"},
    {"mamba2", "Mamba 2: a state-space model, not a transformer"},
    {"rwkv7", "RWKV: a recurrent network, not a transformer"},
    {"bert", "BERT: an encoder, which generates no text"},
    {"t5", "T5: an encoder and a decoder"},
    {"clip", "an image encoder, which generates no text"},
};

}  // namespace

const Arch* FindArch(std::string_view name) {
  for (const Arch* arch : kArchs)
    if (arch->name == name) return arch;
  return nullptr;
}

std::string_view WhatIsRefused(std::string_view name) {
  for (const Refused& refused : kRefused)
    if (refused.name == name) return refused.what;
  return "";
}

std::string ArchNames() {
  std::string names;
  for (const Arch* arch : kArchs) names += (names.empty() ? "" : ", ") + std::string(arch->name);
  return names;
}

}  // namespace bonsai::model
