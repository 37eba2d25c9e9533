// BitNet b1.58: ternary weights trained as such. Pre-norm blocks with grouped-query attention and rotary positions in
// the half-split ("NEOX") form, no biases, and a second RMSNorm ("sub-norm") right before the two matrices that write
// to the residual stream. Ma et al. 2024, arXiv 2402.17764; sub-norms: Wang et al. 2022, arXiv 2210.06423.
//
// Files go by three names. "bitnet" are the reproductions of 2024 with SiLU gates; "bitnet-b1.58" and, in early files,
// "bitnet-25" is BitNet b1.58 2B4T with squared ReLU (arXiv 2504.12285). Converters that leave ternary matrices
// unscaled store the scale of each as a tensor of one element, blk.N.attn_q.scale.
#include "model/decoder.h"
#include "model/parse.h"
#include "model/registry.h"

namespace bonsai::model {
namespace {

Result<Config> ParseSquaredRelu(const formats::ModelFile& file, const std::string& name) {
  BONSAI_ASSIGN(Config c, ParseDecoder(file, name));
  if (!file.metadata().Has(name + ".hidden_activation")) c.gate = kernels::GateFn::kRelu2;
  return c;
}

std::vector<WeightSlot> Tensors(const Config& c, Weights& w) {
  const int64_t O = int64_t{c.heads} * c.v_width;
  std::vector<WeightSlot> t = DecoderTensors(c, w);
  for (size_t i = 0; i < w.layers.size(); i++) {
    LayerWeights& l = w.layers[i];
    t.push_back({.name = LayerTensor(i, "attn_sub_norm.weight"), .cols = O, .vector = &l.attn_sub_norm});
    t.push_back({.name = LayerTensor(i, "ffn_sub_norm.weight"), .cols = c.d_ff, .vector = &l.ffn_sub_norm});
    for (const NamedLinear& m : Linears())
      t.push_back(
          {.name = LayerTensor(i, m.name) + ".scale", .cols = 1, .host = &(l.*m.where).scale, .optional = true});
  }
  return t;
}

void Block(const BlockContext& b) {
  kernels::QkvSpec heads = HeadsOf(b.config);
  heads.out_norm = b.w.attn_sub_norm.get();
  AttentionHalf(b, heads);
  FeedForwardHalf(b, {.fn = b.config.gate, .norm = b.w.ffn_sub_norm.get(), .eps = b.config.rms_eps});
}

}  // namespace

const Arch kBitnet = {.name = "bitnet", .parse = ParseDecoder, .tensors = Tensors, .block = Block};
const Arch kBitnetB158 = {.name = "bitnet-b1.58", .parse = ParseSquaredRelu, .tensors = Tensors, .block = Block};
const Arch kBitnet25 = {.name = "bitnet-25", .parse = ParseSquaredRelu, .tensors = Tensors, .block = Block};

}  // namespace bonsai::model
