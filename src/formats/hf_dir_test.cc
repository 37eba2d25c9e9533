#include "formats/hf_dir.h"

#include <gtest/gtest.h>

#include "formats/safetensors_testing.h"
#include "tests/support.h"

namespace bonsai::formats {
namespace {

namespace fs = std::filesystem;
using testing::BytesOf;
using testing::Safetensors;
using testing::StoredTensor;

/// Two heads of 4 columns.
std::string Config(const std::string& arch, const std::string& more = "") {
  return fmt::format(R"({{"architectures":["{}"],"num_hidden_layers":1,"max_position_embeddings":64,"hidden_size":8,
    "intermediate_size":16,"num_attention_heads":2,"num_key_value_heads":2,"rms_norm_eps":1e-6{}}})",
                     arch, more);
}

std::string Floats(size_t n, float first = 0) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; i++) values[i] = first + static_cast<float>(i);
  return BytesOf(values);
}

class HfDirTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& bytes) {
    std::ofstream(dir_ / name, std::ios::binary) << bytes;
  }
  void WriteModel(const std::string& config, const std::vector<StoredTensor>& tensors) {
    Write("config.json", config);
    Write("model.safetensors", Safetensors(tensors));
  }
  std::unique_ptr<ModelFile> Open(const std::string& name = "") {
    auto file = OpenModelPath(dir_ / name);
    EXPECT_TRUE(file.ok()) << file.error().message();
    return file.ok() ? std::move(*file) : nullptr;
  }
  void ExpectFailure(ErrorCode code, const std::string& why, const std::string& name = "") {
    const auto file = OpenModelPath(dir_ / name);
    ASSERT_FALSE(file.ok()) << why;
    const std::string& message = file.error().message();
    EXPECT_EQ(file.error().code(), code) << message;
    EXPECT_NE(message.find(why), std::string::npos) << message << "\nexpected: " << why;
    EXPECT_TRUE(message.find(fs::path(dir_ / "").parent_path().string()) != std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  static std::vector<float> Rows(const ModelFile& file, const TensorInfo& t, uint64_t row, uint64_t rows) {
    std::vector<std::byte> bytes(t.bytes / t.rows() * rows);
    const Status status = file.ReadRows(t, row, rows, bytes);
    EXPECT_TRUE(status.ok()) << status.error().message();
    std::vector<float> values(t.cols() * rows);
    t.type->decode(bytes.data(), values.data(), static_cast<int64_t>(values.size()));
    return values;
  }

  const test::TempDir dir_;
};

TEST_F(HfDirTest, PlainFloats) {
  WriteModel(Config("Qwen3ForCausalLM", R"(,"tie_word_embeddings":true)"),
             {{"model.norm.weight", "F32", {8}, Floats(8)},
              {"model.layers.0.self_attn.q_proj.weight", "BF16", {8, 8}, std::string(128, '\x40')},
              {"model.embed_tokens.weight", "F16", {3, 8}, std::string(48, '\x3c')},
              {"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {2}, Floats(2)},
              {"lm_head.weight", "F16", {3, 8}, std::string(48, '\0')}});
  Write("generation_config.json", R"({"temperature":0.5})");
  const auto file = Open();
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->container(), "safetensors");
  EXPECT_EQ(file->name() + "/", dir_ / "");
  EXPECT_EQ(file->metadata().GetString("general.architecture").value(), "qwen3");
  EXPECT_EQ(file->metadata().GetU32("qwen3.embedding_length").value(), 8u);
  EXPECT_EQ(file->metadata().GetF32("general.sampling.temp").value(), 0.5f);
  ASSERT_EQ(file->tensors().size(), 3u);  // a tied head and angle speeds are left out
  EXPECT_EQ(file->tensors()[0].name, "output_norm.weight");
  EXPECT_EQ(file->tensors()[1].name, "blk.0.attn_q.weight");
  EXPECT_EQ(file->tensors()[2].name, "token_embd.weight");
  EXPECT_EQ(file->tensors()[2].shape, (std::vector<uint64_t>{3, 8}));
  EXPECT_EQ(file->tensors()[2].type->name, "F16");
  EXPECT_EQ(Rows(*file, file->tensors()[0], 0, 1), (std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(Rows(*file, file->tensors()[1], 7, 1), std::vector<float>(8, 3.0f));          // 0x4040
  EXPECT_EQ(Rows(*file, file->tensors()[2], 1, 2), std::vector<float>(16, 1.05859375f));  // 0x3c3c
}

TEST_F(HfDirTest, LlamaRowsComeInTheOrderOfGguf) {
  WriteModel(Config("LlamaForCausalLM", R"(,"rope_scaling":{"rope_type":"llama3"})"),
             {{"model.layers.0.self_attn.q_proj.weight", "F32", {8, 1}, Floats(8)},
              {"model.layers.0.self_attn.v_proj.weight", "F32", {8, 1}, Floats(8)}});
  const auto file = Open();
  ASSERT_NE(file, nullptr);
  const TensorInfo* q = file->FindTensor("blk.0.attn_q.weight");
  ASSERT_NE(q, nullptr);
  // Each head's halves, interleaved.
  EXPECT_EQ(Rows(*file, *q, 0, 8), (std::vector<float>{0, 2, 1, 3, 4, 6, 5, 7}));
  EXPECT_EQ(Rows(*file, *q, 5, 2), (std::vector<float>{6, 5}));
  EXPECT_EQ(Rows(*file, *file->FindTensor("blk.0.attn_v.weight"), 0, 8), (std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}));
  const TensorInfo* factors = file->FindTensor("rope_freqs.weight");
  ASSERT_NE(factors, nullptr);
  EXPECT_EQ(factors->shape, std::vector<uint64_t>{2});
  EXPECT_EQ(Rows(*file, *factors, 0, 1)[0], 1.0f);  // the fastest pair keeps its speed
}

TEST_F(HfDirTest, LlamaRowsThatAreNoHeads) {
  WriteModel(Config("LlamaForCausalLM"), {{"model.layers.0.self_attn.q_proj.weight", "F32", {6, 1}, Floats(6)}});
  ExpectFailure(ErrorCode::kCorrupt, "6 rows are not whole heads of 4");
  WriteModel(Config("LlamaForCausalLM"), {{"model.layers.0.self_attn.q_proj.bias", "F32", {8}, Floats(8)}});
  ExpectFailure(ErrorCode::kUnsupported, "biases of queries and keys");
}

TEST_F(HfDirTest, TensorsThatAreNotUnderstood) {
  const std::string config = Config("Qwen3ForCausalLM");
  const std::pair<StoredTensor, const char*> cases[] = {
      {{"model.layers.0.mlp.experts.weight", "F32", {1}, Floats(1)}, "tensor 'model.layers.0.mlp.experts.weight'"},
      {{"model.norm.weight", "U8", {4}, "1234"}, "weights stored as U8"},
      {{"model.norm.weight", "F64", {1}, "12345678"}, "weights stored as F64"},
  };
  for (const auto& [tensor, why] : cases) {
    WriteModel(config, {tensor});
    ExpectFailure(ErrorCode::kUnsupported, why);
  }
  WriteModel(config, {{"model.norm.weight", "F32", {0, 3}, ""}});
  ExpectFailure(ErrorCode::kCorrupt, "a dimension of 0");
  WriteModel(config, {{"model.norm.weight", "F32", {1, 1, 1, 1, 1}, Floats(1)}});
  ExpectFailure(ErrorCode::kCorrupt, "5 dimensions");
  // Two spellings of one BitNet norm.
  WriteModel(Config("BitNetForCausalLM"), {{"model.layers.0.self_attn.attn_sub_norm.weight", "F32", {1}, Floats(1)},
                                           {"model.layers.0.self_attn.inner_attn_ln.weight", "F32", {1}, Floats(1)}});
  ExpectFailure(ErrorCode::kCorrupt, "two tensors are 'blk.0.attn_sub_norm.weight'");
}

TEST_F(HfDirTest, QuantisationsThatAreNotRead) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("quantization_config":{"quant_method":"gptq","bits":4})", "quant_method 'gptq'"},
      {R"("quantization":{"bits":4,"group_size":64})", "4 bits in groups of 64"},
      {R"("quantization":{"bits":8,"group_size":128})", "8 bits in groups of 128"},
      {R"("quantization":{"bits":2,"group_size":32})", "2 bits in groups of 32"},
      {R"("quantization":{"bits":-1,"group_size":32})", "0 bits"},
      {R"("quantization":{"bits":4,"group_size":32,"mode":"mxfp4"})", "mode 'mxfp4'"},
      {R"("quantization":{"bits":1,"group_size":128,"lm_head":{"bits":1,"group_size":64}})", "for 'lm_head'"},
      {R"("quantization_config":{"quant_method":"bitnet","quantization_mode":"online"})", "not ternary yet"},
      {R"("quantization_config":{"quant_method":"bitnet","linear_class":"x"})", "linear_class 'x'"},
  };
  for (const auto& [config, why] : cases) {
    WriteModel(Config("Qwen3ForCausalLM", "," + std::string(config)), {});
    ExpectFailure(ErrorCode::kUnsupported, why);
  }
  WriteModel(Config("Qwen3ForCausalLM", R"(,"quantization":[])"), {});
  ExpectFailure(ErrorCode::kCorrupt, "no object");
  // A layer with the same parameters, or left in floats, is no difference.
  WriteModel(Config("Qwen3ForCausalLM",
                    R"(,"quantization":{"bits":1,"group_size":64,"a":{"bits":1,"group_size":64},"b":false})"),
             {});
  EXPECT_NE(Open(), nullptr);
}

