#include "model/model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "tests/reference_model.h"
#include "tests/synthetic.h"

namespace bonsai::model {
namespace {

using test::SyntheticModel;

const std::vector<int32_t> kIds = {5, 80, 17, 99, 256, 3, 3, 200, 41};

std::unique_ptr<kernels::Device> Cpu(kernels::ActType act, int threads = 2) {
  auto device = kernels::NewCpuDevice({.threads = threads, .act = act});
  EXPECT_TRUE(device) << device.error().message();
  return std::move(*device);
}

/// Logits after each token, fed in pieces of `step` tokens.
std::vector<float> Feed(const formats::ModelFile& file, kernels::Device& device, int64_t step,
                        kernels::KvType kv_type) {
  auto model = Model::Load(file, device, {.max_rows = step});
  EXPECT_TRUE(model) << model.error().message();
  const Config& c = (*model)->config();
  auto kv = device.NewKvStore(KvSpecOf(c, kv_type, kv_type));
  EXPECT_TRUE(kv && (*kv)->Grow(1));
  const int32_t blocks[] = {0};
  std::vector<float> out;
  const auto vocab = static_cast<size_t>(c.vocab);
  for (size_t i = 0; i < kIds.size(); i += static_cast<size_t>(step)) {
    const size_t n = std::min(kIds.size() - i, static_cast<size_t>(step));
    const kernels::SequenceRows rows{
        .first_row = 0, .rows = static_cast<int32_t>(n), .pos = static_cast<int32_t>(i), .blocks = blocks};
    (*model)->Forward({.tokens = std::span(kIds).subspan(i, n), .sequences = {&rows, 1}}, **kv);
    std::vector<int32_t> all(n);
    for (size_t r = 0; r < n; r++) all[r] = static_cast<int32_t>(r);
    out.resize(out.size() + n * vocab);
    EXPECT_TRUE((*model)->Logits(all, std::span(out).last(n * vocab)));
  }
  return out;
}

/// Largest difference from the reference, relative to the largest logit.
double Difference(const std::vector<float>& got, const std::vector<test::Row>& want) {
  double worst = 0, largest = 0;
  size_t i = 0;
  for (const test::Row& row : want)
    for (const double v : row) {
      worst = std::max(worst, std::fabs(got[i++] - v));
      largest = std::max(largest, std::fabs(v));
    }
  EXPECT_EQ(i, got.size());
  return worst / largest;
}

struct NamedShape {
  const char* name;
  SyntheticModel shape;
};
void PrintTo(const NamedShape& s, std::ostream* out) { *out << s.name; }

class ShapeTest : public testing::TestWithParam<NamedShape> {};

TEST_P(ShapeTest, AgreesWithTheReference) {
  const std::string bytes = test::BuildGguf(GetParam().shape);
  const auto file = test::OpenBytes(bytes);
  ASSERT_TRUE(file) << file.error().message();
  const auto want = test::ReferenceModel(**file, GetParam().shape).Forward(kIds);
  // Each of about 6 operations a layer (8 with sub-norms) rounds sums of up to 256 terms: 2 · 6 · 256 · 2^-24 = 1.8e-4
  // of the largest.
  const auto device = Cpu(kernels::ActType::kF32);
  const double bound = GetParam().shape.SubNorms() ? 2 * 8 * 256 * 0x1p-24 : 1.8e-4;
  EXPECT_LT(Difference(Feed(**file, *device, 16, kernels::KvType::kF32), want), bound);
  // fp16 keys and values are off by 2^-12 relative each, in each layer: a score of size 5 moves by 2^-9 or less.
  EXPECT_LT(Difference(Feed(**file, *device, 16, kernels::KvType::kF16), want), 2 * std::exp2(-9));
}

TEST_P(ShapeTest, CutsOfThePromptAndThreadsDoNotChangeABit) {
  const std::string bytes = test::BuildGguf(GetParam().shape);
  const auto file = test::OpenBytes(bytes);
  ASSERT_TRUE(file) << file.error().message();
  for (const kernels::ActType act : {kernels::ActType::kF32, kernels::ActType::kI8}) {
    const auto want = Feed(**file, *Cpu(act, 1), 16, kernels::KvType::kF16);
    for (const int64_t step : {1, 2, 7})
      for (const int threads : {1, 3})
        EXPECT_EQ(Feed(**file, *Cpu(act, threads), step, kernels::KvType::kF16), want) << step << " " << threads;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, ShapeTest,
    testing::Values(
        NamedShape{"Q1_0", {}}, NamedShape{"Untied", {.tied = false}},
        NamedShape{"NoGrouping", {.heads = 2, .kv_heads = 2, .k_width = 64, .v_width = 64, .type = "F16"}},
        NamedShape{"WideValues", {.heads = 8, .kv_heads = 2, .k_width = 48, .v_width = 64, .tied = false}},
        NamedShape{"OneKvHead", {.heads = 4, .kv_heads = 1, .type = "Q8_0"}},
        NamedShape{"OddWidths", {.d_model = 64, .d_ff = 172, .vocab = 303, .type = "BF16"}},
        NamedShape{"YarnFloat", {.type = "F32", .yarn_factor = 4}}, NamedShape{"Yarn", {.yarn_factor = 4}},
        NamedShape{"Qwen2", {.arch = "qwen2", .type = "F16"}}, NamedShape{"Qwen2Q1", {.arch = "qwen2"}},
        NamedShape{"Llama", {.arch = "llama", .tied = false, .type = "F32"}},
        NamedShape{"Llama31", {.arch = "llama", .extras = true}},
        NamedShape{"LlamaHeads8",
                   {.arch = "llama",
                    .d_model = 64,
                    .heads = 8,
                    .kv_heads = 4,
                    .k_width = 8,
                    .v_width = 8,
                    .d_ff = 172,
                    .type = "F32"}},
        NamedShape{"Bitnet",
                   {.arch = "bitnet", .d_model = 256, .k_width = 64, .v_width = 64, .type = "TQ2_0", .extras = true}},
        NamedShape{"BitnetB158", {.arch = "bitnet-b1.58", .type = "F16"}},
        NamedShape{"BitnetB158Q1", {.arch = "bitnet-b1.58", .extras = true}},
        NamedShape{"BitnetB158Silu", {.arch = "bitnet-b1.58", .activation = "silu"}},
        NamedShape{"Bitnet25", {.arch = "bitnet-25", .tied = false, .type = "Q8_0"}}),
    [](const testing::TestParamInfo<NamedShape>& shape) { return std::string(shape.param.name); });

// What a wrong file's error must say.
struct BadFile {
  const char* what;
  ErrorCode code;
  std::vector<std::string> says;
  std::function<void(formats::Metadata&, std::vector<formats::GgufTensor>&)> edit;
};

formats::GgufTensor& Named(std::vector<formats::GgufTensor>& tensors, const std::string& name) {
  for (auto& t : tensors)
    if (t.name == name) return t;
  ADD_FAILURE() << name;
  return tensors[0];
}

formats::Metadata Replace(const formats::Metadata& m, const std::string& key, formats::Value value) {
  formats::Metadata out(m.source());
  for (const auto& [k, v] : m.entries()) EXPECT_TRUE(out.Add(k, k == key ? value : v));
  if (!m.Has(key)) {
    EXPECT_TRUE(out.Add(key, value));
  }
  return out;
}

TEST(DescribeTest, WrongFilesAreNamed) {
  using formats::GgufTensor;
  using formats::Metadata;
  using Tensors = std::vector<GgufTensor>;
  const std::vector<BadFile> cases = {
      {"unknown architecture",
       ErrorCode::kUnsupported,
       {"'mamba'", "qwen3"},
       [](Metadata& m, Tensors&) { m = Replace(m, "general.architecture", test::Text("mamba")); }},
      {"well-known architecture",
       ErrorCode::kUnsupported,
       {"'gemma3' (Gemma 3:", "supported: qwen3, qwen2, llama"},
       [](Metadata& m, Tensors&) { m = Replace(m, "general.architecture", test::Text("gemma3")); }},
      {"rotated weights",
       ErrorCode::kUnsupported,
       {"'prism.hadamard.block_size'", "Hadamard rotation", "use the file that is not rotated"},
       [](Metadata& m, Tensors&) { m = Replace(m, "prism.hadamard.block_size", test::Int(1024)); }},
      {"mixture of experts",
       ErrorCode::kUnsupported,
       {"qwen3.expert_count", "mixture of experts"},
       [](Metadata& m, Tensors&) { m = Replace(m, "qwen3.expert_count", test::Int(8)); }},
      {"another activation",
       ErrorCode::kUnsupported,
       {"qwen3.hidden_activation", "'gelu'", "relu2"},
       [](Metadata& m, Tensors&) { m = Replace(m, "qwen3.hidden_activation", test::Text("gelu")); }},
      {"missing tensor",
       ErrorCode::kCorrupt,
       {"blk.1.ffn_up.weight", "missing"},
       [](Metadata&, Tensors& t) { std::erase_if(t, [](const auto& x) { return x.name == "blk.1.ffn_up.weight"; }); }},
      {"unknown tensor",
       ErrorCode::kUnsupported,
       {"blk.0.attn_q.bias"},
       [](Metadata&, Tensors& t) {
         t.push_back({"blk.0.attn_q.bias", {128}, quant::FindByName("F32")});
       }},
      {"other KV heads",
       ErrorCode::kCorrupt,
       {"blk.0.attn_k.weight", "[64, 128]", "[128, 128]"},
       [](Metadata& m, Tensors&) { m = Replace(m, "qwen3.attention.head_count_kv", test::Int(4)); }},
      {"other head width",
       ErrorCode::kCorrupt,
       {"blk.0.attn_q.weight", "[128, 128]", "[256, 128]"},
       [](Metadata& m, Tensors&) { m = Replace(m, "qwen3.attention.key_length", test::Int(64)); }},
      {"more layers",
       ErrorCode::kCorrupt,
       {"blk.2.attn_norm.weight"},
       [](Metadata& m, Tensors&) { m = Replace(m, "qwen3.block_count", test::Int(3)); }},
      {"absurd layers",
       ErrorCode::kCorrupt,
       {"4000 layers"},
       [](Metadata& m, Tensors&) { m = Replace(m, "qwen3.block_count", test::Int(4000)); }},
      {"zero heads",
       ErrorCode::kCorrupt,
       {"qwen3.attention.head_count", "0"},
       [](Metadata& m, Tensors&) { m = Replace(m, "qwen3.attention.head_count", test::Int(0)); }},
      {"heads do not divide",
       ErrorCode::kCorrupt,
       {"head_count 4", "head_count_kv 3"},
       [](Metadata& m, Tensors&) { m = Replace(m, "qwen3.attention.head_count_kv", test::Int(3)); }},
      {"odd head width",
       ErrorCode::kCorrupt,
       {"key_length 33"},
       [](Metadata& m, Tensors&) { m = Replace(m, "qwen3.attention.key_length", test::Int(33)); }},
      {"huge width",
       ErrorCode::kCorrupt,
       {"embedding_length", "4294967295"},
       [](Metadata& m, Tensors&) { m = Replace(m, "qwen3.embedding_length", test::Int(0xffffffff)); }},
      {"NaN epsilon",
       ErrorCode::kCorrupt,
       {"layer_norm_rms_epsilon"},
       [](Metadata& m, Tensors&) { m = Replace(m, "qwen3.attention.layer_norm_rms_epsilon", test::Float(NAN)); }},
      {"rope scaling",
       ErrorCode::kUnsupported,
       {"longrope", "yarn"},
       [](Metadata& m, Tensors&) {
         m = Replace(m, "qwen3.rope.scaling.type", test::Text("longrope"));
         m = Replace(m, "qwen3.rope.scaling.factor", test::Float(2));
       }},
      {"partial rotation",
       ErrorCode::kUnsupported,
       {"rope.dimension_count", "16"},
       [](Metadata& m, Tensors&) { m = Replace(m, "qwen3.rope.dimension_count", test::Int(16)); }},
      {"quantised norm",
       ErrorCode::kUnsupported,
       {"output_norm.weight", "Q1_0"},
       [](Metadata&, Tensors& t) { Named(t, "output_norm.weight").type = quant::FindByName("Q1_0"); }},
      {"string where a number belongs",
       ErrorCode::kCorrupt,
       {"qwen3.block_count"},
       [](Metadata& m, Tensors&) { m = Replace(m, "qwen3.block_count", test::Text("two")); }},
  };
  for (const BadFile& bad : cases) {
    const std::string bytes = test::BuildGguf({.edit = bad.edit});
    const auto file = test::OpenBytes(bytes);
    ASSERT_TRUE(file) << bad.what << ": " << file.error().message();
    const auto d = Describe(**file);
    ASSERT_FALSE(d) << bad.what;
    EXPECT_EQ(d.error().code(), bad.code) << bad.what << ": " << d.error().message();
    EXPECT_NE(d.error().message().find("test.gguf"), std::string::npos) << d.error().message();
    for (const std::string& part : bad.says)
      EXPECT_NE(d.error().message().find(part), std::string::npos) << bad.what << ": " << d.error().message();
  }
}

/// What loading a model whose vectors hold `value` everywhere in tensor `name` says.
std::string LoadWith(const SyntheticModel& shape, const std::string& name, float value) {
  std::string bytes = test::BuildGguf(shape);
  const auto clean = test::OpenBytes(bytes);
  EXPECT_TRUE(clean);
  const formats::TensorInfo t = *(*clean)->FindTensor(name);
  for (uint64_t i = 0; i < t.elements(); i++) std::memcpy(&bytes[t.offset + i * sizeof(value)], &value, sizeof(value));
  const auto file = test::OpenBytes(bytes);
  const auto device = Cpu(kernels::ActType::kI8);
  const auto model = Model::Load(**file, *device, {.max_rows = 8});
  return model ? "" : model.error().message();
}

TEST(ModelTest, VectorsWithoutSenseAreNamed) {
  const SyntheticModel llama{.arch = "llama", .extras = true};
  const SyntheticModel bitnet{.arch = "bitnet", .extras = true};
  for (const float factor : {0.0f, -1.0f}) {
    const std::string message = LoadWith(llama, "rope_freqs.weight", factor);
    EXPECT_NE(message.find("rope_freqs.weight"), std::string::npos) << message;
    EXPECT_NE(message.find("positive"), std::string::npos) << message;
  }
  for (const float v : {NAN, INFINITY}) {
    const std::string message = LoadWith(bitnet, "blk.1.ffn_up.scale", v);
    EXPECT_NE(message.find("blk.1.ffn_up.scale"), std::string::npos) << message;
    EXPECT_NE(message.find("not finite"), std::string::npos) << message;
  }
  EXPECT_EQ(LoadWith(llama, "rope_freqs.weight", 8), "");
}

// The device says what is wrong with a matrix, and does not know which it is.
TEST(ModelTest, AMatrixThatTheDeviceRefusesIsNamed) {
  std::string bytes = test::BuildGguf({.d_model = 256, .k_width = 64, .v_width = 64, .type = "TQ1_0"});
  const auto clean = test::OpenBytes(bytes);
  ASSERT_TRUE(clean);
  const formats::TensorInfo t = *(*clean)->FindTensor("blk.1.ffn_up.weight");
  std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(t.offset), t.bytes, '\xff');  // scales that are no numbers
  const auto file = test::OpenBytes(bytes);
  const auto device = Cpu(kernels::ActType::kI8);
  const auto model = Model::Load(**file, *device, {.max_rows = 8});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code(), ErrorCode::kCorrupt);
  EXPECT_TRUE(model.error().message().starts_with("test.gguf: tensor 'blk.1.ffn_up.weight': row "))
      << model.error().message();
}

TEST(ModelTest, ThePlanIsWhatIsHeld) {
  const std::string bytes = test::BuildGguf({.tied = false});
  const auto file = test::OpenBytes(bytes);
  ASSERT_TRUE(file);
  const auto d = Describe(**file);
  ASSERT_TRUE(d);
  const auto device = Cpu(kernels::ActType::kI8);
  uint64_t stored = 0;
  for (const auto& t : (*file)->tensors()) stored += t.bytes;
  const MemoryUse use = PlanMemory(**file, *d, *device, 64);
  EXPECT_GE(use.weights, stored);
  EXPECT_LE(use.weights, stored + (*file)->tensors().size() * 64);  // alignment only: weights stay packed
  EXPECT_GT(PlanMemory(**file, *d, *device, 128).scratch, use.scratch);
}

TEST(ModelTest, LoadingReportsProgressAndCanBeCancelled) {
  const std::string bytes = test::BuildGguf({});
  const auto file = test::OpenBytes(bytes);
  ASSERT_TRUE(file);
  const auto device = Cpu(kernels::ActType::kI8);
  uint64_t last = 0, total = 0;
  const auto model = Model::Load(**file, *device, {.max_rows = 8, .progress = [&](uint64_t d, uint64_t t) {
                                                     EXPECT_GT(d, last);
                                                     last = d, total = t;
                                                     return true;
                                                   }});
  ASSERT_TRUE(model);
  EXPECT_LE(last, total);
  const auto cancelled =
      Model::Load(**file, *device, {.max_rows = 8, .progress = [](uint64_t, uint64_t) { return false; }});
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code(), ErrorCode::kCancelled);
  EXPECT_EQ(cancelled.error().message(), "test.gguf: loading was cancelled");
}

}  // namespace
}  // namespace bonsai::model
