// Qwen3: pre-norm blocks with grouped-query attention, an RMSNorm over each query and key head, rotary positions in
// the half-split ("NEOX") form, and a SwiGLU feed-forward. Qwen3 Technical Report, arXiv 2505.09388.
#include <cmath>

#include "model/parse.h"
#include "model/registry.h"

namespace bonsai::model {
namespace {

Result<Config> Parse(const formats::ModelFile& file) { return ParseDecoder(file, "qwen3"); }

std::vector<WeightSlot> Tensors(const Config& c, Weights& w) {
  const int64_t D = c.d_model, F = c.d_ff, V = c.vocab;
  const int64_t Q = int64_t{c.heads} * c.k_width, K = int64_t{c.kv_heads} * c.k_width;
  const int64_t VV = int64_t{c.kv_heads} * c.v_width, O = int64_t{c.heads} * c.v_width;
  w.layers.resize(static_cast<size_t>(c.layers));
  std::vector<WeightSlot> t;
  t.push_back({.name = "token_embd.weight", .rows = V, .cols = D, .matrix = &w.embed});
  for (size_t i = 0; i < w.layers.size(); i++) {
    LayerWeights& l = w.layers[i];
    const std::string b = "blk." + std::to_string(i) + ".";
    t.push_back({.name = b + "attn_norm.weight", .cols = D, .vector = &l.attn_norm});
    t.push_back({.name = b + "attn_q.weight", .rows = Q, .cols = D, .matrix = &l.wq});
    t.push_back({.name = b + "attn_k.weight", .rows = K, .cols = D, .matrix = &l.wk});
    t.push_back({.name = b + "attn_v.weight", .rows = VV, .cols = D, .matrix = &l.wv});
    t.push_back({.name = b + "attn_q_norm.weight", .cols = c.k_width, .vector = &l.q_norm});
    t.push_back({.name = b + "attn_k_norm.weight", .cols = c.k_width, .vector = &l.k_norm});
    t.push_back({.name = b + "attn_output.weight", .rows = D, .cols = O, .matrix = &l.wo});
    t.push_back({.name = b + "ffn_norm.weight", .cols = D, .vector = &l.ffn_norm});
    t.push_back({.name = b + "ffn_gate.weight", .rows = F, .cols = D, .matrix = &l.gate});
    t.push_back({.name = b + "ffn_up.weight", .rows = F, .cols = D, .matrix = &l.up});
    t.push_back({.name = b + "ffn_down.weight", .rows = D, .cols = F, .matrix = &l.down});
  }
  t.push_back({.name = "output_norm.weight", .cols = D, .vector = &w.out_norm});
  t.push_back({.name = "output.weight", .rows = V, .cols = D, .matrix = &w.out, .optional = true});
  return t;
}

void Block(const BlockContext& b) {
  const Config& c = b.config;
  const LayerWeights& w = b.w;
  Scratch& s = b.s;
  const kernels::QkvSpec qkv{.heads = c.heads,
                             .kv_heads = c.kv_heads,
                             .k_width = c.k_width,
                             .v_width = c.v_width,
                             .q_norm = w.q_norm.get(),
                             .k_norm = w.k_norm.get(),
                             .eps = c.rms_eps,
                             .rope_interleaved = false};
  const kernels::Product project[] = {{w.wq.get(), s.q.get()}, {w.wk.get(), s.k.get()}, {w.wv.get(), s.v.get()}};
  const kernels::Product expand[] = {{w.gate.get(), s.gate.get()}, {w.up.get(), s.up.get()}};

  b.device.RmsNorm(*s.x, *w.attn_norm, c.rms_eps, b.rows, *s.act);
  b.device.MatMul(project, *s.act, b.rows);
  b.device.QkNormRopeStore(qkv, *s.rope, *s.q, *s.k, *s.v, b.kv);
  b.device.Attend(qkv, 1.0f / std::sqrt(static_cast<float>(c.k_width)), *s.q, b.kv, *s.attn);
  b.device.MatMulAdd(*w.wo, *s.attn, b.rows, *s.x);

  b.device.RmsNorm(*s.x, *w.ffn_norm, c.rms_eps, b.rows, *s.act);
  b.device.MatMul(expand, *s.act, b.rows);
  b.device.SwiGlu(*s.gate, *s.up, b.rows, *s.ff);
  b.device.MatMulAdd(*w.down, *s.ff, b.rows, *s.x);
}

}  // namespace

const Arch kQwen3 = {.name = "qwen3", .parse = Parse, .tensors = Tensors, .block = Block};

}  // namespace bonsai::model
