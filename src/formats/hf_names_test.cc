#include "formats/hf_names.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace bonsai::formats {
namespace {

TEST(HfNamesTest, ModelClasses) {
  EXPECT_EQ(FindHfArch("Qwen3ForCausalLM")->arch, "qwen3");
  EXPECT_EQ(FindHfArch("MistralForCausalLM")->arch, "llama");
  EXPECT_EQ(FindHfArch("qwen2")->arch, "qwen2");
  EXPECT_EQ(FindHfArch("BitNetForCausalLM")->arch, "bitnet-b1.58");
  EXPECT_EQ(FindHfArch("BitnetForCausalLM")->arch, "bitnet");  // a letter apart
  EXPECT_EQ(FindHfArch("Qwen3MoeForCausalLM"), nullptr);
  EXPECT_EQ(HfArchOf("llama")->model_class, "LlamaForCausalLM");
  EXPECT_EQ(HfArchOf("bitnet-25")->model_class, "BitNetForCausalLM");
  EXPECT_EQ(HfArchOf("gemma3"), nullptr);
}

struct Pair {
  const char *hf, *gguf, *arch = "qwen3";
};
class TensorNameTest : public testing::TestWithParam<Pair> {};

TEST_P(TensorNameTest, BothWays) {
  EXPECT_EQ(GgufTensorName(GetParam().hf), GetParam().gguf);
  EXPECT_EQ(HfTensorName(GetParam().arch, GetParam().gguf), GetParam().hf);
}

INSTANTIATE_TEST_SUITE_P(
    Names, TensorNameTest,
    testing::Values(Pair{"model.embed_tokens.weight", "token_embd.weight"}, Pair{"lm_head.weight", "output.weight"},
                    Pair{"model.norm.weight", "output_norm.weight"},
                    Pair{"model.layers.0.input_layernorm.weight", "blk.0.attn_norm.weight"},
                    Pair{"model.layers.10.self_attn.q_proj.weight", "blk.10.attn_q.weight"},
                    Pair{"model.layers.7.self_attn.k_proj.bias", "blk.7.attn_k.bias", "qwen2"},
                    Pair{"model.layers.7.self_attn.v_proj.weight", "blk.7.attn_v.weight"},
                    Pair{"model.layers.7.self_attn.q_norm.weight", "blk.7.attn_q_norm.weight"},
                    Pair{"model.layers.7.self_attn.k_norm.weight", "blk.7.attn_k_norm.weight"},
                    Pair{"model.layers.35.self_attn.o_proj.weight", "blk.35.attn_output.weight"},
                    Pair{"model.layers.35.post_attention_layernorm.weight", "blk.35.ffn_norm.weight"},
                    Pair{"model.layers.35.mlp.gate_proj.weight", "blk.35.ffn_gate.weight"},
                    Pair{"model.layers.35.mlp.up_proj.weight", "blk.35.ffn_up.weight"},
                    Pair{"model.layers.35.mlp.down_proj.weight", "blk.35.ffn_down.weight"},
                    Pair{"model.layers.2.self_attn.attn_sub_norm.weight", "blk.2.attn_sub_norm.weight", "bitnet-b1.58"},
                    Pair{"model.layers.2.mlp.ffn_sub_norm.weight", "blk.2.ffn_sub_norm.weight", "bitnet-b1.58"},
                    Pair{"model.layers.2.self_attn.inner_attn_ln.weight", "blk.2.attn_sub_norm.weight", "bitnet"},
                    Pair{"model.layers.2.mlp.ffn_layernorm.weight", "blk.2.ffn_sub_norm.weight", "bitnet"}));

TEST(HfNamesTest, OtherNamesAreUnknown) {
  for (const char* name :
       {"", ".weight", "model.weight", "model.layers.0.weight", "model.layers.0..weight",
        "model.layers..mlp.up_proj.weight", "model.layers.01.mlp.up_proj.weight", "model.layers.-1.mlp.up_proj.weight",
        "model.layers.0.mlp.up_proj", "model.layers.0.mlp.up_proj.scales", "layers.0.mlp.up_proj.weight",
        "model.layers.0.mlp.experts.0.up_proj.weight", "model.layers.0.model.norm.weight", "mlp.up_proj.weight",
        "model.layers.0.self_attn.rotary_emb.inv_freq"})
    EXPECT_EQ(GgufTensorName(name), "") << name;
  for (const char* name : {"blk.0.attn_q", "blk.00.attn_q.weight", "attn_q.weight", "blk.0.token_embd.weight",
                           "blk.1.weight", "rope_freqs.weight", "blk.0.attn_q.scale"})
    EXPECT_EQ(HfTensorName("llama", name), "") << name;
  EXPECT_TRUE(HfIsDerived("model.layers.0.self_attn.rotary_emb.inv_freq"));
  EXPECT_FALSE(HfIsDerived("model.layers.0.self_attn.q_proj.weight"));
}

TEST(HfNamesTest, OnlyLlamaShufflesQueriesAndKeys) {
  EXPECT_TRUE(HfPermutes("llama", "blk.0.attn_q.weight"));
  EXPECT_TRUE(HfPermutes("llama", "blk.31.attn_k.bias"));
  for (const char* name : {"blk.0.attn_v.weight", "blk.0.attn_output.weight", "attn_q.weight", "output.weight"})
    EXPECT_FALSE(HfPermutes("llama", name)) << name;
  for (const char* arch : {"qwen3", "qwen2", "bitnet", "bitnet-b1.58"})
    EXPECT_FALSE(HfPermutes(arch, "blk.0.attn_q.weight")) << arch;
}

// Two heads of 6 rows: Hugging Face rotates row i of a head with row i + 3, GGUF's llama row 2i with row 2i + 1.
TEST(HfNamesTest, RowsOfAHead) {
  const std::vector<uint64_t> want = {0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11};
  for (uint64_t r = 0; r < want.size(); r++) EXPECT_EQ(HfRowOf(r, 6), want[r]) << r;
  for (const uint64_t width : {2u, 8u, 64u, 100u, 128u}) {
    std::set<uint64_t> seen;
    for (uint64_t r = 0; r < 3 * width; r++) {
      EXPECT_EQ(GgufRowOf(HfRowOf(r, width), width), r);
      EXPECT_EQ(HfRowOf(r, width) / width, r / width);  // stays in its head
      seen.insert(HfRowOf(r, width));
      EXPECT_EQ(HfRowOf(r - r % 2, width) + width / 2, HfRowOf(r - r % 2 + 1, width));  // partners stay partners
    }
    EXPECT_EQ(seen.size(), 3 * width);
  }
}

}  // namespace
}  // namespace bonsai::formats
