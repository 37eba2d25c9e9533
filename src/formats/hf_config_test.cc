#include "formats/hf_config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

namespace bonsai::formats {
namespace {

/// A config of a class with the members that all need, and `more` added to them or in their place.
std::string ConfigOf(const std::string& model_class, const std::string& more = "") {
  auto config = nlohmann::json::parse(R"({"num_hidden_layers": 28, "hidden_size": 1024, "intermediate_size": 3072,
    "num_attention_heads": 16, "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "max_position_embeddings": 40960,
    "vocab_size": 151936, "torch_dtype": "bfloat16"})");
  config["architectures"] = {model_class};
  config.update(nlohmann::json::parse("{" + more + "}"));
  return config.dump();
}

struct Read {
  Metadata metadata{"dir"};
  Result<HfModel> model;
  explicit Read(const std::string& text) : model(AddHfConfig("dir/config.json", text, metadata)) {}
  uint32_t Count(const std::string& key) const { return metadata.GetU32(key).value_or(0); }
  float Real(const std::string& key) const { return metadata.GetF32(key).value_or(NAN); }
  std::string Text(const std::string& key) const { return std::string(metadata.GetStringOr(key, "").value_or("?")); }
};

TEST(HfConfigTest, Qwen3) {
  const Read r(ConfigOf("Qwen3ForCausalLM", R"("head_dim": 128, "hidden_act": "silu", "rope_theta": 1000000,
    "rope_scaling": null, "sliding_window": null, "use_sliding_window": false, "tie_word_embeddings": true)"));
  ASSERT_TRUE(r.model) << r.model.error().message();
  EXPECT_EQ(r.model->arch, "qwen3");
  EXPECT_TRUE(r.model->tied);
  EXPECT_TRUE(r.model->rope_factors.empty());
  EXPECT_EQ(r.Text("general.architecture"), "qwen3");
  EXPECT_EQ(r.Count("qwen3.block_count"), 28u);
  EXPECT_EQ(r.Count("qwen3.embedding_length"), 1024u);
  EXPECT_EQ(r.Count("qwen3.feed_forward_length"), 3072u);
  EXPECT_EQ(r.Count("qwen3.context_length"), 40960u);
  EXPECT_EQ(r.Count("qwen3.vocab_size"), 151936u);
  EXPECT_EQ(r.Count("qwen3.attention.head_count"), 16u);
  EXPECT_EQ(r.Count("qwen3.attention.head_count_kv"), 8u);
  EXPECT_EQ(r.Count("qwen3.attention.key_length"), 128u);
  EXPECT_EQ(r.Count("qwen3.attention.value_length"), 128u);
  EXPECT_EQ(r.Count("qwen3.rope.dimension_count"), 128u);
  EXPECT_EQ(r.Real("qwen3.attention.layer_norm_rms_epsilon"), 1e-6f);
  EXPECT_EQ(r.Real("qwen3.rope.freq_base"), 1e6f);
  EXPECT_EQ(r.Text("qwen3.hidden_activation"), "silu");
  EXPECT_FALSE(r.metadata.Has("qwen3.rope.scaling.type"));
}

TEST(HfConfigTest, Yarn) {
  // As Bonsai's files: ×4 over 16,384; in the spelling of transformers 4 and in that of 5.
  for (const char* rope : {R"("rope_theta": 1e6, "rope_scaling": {"type": "yarn", "factor": 4.0,
      "original_max_position_embeddings": 16384, "beta_fast": 24, "attention_factor": 2.2772588722239781})",
                           R"("rope_parameters": {"rope_theta": 1e6, "rope_type": "yarn", "factor": 4,
      "original_max_position_embeddings": 16384.0, "beta_fast": 24.0, "attention_factor": 2.2772588722239781})"}) {
    const Read r(ConfigOf("Qwen3ForCausalLM", rope));
    ASSERT_TRUE(r.model) << r.model.error().message();
    EXPECT_EQ(r.Text("qwen3.rope.scaling.type"), "yarn");
    EXPECT_EQ(r.Real("qwen3.rope.freq_base"), 1e6f);
    EXPECT_EQ(r.Real("qwen3.rope.scaling.factor"), 4.0f);
    EXPECT_EQ(r.Count("qwen3.rope.scaling.original_context_length"), 16384u);
    EXPECT_EQ(r.Real("qwen3.rope.scaling.yarn_beta_fast"), 24.0f);
    EXPECT_FALSE(r.metadata.Has("qwen3.rope.scaling.yarn_beta_slow"));
    EXPECT_EQ(r.Real("qwen3.rope.scaling.attn_factor"), 2.0f);  // twice 0.1·ln 4 + 1
  }
  // Without an original context it is the context; a linear one has a factor only; so has none.
  EXPECT_EQ(Read(ConfigOf("Qwen2ForCausalLM", R"("rope_scaling": {"type": "yarn", "factor": 4})"))
                .Count("qwen2.rope.scaling.original_context_length"),
            40960u);
  const Read linear(ConfigOf("LlamaForCausalLM", R"("rope_scaling": {"rope_type": "linear", "factor": 2.5})"));
  EXPECT_EQ(linear.Text("llama.rope.scaling.type"), "linear");
  EXPECT_EQ(linear.Real("llama.rope.scaling.factor"), 2.5f);
  EXPECT_EQ(linear.Real("llama.rope.freq_base"), 10000.0f);
}

