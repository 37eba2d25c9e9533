// Llama 1 to 3.2, Mistral 7B and what is shaped like them: pre-norm blocks with grouped-query attention, rotary
// positions over neighbouring columns (GGUF stores the rows of queries and keys in that order), no biases, and a SwiGLU
// feed-forward. Touvron et al. 2023, arXiv 2302.13971. Llama 3.1 slows each pair of columns by a factor of its own,
// which files hold as rope_freqs.weight: The Llama 3 Herd of Models, arXiv 2407.21783.
#include "model/decoder.h"
#include "model/parse.h"
#include "model/registry.h"

namespace bonsai::model {
namespace {

std::vector<WeightSlot> Tensors(const Config& c, Weights& w) {
  std::vector<WeightSlot> t = DecoderTensors(c, w);
  const int32_t pairs = c.k_width / 2;
  w.rope_factors.assign(static_cast<size_t>(pairs), 1.0f);
  t.push_back({.name = "rope_freqs.weight", .cols = pairs, .host = w.rope_factors.data(), .optional = true});
  return t;
}

void Block(const BlockContext& b) {
  kernels::QkvSpec heads = HeadsOf(b.config);
  heads.rope_interleaved = true;
  AttentionHalf(b, heads);
  FeedForwardHalf(b, {.fn = b.config.gate});
}

}  // namespace

const Arch kLlama = {.name = "llama", .parse = ParseDecoder, .tensors = Tensors, .block = Block};

}  // namespace bonsai::model
