#include "formats/hf_writer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/half.h"
#include "base/rng.h"
#include "formats/hf_dir.h"
#include "tests/support.h"

namespace bonsai::formats {
namespace {

std::string Config(const std::string& arch) {
  return fmt::format(R"({{"architectures":["{}"],"num_hidden_layers":1,"max_position_embeddings":64,"hidden_size":256,
    "intermediate_size":256,"num_attention_heads":2,"num_key_value_heads":2,"head_dim":8,"rms_norm_eps":1e-6,
    "vocab_size":40,"rope_theta":500000.0}})",
                     arch);
}

/// A model in memory, written to a directory and opened again.
class HfWriterTest : public ::testing::Test {
 protected:
  void SetModel(const std::string& arch) {
    metadata_ = Metadata("memory");
    const auto model = AddHfConfig("config.json", Config(arch), metadata_);
    ASSERT_TRUE(model.ok()) << model.error().message();
    model_ = *model;
    tensors_.clear(), data_.clear();
  }
  /// Random bytes; the scales of quantised blocks are fp16 numbers below 2^9.
  void Add(const std::string& name, const std::string& type, std::vector<uint64_t> shape) {
    const quant::Type& t = *quant::FindByName(type);
    uint64_t n = 1;
    for (const uint64_t d : shape) n *= d;
    std::vector<std::byte> bytes(n / static_cast<uint64_t>(t.block_weights) * static_cast<uint64_t>(t.block_bytes));
    for (std::byte& b : bytes) b = static_cast<std::byte>(rng_.Next() & 0xff);
    if (!t.is_float)
      for (size_t at = 1; at < bytes.size(); at += static_cast<size_t>(t.block_bytes)) bytes[at] &= std::byte{0xdf};
    tensors_.push_back({name, std::move(shape), &t});
    data_.push_back(std::move(bytes));
  }
  /// Whatever a model has, matrices of this type.
  void AddAll(const std::string& type) {
    Add("token_embd.weight", type, {40, 256});
    Add("output_norm.weight", "F32", {256});
    Add("blk.0.attn_q.weight", type, {16, 256});
    Add("blk.0.attn_k.weight", type, {16, 256});
    Add("blk.0.attn_v.weight", type, {16, 256});
    Add("blk.0.ffn_down.weight", type, {256, 256});
  }
  Result<HfPlan> Plan(uint64_t shard_bytes = HfWriteOptions().shard_bytes) const {
    return PlanHfDir(metadata_, model_, tensors_, {.shard_bytes = shard_bytes});
  }
  /// In pieces of 1000 bytes, which are neither rows nor blocks.
  Status Write(const HfPlan& plan) {
    filled_.clear(), written_.clear();
    const GgufFill fill = [&](size_t i, const GgufSink& emit) -> Status {
      filled_.push_back(i);
      for (size_t at = 0; at < data_[i].size(); at += 1000)
        BONSAI_RETURN_IF_ERROR(emit(std::span(data_[i]).subspan(at, std::min<size_t>(1000, data_[i].size() - at))));
      return {};
    };
    return WriteHfDir(plan, fill, [&](std::string_view name) -> Result<GgufSink> {
      written_.emplace_back(name);
      auto out = std::make_shared<std::ofstream>(dir_ / std::string(name), std::ios::binary);
      return GgufSink([out](std::span<const std::byte> bytes) -> Status {
        out->write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        out->flush();
        return {};
      });
    });
  }
  /// Writes, and compares sizes, calls and everything that is read again.
  void ExpectRoundTrip(uint64_t shard_bytes, const std::string& container) {
    const auto plan = Plan(shard_bytes);
    ASSERT_TRUE(plan.ok()) << plan.error().message();
    const Status status = Write(*plan);
    ASSERT_TRUE(status.ok()) << status.error().message();
    uint64_t bytes = 0;
    ASSERT_EQ(written_.size(), plan->files.size());
    for (size_t i = 0; i < written_.size(); i++) {
      EXPECT_EQ(written_[i], plan->files[i].name);
      EXPECT_EQ(std::filesystem::file_size(dir_ / written_[i]), plan->files[i].bytes) << written_[i];
      bytes += plan->files[i].bytes;
    }
    EXPECT_EQ(plan->bytes, bytes);
    ASSERT_EQ(filled_.size(), tensors_.size());
    for (size_t i = 0; i < filled_.size(); i++) EXPECT_EQ(filled_[i], i);
    const auto file = OpenHfDir(dir_ / "", "");
    ASSERT_TRUE(file.ok()) << file.error().message();
    EXPECT_EQ((*file)->container(), container);
    EXPECT_EQ((*file)->tensors().size(), tensors_.size());
    for (const auto& [key, value] : metadata_.entries()) {
      const Value* again = (*file)->metadata().Find(key);
      ASSERT_NE(again, nullptr) << key;
      EXPECT_EQ(*again, value) << key;
    }
    for (size_t i = 0; i < tensors_.size(); i++) ExpectSame(**file, i);
  }
  void ExpectSame(const ModelFile& file, size_t i) {
    const TensorInfo* t = file.FindTensor(tensors_[i].name);
    ASSERT_NE(t, nullptr) << tensors_[i].name;
    EXPECT_EQ(t->type, tensors_[i].type) << t->name;
    EXPECT_EQ(t->shape, tensors_[i].shape) << t->name;
    std::vector<std::byte> rows(t->bytes);
    const Status read = file.ReadRows(*t, 0, t->rows(), rows);
    ASSERT_TRUE(read.ok()) << read.error().message();
    EXPECT_EQ(rows, data_[i]) << t->name;
  }
  std::string PlanFailure() const {
    const auto plan = Plan();
    EXPECT_FALSE(plan.ok());
    if (plan.ok()) return "";
    EXPECT_TRUE(plan.error().message().starts_with("memory: ")) << plan.error().message();
    return plan.error().message();
  }

