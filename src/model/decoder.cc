#include "model/decoder.h"

#include <cmath>

namespace bonsai::model {
namespace {

constexpr NamedLinear kLinears[] = {
    {"attn_q", &LayerWeights::wq},      {"attn_k", &LayerWeights::wk},     {"attn_v", &LayerWeights::wv},
    {"attn_output", &LayerWeights::wo}, {"ffn_gate", &LayerWeights::gate}, {"ffn_up", &LayerWeights::up},
    {"ffn_down", &LayerWeights::down},
};

/// Outputs and inputs of each of them, in their order.
struct Shape {
  int64_t rows, cols;
};
std::vector<Shape> ShapesOf(const Config& c) {
  const int64_t D = c.d_model, F = c.d_ff, H = c.heads, Hkv = c.kv_heads;
  return {{H * c.k_width, D}, {Hkv * c.k_width, D}, {Hkv * c.v_width, D}, {D, H * c.v_width}, {F, D}, {F, D}, {D, F}};
}

}  // namespace

std::span<const NamedLinear> Linears() { return kLinears; }

std::string LayerTensor(size_t layer, std::string_view name) { return fmt::format("blk.{}.{}", layer, name); }

std::vector<WeightSlot> DecoderTensors(const Config& c, Weights& w) {
  const int64_t D = c.d_model, V = c.vocab;
  const std::vector<Shape> shapes = ShapesOf(c);
  w.layers.resize(static_cast<size_t>(c.layers));
  std::vector<WeightSlot> t;
  t.push_back({.name = "token_embd.weight", .rows = V, .cols = D, .matrix = &w.embed});
  for (size_t i = 0; i < w.layers.size(); i++) {
    LayerWeights& l = w.layers[i];
    t.push_back({.name = LayerTensor(i, "attn_norm.weight"), .cols = D, .vector = &l.attn_norm});
    t.push_back({.name = LayerTensor(i, "ffn_norm.weight"), .cols = D, .vector = &l.ffn_norm});
    for (size_t m = 0; m < shapes.size(); m++)
      t.push_back({.name = LayerTensor(i, kLinears[m].name) + ".weight",
                   .rows = shapes[m].rows,
                   .cols = shapes[m].cols,
                   .matrix = &(l.*kLinears[m].where).w});
  }
  t.push_back({.name = "output_norm.weight", .cols = D, .vector = &w.out_norm});
  t.push_back({.name = "output.weight", .rows = V, .cols = D, .matrix = &w.out, .optional = true});
  return t;
}

kernels::QkvSpec HeadsOf(const Config& c) {
  return {.heads = c.heads, .kv_heads = c.kv_heads, .k_width = c.k_width, .v_width = c.v_width, .eps = c.rms_eps};
}

void AttentionHalf(const BlockContext& b, const kernels::QkvSpec& heads) {
  const LayerWeights& w = b.w;
  Scratch& s = b.s;
  const kernels::Product project[] = {w.wq.To(*s.q), w.wk.To(*s.k), w.wv.To(*s.v)};
  b.device.RmsNorm(*s.x, *w.attn_norm, b.config.rms_eps, b.rows, *s.act);
  b.device.MatMul(project, *s.act, b.rows);
  b.device.QkNormRopeStore(heads, *s.rope, *s.q, *s.k, *s.v, b.kv);
  b.device.Attend(heads, 1.0f / std::sqrt(static_cast<float>(heads.k_width)), *s.q, b.kv, *s.attn);
  b.device.MatMulAdd(w.wo.To(*s.x), *s.attn, b.rows);
}

void FeedForwardHalf(const BlockContext& b, const kernels::GluSpec& glu) {
  const LayerWeights& w = b.w;
  Scratch& s = b.s;
  const kernels::Product expand[] = {w.gate.To(*s.gate), w.up.To(*s.up)};
  b.device.RmsNorm(*s.x, *w.ffn_norm, b.config.rms_eps, b.rows, *s.act);
  b.device.MatMul(expand, *s.act, b.rows);
  b.device.Glu(glu, *s.gate, *s.up, b.rows, *s.ff);
  b.device.MatMulAdd(w.down.To(*s.x), *s.ff, b.rows);
}

}  // namespace bonsai::model