TEST(HfConfigTest, Llama3Factors) {
  const Read r(ConfigOf("LlamaForCausalLM", R"("rope_theta": 500000.0, "rope_scaling": {"factor": 32.0,
    "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"})"));
  ASSERT_TRUE(r.model) << r.model.error().message();
  EXPECT_FALSE(r.metadata.Has("llama.rope.scaling.type"));
  ASSERT_EQ(r.model->rope_factors.size(), 32u);  // heads of 1024 / 16 columns
  for (size_t i = 0; i < 32; i++) {              // as Meta's program says it, in wave lengths
    const double length = 2 * M_PI * std::pow(500000.0, 2.0 * static_cast<double>(i) / 64);
    const double smooth = (8192 / length - 1) / 3;
    const double want = length < 2048 ? 1 : length > 8192 ? 32 : 1 / ((1 - smooth) / 32 + smooth);
    EXPECT_FLOAT_EQ(r.model->rope_factors[i], static_cast<float>(want)) << i;
  }
  EXPECT_EQ(r.model->rope_factors.front(), 1.0f);
  EXPECT_EQ(r.model->rope_factors.back(), 32.0f);
}

TEST(HfConfigTest, Bitnet) {
  const Read r(
      ConfigOf("BitNetForCausalLM", R"("model_type": "bitnet", "hidden_act": "relu2", "rope_theta": 500000.0)"));
  ASSERT_TRUE(r.model) << r.model.error().message();
  EXPECT_EQ(r.model->arch, "bitnet-b1.58");
  EXPECT_FALSE(r.model->tied);
  EXPECT_EQ(r.Text("bitnet-b1.58.hidden_activation"), "relu2");
  EXPECT_EQ(r.Count("bitnet-b1.58.rope.dimension_count"), 64u);
}

