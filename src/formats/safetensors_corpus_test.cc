// The seed corpora of safetensors_fuzz and hf_json_fuzz are built here. This test keeps the committed files equal to
// what the code says; with BONSAI_WRITE_CORPUS=1 it writes them instead.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "formats/hf_storage.h"
#include "formats/hf_weights.h"
#include "formats/safetensors_testing.h"
#include "tests/support.h"

namespace bonsai::formats {
namespace {

using testing::Safetensors;
using Seeds = std::map<std::string, std::string>;

Seeds SafetensorsSeeds() {
  Seeds seeds;
  const std::string small = testing::SmallSafetensors();
  seeds["valid"] = small;
  seeds["empty"] = Safetensors("{}", "");
  seeds["cut-in-header"] = small.substr(0, 100);
  seeds["cut-in-data"] = small.substr(0, small.size() - 1);
  seeds["more-data"] = small + "x";
  seeds["overlap"] = Safetensors(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                                 R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                                 "abc");
  seeds["hole"] = Safetensors(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", "abc");
  seeds["name-twice"] = Safetensors(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                                    R"("a":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
                                    "abc");
  seeds["overflow"] = Safetensors(
      R"({"a":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,18446744073709551615]}})", "abc");
  seeds["deep"] = Safetensors(std::string(200, '['), "");
  seeds["huge-length"] = std::string(8, '\xff') + "{}";
  return seeds;
}

Seeds JsonSeeds() {
  return {
      {"index", R"({"metadata":{"total_size":8},"weight_map":{"lm_head.weight":"model-00001-of-00001.safetensors"}})"},
      {"index-up", R"({"weight_map":{"a":"../b","c":"/etc/passwd","d":""}})"},
      {"mlx", R"({"architectures":["Qwen3ForCausalLM"],"num_hidden_layers":1,"max_position_embeddings":64,
        "hidden_size":256,"intermediate_size":256,"num_attention_heads":2,"num_key_value_heads":2,"head_dim":8,
        "rms_norm_eps":1e-6,"vocab_size":40,"rope_theta":500000.0,"quantization":{"bits":1,"group_size":128,"x":false}})"},
      {"bitnet", R"({"architectures":["BitNetForCausalLM"],"num_hidden_layers":1,"max_position_embeddings":64,
        "hidden_size":8,"intermediate_size":8,"num_attention_heads":2,"rms_norm_eps":1e-5,
        "quantization_config":{"quant_method":"bitnet","linear_class":"autobitlinear","quantization_mode":"offline"}})"},
      {"llama3", R"({"model_type":"llama","num_hidden_layers":1,"max_position_embeddings":64,"hidden_size":8,
        "intermediate_size":8,"num_attention_heads":2,"rms_norm_eps":1e-5,"tie_word_embeddings":true,
        "rope_scaling":{"rope_type":"llama3","factor":8.0}})"},
      {"generation", R"({"do_sample":true,"temperature":0.6,"top_k":20,"top_p":0.95,"eos_token_id":[1,2]})"},
  };
}

void ExpectCurrent(const std::string& name, const Seeds& seeds) {
  const std::string folder = test::SourcePath("tests/corpus/" + name);
  const bool write = std::getenv("BONSAI_WRITE_CORPUS") != nullptr;
  if (write) std::filesystem::create_directories(folder);
  for (const auto& [seed, bytes] : seeds) {
    const std::string path = folder + "/" + seed;
    if (write) std::ofstream(path, std::ios::binary) << bytes;
    EXPECT_EQ(test::ReadFile(path), bytes) << path << ": run this test with BONSAI_WRITE_CORPUS=1 and commit the files";
  }
}

TEST(SafetensorsCorpusTest, CommittedSeedsAreCurrent) {
  ExpectCurrent("safetensors_fuzz", SafetensorsSeeds());
  ExpectCurrent("hf_json_fuzz", JsonSeeds());
}

/// Every file of the folders, findings of the fuzzers included.
TEST(SafetensorsCorpusTest, EverySeedIsReadOrAnError) {
  size_t good = 0, bad = 0;
  for (const auto& entry : std::filesystem::directory_iterator(test::SourcePath("tests/corpus/safetensors_fuzz")))
    (testing::HeaderOf(test::ReadFile(entry.path().string())).ok() ? good : bad)++;
  EXPECT_GE(good, 2u);
  EXPECT_GE(bad, 9u);
  size_t indices = 0, storages = 0;
  for (const auto& entry : std::filesystem::directory_iterator(test::SourcePath("tests/corpus/hf_json_fuzz"))) {
    const std::string text = test::ReadFile(entry.path().string());
    indices += ParseHfIndex("seed", text).ok();
    const auto storage = ReadHfStorage("seed", text);
    storages += storage.ok() && (storage->mlx || storage->bitnet);
  }
  EXPECT_GE(indices, 2u);
  EXPECT_GE(storages, 2u);
}

}  // namespace
}  // namespace bonsai::formats