TEST_F(HfDirTest, MlxMatricesWhosePartsDoNotFit) {
  const std::string config = Config("Qwen3ForCausalLM", R"(,"quantization":{"bits":1,"group_size":64})");
  const std::string codes(16, '\1'), floats(4, '\0');
  const StoredTensor weight{"lm_head.weight", "U32", {2, 2}, codes}, scales{"lm_head.scales", "F16", {2, 1}, floats},
      biases{"lm_head.biases", "F16", {2, 1}, floats};
  WriteModel(config, {weight, scales, biases});
  const auto file = Open();
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->tensors()[0].shape, (std::vector<uint64_t>{2, 64}));
  EXPECT_EQ(file->tensors()[0].stored, "MLX 1 bit, group 64");
  const std::pair<std::vector<StoredTensor>, const char*> cases[] = {
      {{weight, scales}, "it has scales and no biases"},
      {{{"lm_head.weight", "I32", {2, 2}, codes}, scales, biases}, "not a matrix of U32"},
      {{{"lm_head.weight", "U32", {4}, codes}, scales, biases}, "not a matrix of U32"},
      {{{"lm_head.weight", "U32", {4, 1}, codes}, scales, biases}, "rows of 32 weights, not whole groups of 64"},
      {{weight, {"lm_head.scales", "F16", {1, 2}, floats}, biases}, "shape [1, 2], expected [2, 1]"},
      {{weight, scales, {"lm_head.biases", "F16", {2}, floats}}, "shape [2], expected [2, 1]"},
      {{weight, {"lm_head.scales", "I16", {2, 1}, floats}, biases}, "stored as I16, expected F16"},
      {{{"lm_head.weight", "U32", {2, 0}, ""},
        {"lm_head.scales", "F16", {2, 0}, ""},
        {"lm_head.biases", "F16", {2, 0}, ""}},
       "a dimension of 0"},
      {{{"lm_head.weight", "U32", {0, UINT64_MAX}, ""}, scales, biases}, "not whole groups"},
  };
  for (const auto& [tensors, why] : cases) {
    WriteModel(config, tensors);
    ExpectFailure(ErrorCode::kCorrupt, why);
  }
  // Scales without a matrix are no scales of anything.
  WriteModel(config, {scales});
  ExpectFailure(ErrorCode::kUnsupported, "tensor 'lm_head.scales'");
}