TEST(HfConfigTest, WhatIsWrongIsNamed) {
  struct Bad {
    std::string text;
    ErrorCode code;
    const char* says;
  };
  const auto qwen3 = [](const char* more) { return ConfigOf("Qwen3ForCausalLM", more); };
  const std::string deep = R"({"a": )" + std::string(100000, '[');
  const Bad cases[] = {
      {"", ErrorCode::kCorrupt, "byte 1: syntax error"},
      {"{\"a\": 1,}", ErrorCode::kCorrupt, "byte"},
      {"[1]", ErrorCode::kCorrupt, "object"},
      {deep, ErrorCode::kCorrupt, "deeper than 64"},
      {deep + std::string(100000, ']') + "}", ErrorCode::kCorrupt, "deeper than 64"},
      {R"({"a": 1e999})", ErrorCode::kCorrupt, "number"},
      {"{}", ErrorCode::kUnsupported, "Qwen3ForCausalLM, Qwen2ForCausalLM"},
      {R"({"architectures": "Qwen3ForCausalLM"})", ErrorCode::kCorrupt, "architectures"},
      {R"({"architectures": []})", ErrorCode::kCorrupt, "architectures"},
      {ConfigOf("Gemma3ForCausalLM"), ErrorCode::kUnsupported, "'Gemma3ForCausalLM'"},
      {R"({"model_type": "qwen3"})", ErrorCode::kCorrupt, "num_hidden_layers"},
      {qwen3(R"("rms_norm_eps": null)"), ErrorCode::kCorrupt, "rms_norm_eps"},
      {qwen3(R"("rms_norm_eps": 1e300)"), ErrorCode::kCorrupt, "layer_norm_rms_epsilon"},
      {qwen3(R"("hidden_size": -1)"), ErrorCode::kCorrupt, "hidden_size"},
      {qwen3(R"("hidden_size": 1024.5)"), ErrorCode::kCorrupt, "hidden_size"},
      {qwen3(R"("hidden_size": "1024")"), ErrorCode::kCorrupt, "hidden_size"},
      {qwen3(R"("hidden_size": 4294967296)"), ErrorCode::kCorrupt, "hidden_size"},
      {qwen3(R"("head_dim": 4294967295)"), ErrorCode::kCorrupt, "head_dim"},
      {qwen3(R"("num_attention_heads": 2048)"), ErrorCode::kCorrupt, "hidden_size"},
      {qwen3(R"("sliding_window": 4096)"), ErrorCode::kUnsupported, "sliding_window"},
      {qwen3(R"("rope_scaling": [])"), ErrorCode::kCorrupt, "rope_scaling"},
      {qwen3(R"("rope_scaling": {"type": "longrope"})"), ErrorCode::kUnsupported, "'longrope'"},
      {qwen3(R"("rope_scaling": {"type": "yarn"})"), ErrorCode::kCorrupt, "factor"},
      {qwen3(R"("rope_scaling": {"type": "yarn", "factor": 4, "mscale": 1})"), ErrorCode::kUnsupported, "mscale"},
      {qwen3(R"("rope_scaling": {"type": "yarn", "factor": 0, "attention_factor": 1})"), ErrorCode::kCorrupt, "factor"},
      {qwen3(R"("rope_scaling": {"type": "llama3", "low_freq_factor": 4})"), ErrorCode::kCorrupt, "high_freq_factor"},
      {qwen3(R"("rope_theta": 0)"), ErrorCode::kCorrupt, "rope_theta"},
      {qwen3(R"("partial_rotary_factor": 2)"), ErrorCode::kCorrupt, "partial_rotary_factor"},
      {qwen3(R"("tie_word_embeddings": 1)"), ErrorCode::kCorrupt, "tie_word_embeddings"},
  };
  for (const Bad& bad : cases) {
    const Read r(bad.text);
    const std::string shown = bad.text.substr(0, 400);
    ASSERT_FALSE(r.model) << shown;
    EXPECT_EQ(r.model.error().code(), bad.code) << shown;
    EXPECT_NE(r.model.error().message().find(bad.says), std::string::npos) << r.model.error().message();
    EXPECT_NE(r.model.error().message().find("dir"), std::string::npos) << r.model.error().message();
  }
}

TEST(HfConfigTest, PartialRotationIsPassedOn) {
  EXPECT_EQ(Read(ConfigOf("Qwen3ForCausalLM", R"("partial_rotary_factor": 0.5)")).Count("qwen3.rope.dimension_count"),
            32u);
}