  const test::TempDir dir_;
  Metadata metadata_{"memory"};
  HfModel model_;
  std::vector<GgufTensor> tensors_;
  std::vector<std::vector<std::byte>> data_;
  std::vector<size_t> filled_;
  std::vector<std::string> written_;
  Rng rng_{1};
};

TEST_F(HfWriterTest, FloatsRoundTrip) {
  for (const char* type : {"F32", "F16", "BF16"}) {
    for (const char* arch : {"Qwen3ForCausalLM", "LlamaForCausalLM"}) {
      SetModel(arch);
      AddAll(type);
      ExpectRoundTrip(1 << 30, "safetensors");
    }
  }
}

TEST_F(HfWriterTest, QuantisedModelsRoundTripBitForBit) {
  const std::pair<const char*, const char*> cases[] = {{"Q1_0", "MLX 1 bit, group 128"},
                                                       {"Q1_0_G32", "MLX 1 bit, group 32"},
                                                       {"PQ2_0", "MLX 2 bits, group 128"},
                                                       {"Q2_0", "MLX 2 bits, group 64"}};
  for (const auto& [type, stored] : cases) {
    for (const char* arch : {"Qwen3ForCausalLM", "LlamaForCausalLM"}) {
      SetModel(arch);
      AddAll(type);
      Add("output.weight", "F16", {40, 256});
      ExpectRoundTrip(1 << 30, "MLX safetensors");
      const auto file = OpenHfDir(dir_ / "", "").value();
      EXPECT_EQ(file->FindTensor("blk.0.attn_q.weight")->stored, stored);
      EXPECT_EQ(file->FindTensor("output.weight")->stored, "");
    }
  }
}

TEST_F(HfWriterTest, Shards) {
  SetModel("LlamaForCausalLM");
  AddAll("F16");
  // 20,480 bytes; 1,024; three of 8,192; 131,072.
  ExpectRoundTrip(20000, "safetensors, 4 files");
  EXPECT_EQ(written_,
            (std::vector<std::string>{"config.json", "generation_config.json", "model-00001-of-00004.safetensors",
                                      "model-00002-of-00004.safetensors", "model-00003-of-00004.safetensors",
                                      "model-00004-of-00004.safetensors", "model.safetensors.index.json"}));
  const test::TempDir other;
  SetModel("LlamaForCausalLM");
  AddAll("Q1_0");
  std::filesystem::remove(dir_ / "model.safetensors");
  ExpectRoundTrip(1, "MLX safetensors, 6 files");
}

TEST_F(HfWriterTest, FrequencyFactorsLiveInTheConfig) {
  metadata_ = Metadata("memory");
  std::string config = Config("LlamaForCausalLM");
  config.insert(config.size() - 1, R"(,"rope_scaling":{"rope_type":"llama3","factor":32.0})");
  model_ = AddHfConfig("config.json", config, metadata_).value();
  for (const size_t at : {size_t{0}, size_t{6}}) {  // before the others, and behind them
    tensors_.clear(), data_.clear();
    AddAll("Q1_0");
    const auto bytes = std::as_bytes(std::span(model_.rope_factors));
    tensors_.insert(tensors_.begin() + static_cast<ptrdiff_t>(at),
                    {"rope_freqs.weight", {model_.rope_factors.size()}, quant::FindByName("F32")});
    data_.insert(data_.begin() + static_cast<ptrdiff_t>(at), std::vector<std::byte>(bytes.begin(), bytes.end()));
    ExpectRoundTrip(1 << 30, "MLX safetensors");
    const auto file = OpenHfDir(dir_ / "", "").value();
    const auto again = HfModelOf(*file);
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again->arch, "llama");
    EXPECT_TRUE(again->tied);  // no output.weight
    EXPECT_EQ(again->rope_factors, model_.rope_factors);
  }
}

