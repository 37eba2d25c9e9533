// Qwen2 and Qwen2.5: pre-norm blocks with grouped-query attention, biases on queries, keys and values (and nowhere
// else), rotary positions in the half-split ("NEOX") form, and a SwiGLU feed-forward. Qwen2 Technical Report,
// arXiv 2407.10671.
#include "model/decoder.h"
#include "model/parse.h"
#include "model/registry.h"

namespace bonsai::model {
namespace {

std::vector<WeightSlot> Tensors(const Config& c, Weights& w) {
  const int64_t Q = int64_t{c.heads} * c.k_width, K = int64_t{c.kv_heads} * c.k_width;
  const int64_t Vv = int64_t{c.kv_heads} * c.v_width;
  std::vector<WeightSlot> t = DecoderTensors(c, w);
  for (size_t i = 0; i < w.layers.size(); i++) {
    t.push_back({.name = LayerTensor(i, "attn_q.bias"), .cols = Q, .vector = &w.layers[i].wq.bias});
    t.push_back({.name = LayerTensor(i, "attn_k.bias"), .cols = K, .vector = &w.layers[i].wk.bias});
    t.push_back({.name = LayerTensor(i, "attn_v.bias"), .cols = Vv, .vector = &w.layers[i].wv.bias});
  }
  return t;
}

void Block(const BlockContext& b) {
  AttentionHalf(b, HeadsOf(b.config));
  FeedForwardHalf(b, {.fn = b.config.gate});
}

}  // namespace

const Arch kQwen2 = {.name = "qwen2", .parse = ParseDecoder, .tensors = Tensors, .block = Block};

}  // namespace bonsai::model
