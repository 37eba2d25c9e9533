// What decoders of the Llama family share, for the files in arch/: the tensors that all of them have, and the two
// halves of a block. Touvron et al. 2023, arXiv 2302.13971; grouped queries: Ainslie et al. 2023, arXiv 2305.13245.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/arch.h"

namespace bonsai::model {

/// Makes room for the config's layers and lists the tensors that every decoder has: embedding, output norm, head
/// (absent when tied), and each layer's two norms and seven matrices.
std::vector<WeightSlot> DecoderTensors(const Config& config, Weights& weights);

/// "blk.3.attn_q.bias" for (3, "attn_q.bias").
std::string LayerTensor(size_t layer, std::string_view name);

/// The linear layers of a block with their names: "attn_q" is wq.
struct NamedLinear {
  std::string_view name;
  Linear LayerWeights::*where;
};
std::span<const NamedLinear> Linears();

/// Widths of the heads, and eps. What else happens to heads is added by the architecture.
kernels::QkvSpec HeadsOf(const Config& config);

/// x ← x + wo · attention(norm(x)).
void AttentionHalf(const BlockContext& b, const kernels::QkvSpec& heads);
/// x ← x + down · glu(gate · norm(x), up · norm(x)).
void FeedForwardHalf(const BlockContext& b, const kernels::GluSpec& glu);

}  // namespace bonsai::model
