// Qwen3: pre-norm blocks with grouped-query attention, an RMSNorm over each query and key head, rotary positions in
// the half-split ("NEOX") form, and a SwiGLU feed-forward. Qwen3 Technical Report, arXiv 2505.09388.
#include "model/decoder.h"
#include "model/parse.h"
#include "model/registry.h"

namespace bonsai::model {
namespace {

std::vector<WeightSlot> Tensors(const Config& c, Weights& w) {
  std::vector<WeightSlot> t = DecoderTensors(c, w);
  for (size_t i = 0; i < w.layers.size(); i++) {
    t.push_back({.name = LayerTensor(i, "attn_q_norm.weight"), .cols = c.k_width, .vector = &w.layers[i].q_norm});
    t.push_back({.name = LayerTensor(i, "attn_k_norm.weight"), .cols = c.k_width, .vector = &w.layers[i].k_norm});
  }
  return t;
}

void Block(const BlockContext& b) {
  kernels::QkvSpec heads = HeadsOf(b.config);
  heads.q_norm = b.w.q_norm.get();
  heads.k_norm = b.w.k_norm.get();
  AttentionHalf(b, heads);
  FeedForwardHalf(b, {.fn = b.config.gate});
}

}  // namespace

const Arch kQwen3 = {.name = "qwen3", .parse = ParseDecoder, .tensors = Tensors, .block = Block};

}  // namespace bonsai::model