TEST_F(HfDirTest, WhatADirectoryHoldsInstead) {
  ExpectFailure(ErrorCode::kNotFound, "no model in this directory");
  Write("pytorch_model.bin", "");
  ExpectFailure(ErrorCode::kUnsupported, "convert them to safetensors");
  Write("a.gguf", "");
  Write("b.gguf", "");
  ExpectFailure(ErrorCode::kInvalidArgument, "name one of them: 'a.gguf', 'b.gguf'");
  fs::remove(dir_ / "a.gguf");
  fs::remove(dir_ / "b.gguf");
  Write("x.safetensors", Safetensors(std::vector<StoredTensor>()));
  ExpectFailure(ErrorCode::kNotFound, "config.json");
  Write("config.json", Config("Qwen3ForCausalLM"));
  EXPECT_NE(Open(), nullptr);  // the only one of its kind
  Write("y.safetensors", Safetensors(std::vector<StoredTensor>()));
  ExpectFailure(ErrorCode::kInvalidArgument, "name one of them: 'x.safetensors', 'y.safetensors'");
  EXPECT_NE(Open("y.safetensors"), nullptr);
}

class HfShardsTest : public HfDirTest {
 protected:
  void SetUp() override {
    Write("config.json", Config("Qwen3ForCausalLM"));
    Write("a.safetensors", Safetensors({{"model.norm.weight", "F32", {1}, Floats(1, 5)}}));
    Write("b.safetensors", Safetensors({{"lm_head.weight", "F32", {1}, Floats(1, 7)}}));
    WriteIndex("b.safetensors");
  }
  void WriteIndex(const std::string& second) {
    Write("model.safetensors.index.json", fmt::format(R"({{"metadata":{{"total_size":8}},"weight_map":{{
      "model.norm.weight":"a.safetensors","lm_head.weight":"{}"}}}})",
                                                      second));
  }
};