TEST(HfGenerationConfigTest, SamplingKeys) {
  Metadata m("dir");
  ASSERT_TRUE(AddHfGenerationConfig("dir/generation_config.json",
                                    R"({"do_sample": true, "eos_token_id": [1, 2], "temperature": 0.6, "top_k": 20,
    "top_p": 0.95, "min_p": null, "repetition_penalty": 1.05})",
                                    m));
  EXPECT_EQ(*m.GetF32("general.sampling.temp"), 0.6f);
  EXPECT_EQ(*m.GetU32("general.sampling.top_k"), 20u);
  EXPECT_EQ(*m.GetF32("general.sampling.top_p"), 0.95f);
  EXPECT_EQ(*m.GetF32("general.sampling.penalty_repeat"), 1.05f);
  EXPECT_EQ(m.entries().size(), 4u);
  Metadata greedy("dir");
  ASSERT_TRUE(AddHfGenerationConfig("g", R"({"do_sample": false, "temperature": 0.6})", greedy));
  EXPECT_EQ(*greedy.GetF32("general.sampling.temp"), 0.0f);
  for (const char* bad :
       {"{", R"({"top_k": 1.5})", R"({"top_k": -1})", R"({"top_p": "1"})", R"({"temperature": 1e300})"}) {
    Metadata none("dir");
    const Status status = AddHfGenerationConfig("g", bad, none);
    ASSERT_FALSE(status) << bad;
    EXPECT_EQ(status.error().code(), ErrorCode::kCorrupt) << bad;
  }
}

// What is written reads as what was there: every key, and again the same text.
TEST(HfConfigTest, WrittenAndReadAgain) {
  for (const std::string& text :
       {ConfigOf("Qwen3ForCausalLM", R"("head_dim": 128, "hidden_act": "silu", "rope_theta": 1e6, "rope_scaling":
          {"type": "yarn", "factor": 4, "original_max_position_embeddings": 16384, "beta_slow": 2,
           "attention_factor": 1.25}, "tie_word_embeddings": true)"),
        ConfigOf("Qwen2ForCausalLM", R"("hidden_act": "silu")"),
        ConfigOf("LlamaForCausalLM",
                 R"("hidden_act": "silu", "rope_theta": 500000, "rope_scaling": {"rope_type": "llama3",
          "factor": 32, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 8192})"),
        ConfigOf("LlamaForCausalLM", R"("hidden_act": "silu", "rope_scaling": {"rope_type": "linear", "factor": 2.5})"),
        ConfigOf("BitNetForCausalLM", R"("hidden_act": "relu2")"),
        ConfigOf("BitnetForCausalLM", R"("hidden_act": "silu")")}) {
    const Read first(text);
    ASSERT_TRUE(first.model) << first.model.error().message();
    const auto written = WriteHfConfig(first.metadata, *first.model);
    ASSERT_TRUE(written) << written.error().message();
    const Read second(*written);
    ASSERT_TRUE(second.model) << second.model.error().message() << *written;
    EXPECT_EQ(second.metadata.entries(), first.metadata.entries()) << *written;
    EXPECT_EQ(second.model->tied, first.model->tied);
    EXPECT_EQ(second.model->rope_factors, first.model->rope_factors);
    EXPECT_EQ(*WriteHfConfig(second.metadata, *second.model), *written);
  }
  EXPECT_NE(WriteHfConfig(Read(ConfigOf("Qwen3ForCausalLM")).metadata, {})->find("\"rms_norm_eps\": 1e-06"),
            std::string::npos);
}

TEST(HfConfigTest, WhatCannotBeWritten) {
  Metadata gemma("file");
  ASSERT_TRUE(gemma.Add("general.architecture", {.kind = ValueKind::kString, .data = std::string("gemma3")}));
  EXPECT_EQ(WriteHfConfig(gemma, {}).error().code(), ErrorCode::kUnsupported);
  Metadata empty("file");
  EXPECT_EQ(WriteHfConfig(empty, {}).error().code(), ErrorCode::kNotFound);
  const Read llama(ConfigOf("LlamaForCausalLM", R"("head_dim": 8)"));
  EXPECT_TRUE(WriteHfConfig(llama.metadata, {.rope_factors = {1, 1, 1, 1}}));
  const auto odd = WriteHfConfig(llama.metadata, {.rope_factors = {1, 1, 2, 3}});
  ASSERT_FALSE(odd);
  EXPECT_NE(odd.error().message().find("rope_freqs.weight"), std::string::npos);
}

}  // namespace
}  // namespace bonsai::formats