TEST_F(HfWriterTest, SamplingAndSpecialTokens) {
  SetModel("Qwen3ForCausalLM");
  AddAll("BF16");
  const auto add = [&](const char* key, ValueKind kind, auto value) {
    ASSERT_TRUE(metadata_.Add(key, {.kind = kind, .data = value}));
  };
  add("general.sampling.temp", ValueKind::kF32, double{0.6f});
  add("general.sampling.top_k", ValueKind::kI32, int64_t{20});
  add("general.sampling.top_p", ValueKind::kF32, double{0.95f});
  ExpectRoundTrip(1 << 30, "safetensors");
  const std::string generation = test::ReadFile(dir_ / "generation_config.json");
  EXPECT_NE(generation.find("\"temperature\": 0.6,"), std::string::npos) << generation;
  EXPECT_NE(test::ReadFile(dir_ / "config.json").find("\"torch_dtype\": \"bfloat16\""), std::string::npos);
  SetModel("Qwen3ForCausalLM");
  AddAll("BF16");
  add("general.sampling.temp", ValueKind::kF32, 0.0);
  ExpectRoundTrip(1 << 30, "safetensors");
}

TEST_F(HfWriterTest, TheConfigCountsTheRowsOfTheEmbedding) {
  SetModel("Qwen3ForCausalLM");  // whose vocab_size is 40
  Add("token_embd.weight", "Q1_0", {48, 256});
  const auto plan = Plan();
  ASSERT_TRUE(plan.ok()) << plan.error().message();
  EXPECT_EQ(plan->files[0].name, "config.json");
  EXPECT_NE(plan->files[0].text.find("\"vocab_size\": 48"), std::string::npos) << plan->files[0].text;
}

TEST_F(HfWriterTest, WhatCannotBeWrittenIsRefusedInThePlan) {
  SetModel("Qwen3ForCausalLM");
  Add("blk.0.attn_q.weight", "TQ2_0", {16, 256});
  EXPECT_NE(PlanFailure().find("'blk.0.attn_q.weight' has type TQ2_0"), std::string::npos);
  SetModel("Qwen3ForCausalLM");
  Add("blk.0.attn_q.weight", "Q1_0", {16, 256});
  Add("blk.0.attn_k.weight", "PQ2_0", {16, 256});
  EXPECT_NE(PlanFailure().find("an MLX model has one quantisation"), std::string::npos);
  SetModel("Qwen3ForCausalLM");
  Add("blk.0.wherefore.weight", "F32", {16, 256});
  EXPECT_NE(PlanFailure().find("'blk.0.wherefore.weight' has no name"), std::string::npos);
  SetModel("LlamaForCausalLM");
  Add("blk.0.attn_q.weight", "F32", {12, 256});
  EXPECT_NE(PlanFailure().find("no matrix of whole heads of 8"), std::string::npos);
  SetModel("Qwen3ForCausalLM");
  tensors_ = {{"token_embd.weight", {}, quant::FindByName("F32")}};
  EXPECT_NE(PlanFailure().find("0 dimensions"), std::string::npos);
  tensors_ = {{"token_embd.weight", {1}, nullptr}};
  EXPECT_NE(PlanFailure().find("has no type"), std::string::npos);
  SetModel("Qwen3ForCausalLM");
  Add("output_norm.weight", "Q1_0", {256});
  EXPECT_NE(PlanFailure().find("nothing that MLX quantises"), std::string::npos);
}

TEST_F(HfWriterTest, ScaleThatOverflowsNamesTheTensor) {
  SetModel("Qwen3ForCausalLM");
  AddAll("Q1_0");
  const uint16_t d = FloatToHalf(40000);
  std::memcpy(data_[3].data() + 18, &d, sizeof d);
  const Status status = Write(Plan().value());
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message().find("tensor 'blk.0.attn_k.weight'"), std::string::npos);
  EXPECT_NE(status.error().message().find("beyond fp16"), std::string::npos) << status.error().message();
}

TEST_F(HfWriterTest, WrongNumberOfBytes) {
  for (const size_t size : {size_t{16 * 32}, size_t{16 * 36 + 18}}) {
    SetModel("LlamaForCausalLM");
    Add("blk.0.attn_q.weight", "Q1_0", {16, 256});
    data_[0].resize(size);
    const Status status = Write(Plan().value());
    ASSERT_FALSE(status.ok());
    EXPECT_NE(status.error().message().find("than its 576 bytes were given"), std::string::npos);
  }
}

}  // namespace
}  // namespace bonsai::formats