TEST_F(HfShardsTest, AnyFileOpensAll) {
  for (const char* name : {"", "a.safetensors", "b.safetensors", "model.safetensors.index.json"}) {
    const auto file = Open(name);
    ASSERT_NE(file, nullptr) << name;
    EXPECT_EQ(file->container(), "safetensors, 2 files");
    ASSERT_EQ(file->tensors().size(), 2u) << name;
    EXPECT_EQ(Rows(*file, *file->FindTensor("output_norm.weight"), 0, 1)[0], 5.0f);
    EXPECT_EQ(Rows(*file, *file->FindTensor("output.weight"), 0, 1)[0], 7.0f);
  }
}

TEST_F(HfShardsTest, HostileIndex) {
  const test::TempDir other;
  std::ofstream(other / "c.safetensors") << Safetensors({{"lm_head.weight", "F32", {1}, Floats(1)}});
  const std::string up = "../" + fs::path(other / "").parent_path().filename().string() + "/c.safetensors";
  for (const std::string& name : {up, other / "c.safetensors", std::string(".."), std::string("sub/c.safetensors")}) {
    WriteIndex(name);
    ExpectFailure(ErrorCode::kCorrupt, "not a", "");
  }
  WriteIndex("");
  ExpectFailure(ErrorCode::kCorrupt, "an empty file name");
  WriteIndex("b\\u0000.safetensors");
  ExpectFailure(ErrorCode::kCorrupt, "zero byte");
  fs::create_symlink(other / "c.safetensors", dir_ / "link.safetensors");
  WriteIndex("link.safetensors");
  ExpectFailure(ErrorCode::kCorrupt, "leads out of its directory");
  WriteIndex("absent.safetensors");
  ExpectFailure(ErrorCode::kNotFound, "absent.safetensors");
  WriteIndex("config.json");
  ExpectFailure(ErrorCode::kUnsupported, "a header of");
  WriteIndex("a.safetensors");  // which does not hold it
  ExpectFailure(ErrorCode::kCorrupt, "tensor 'lm_head.weight' is not in 'a.safetensors'");
  Write("b.safetensors", Safetensors({{"model.norm.weight", "F32", {1}, Floats(1)}}));
  WriteIndex("b.safetensors");
  ExpectFailure(ErrorCode::kCorrupt, "tensor 'model.norm.weight' is also in");
  for (const char* text : {"", "[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{}})", R"({"weight_map":{"a":1}})",
                           R"({"weight_map":{"a":"b"},"weight_map":{"a":"b"}})"}) {
    Write("model.safetensors.index.json", text);
    ExpectFailure(ErrorCode::kCorrupt, "model.safetensors.index.json");
  }
  std::string deep = R"({"weight_map":)";
  deep.append(100000, '[');
  Write("model.safetensors.index.json", deep);
  ExpectFailure(ErrorCode::kCorrupt, "nested deeper than 64");
}

TEST_F(HfDirTest, FilesOfACache) {
  const std::string repo = dir_ / "models--a--b";
  fs::create_directories(repo + "/blobs");
  fs::create_directories(repo + "/snapshots/0123");
  Write("models--a--b/blobs/c0", Config("Qwen3ForCausalLM"));
  Write("models--a--b/blobs/c1", Safetensors({{"model.norm.weight", "F32", {1}, Floats(1)}}));
  fs::create_symlink("../../blobs/c0", repo + "/snapshots/0123/config.json");
  fs::create_symlink("../../blobs/c1", repo + "/snapshots/0123/model.safetensors");
  EXPECT_NE(Open("models--a--b/snapshots/0123"), nullptr);
  EXPECT_NE(Open("models--a--b/snapshots/0123/model.safetensors"), nullptr);
}

TEST_F(HfDirTest, BitNetRows) {
  // The example of transformers' unpack_weights, its two columns 32 times.
  const uint8_t packed[2][2] = {{0b10100001, 0b00011000}, {0b10010000, 0b00001010}};
  const float unpacked[8][2] = {{0, -1}, {-1, 1}, {-1, 1}, {-1, 1}, {1, 0}, {0, -1}, {1, -1}, {1, -1}};
  for (const size_t cols : {64u, 128u, 192u, 256u}) {
    std::string data;
    for (const auto& row : packed)
      for (size_t c = 0; c < cols; c++) data += static_cast<char>(row[c % 2]);
    WriteModel(Config("BitNetForCausalLM",
                      R"(,"quantization_config":{"quant_method":"bitnet","linear_class":"autobitlinear"})"),
               {{"model.layers.0.mlp.up_proj.weight", "U8", {2, cols}, data},
                {"model.layers.0.mlp.up_proj.weight_scale", "BF16", {1}, BytesOf(std::vector<uint16_t>{0x3fa0})}});
    const auto file = Open();
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(file->container(), "BitNet safetensors");
    ASSERT_EQ(file->tensors().size(), 1u);
    const TensorInfo& t = file->tensors()[0];
    EXPECT_EQ(t.name, "blk.0.ffn_up.weight");
    EXPECT_EQ(t.stored, "BitNet U8");
    EXPECT_EQ(t.shape, (std::vector<uint64_t>{8, cols}));
    const std::vector<float> rows = Rows(*file, t, 0, 8);
    for (size_t i = 0; i < rows.size(); i++)
      ASSERT_EQ(rows[i], 1.25f * unpacked[i / cols][i % 2]) << cols << " " << i;  // 0x3fa0 is 1.25
    EXPECT_EQ(Rows(*file, t, 5, 1), std::vector<float>(rows.begin() + static_cast<ptrdiff_t>(5 * cols),
                                                       rows.begin() + static_cast<ptrdiff_t>(6 * cols)));
  }
}

TEST_F(HfDirTest, BitNetThatCannotBeHeld) {
  const auto write = [&](const char* linear, float scale, char code) {
    WriteModel(Config("BitNetForCausalLM",
                      fmt::format(R"(,"quantization_config":{{"quant_method":"bitnet","linear_class":"{}"}})", linear)),
               {{"model.layers.0.mlp.up_proj.weight", "U8", {1, 64}, std::string(64, code)},
                {"model.layers.0.mlp.up_proj.weight_scale", "F32", {1}, BytesOf(std::vector<float>{scale})}});
  };
  write("autobitlinear", 0.1f, '\1');
  ExpectFailure(ErrorCode::kUnsupported, "its scale, 0.1, is no fp16 number");
  write("bitlinear", 3.0f, '\1');
  ExpectFailure(ErrorCode::kUnsupported, "its scale, 1 / 3, is no fp16 number");
  write("bitlinear", 0.0f, '\1');
  ExpectFailure(ErrorCode::kUnsupported, "no fp16 number");
  write("autobitlinear", INFINITY, '\1');
  ExpectFailure(ErrorCode::kUnsupported, "no fp16 number");
  write("bitlinear", 4.0f, '\2');  // divides
  auto file = Open();
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(Rows(*file, file->tensors()[0], 0, 1), std::vector<float>(64, 0.25f));
  write("autobitlinear", 4.0f, '\x0c');  // row 1 has code 3
  file = Open();
  ASSERT_NE(file, nullptr);
  std::vector<std::byte> row(18);
  EXPECT_TRUE(file->ReadRows(file->tensors()[0], 0, 1, row).ok());
  const Status status = file->ReadRows(file->tensors()[0], 1, 1, row);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kCorrupt);
  EXPECT_NE(status.error().message().find("row 1, column 0"), std::string::npos) << status.error().message();
}

}  // namespace
}  // namespace bonsai::formats
