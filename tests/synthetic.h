// Small models with random weights, made in memory: any architecture, shape and weight type.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "quant/types.h"

namespace bonsai::test {

struct SyntheticModel {
  std::string arch = "qwen3";
  int32_t layers = 2, d_model = 128, heads = 4, kv_heads = 2, k_width = 32, v_width = 32, d_ff = 256, vocab = 300;
  int32_t context = 512;
  bool tied = true;
  std::string type = "Q1_0";
  bool extras =
      false;  ///< What the architecture may have: a scale for each matrix (bitnet), frequency factors (llama).
  std::string activation;  ///< hidden_activation; empty: the architecture's own.
  float rope_base = 10000;
  float yarn_factor = 0;  ///< 0: no scaling.
  uint32_t yarn_original = 64;
  uint64_t seed = 1;
  /// Changes metadata or drops/reshapes/adds tensors before writing, for files that are wrong.
  std::function<void(formats::Metadata&, std::vector<formats::GgufTensor>&)> edit;

  // What tells the architectures apart.
  bool HeadNorms() const { return arch == "qwen3"; }
  bool Biases() const { return arch == "qwen2"; }
  bool Interleaved() const { return arch == "llama"; }
  bool SubNorms() const { return arch.starts_with("bitnet"); }
  bool SquaredRelu() const { return activation.empty() ? SubNorms() && arch != "bitnet" : activation == "relu2"; }
};

inline formats::Value Int(int64_t v) { return {.kind = formats::ValueKind::kU32, .data = v}; }
inline formats::Value Float(double v) { return {.kind = formats::ValueKind::kF32, .data = v}; }
inline formats::Value Text(std::string v) { return {.kind = formats::ValueKind::kString, .data = std::move(v)}; }
inline formats::Value Texts(const std::vector<std::string>& v) {
  formats::StringList list;
  for (const std::string& s : v) list.Add(s);
  return {.kind = formats::ValueKind::kArray,
          .element = formats::ValueKind::kString,
          .data = formats::Array(std::move(list))};
}
inline formats::Value Ints(std::vector<int64_t> v) {
  return {
      .kind = formats::ValueKind::kArray, .element = formats::ValueKind::kI32, .data = formats::Array(std::move(v))};
}

/// The printable character that stands for a byte in byte-level BPE vocabularies, as UTF-8.
inline std::string ByteToken(int byte) {
  const auto shown = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
  int code = byte;
  if (!shown(byte)) {
    code = 256;
    for (int b = 0; b < byte; b++) code += shown(b) ? 0 : 1;
  }
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 63))};
}

inline void AddTokenizer(formats::Metadata& m, int32_t vocab) {
  std::vector<std::string> tokens;
  std::vector<int64_t> kinds;
  for (int b = 0; b < 256; b++) tokens.push_back(ByteToken(b)), kinds.push_back(1);
  tokens.push_back("ab"), kinds.push_back(1);
  while (static_cast<int32_t>(tokens.size()) < vocab - 1)
    tokens.push_back("<pad" + std::to_string(tokens.size()) + ">"), kinds.push_back(5);
  tokens.push_back("<|end|>"), kinds.push_back(3);
  ASSERT_TRUE(m.Add("tokenizer.ggml.model", Text("gpt2")));
  ASSERT_TRUE(m.Add("tokenizer.ggml.pre", Text("qwen2")));
  ASSERT_TRUE(m.Add("tokenizer.ggml.tokens", Texts(tokens)));
  ASSERT_TRUE(m.Add("tokenizer.ggml.token_type", Ints(kinds)));
  ASSERT_TRUE(m.Add("tokenizer.ggml.merges", Texts({"a b"})));
  ASSERT_TRUE(m.Add("tokenizer.ggml.eos_token_id", Int(vocab - 1)));
}

inline formats::Metadata MetadataOf(const SyntheticModel& s) {
  formats::Metadata m("synthetic");
  const auto add = [&](const std::string& key, formats::Value v) { ASSERT_TRUE(m.Add(key, std::move(v))); };
  add("general.architecture", Text(s.arch));
  add("general.name", Text("synthetic"));
  add(s.arch + ".block_count", Int(s.layers));
  add(s.arch + ".context_length", Int(s.context));
  add(s.arch + ".embedding_length", Int(s.d_model));
  add(s.arch + ".feed_forward_length", Int(s.d_ff));
  add(s.arch + ".attention.head_count", Int(s.heads));
  add(s.arch + ".attention.head_count_kv", Int(s.kv_heads));
  add(s.arch + ".attention.key_length", Int(s.k_width));
  add(s.arch + ".attention.value_length", Int(s.v_width));
  add(s.arch + ".attention.layer_norm_rms_epsilon", Float(1e-6f));
  add(s.arch + ".rope.freq_base", Float(s.rope_base));
  if (s.yarn_factor > 0) {
    add(s.arch + ".rope.scaling.type", Text("yarn"));
    add(s.arch + ".rope.scaling.factor", Float(s.yarn_factor));
    add(s.arch + ".rope.scaling.original_context_length", Int(s.yarn_original));
  }
  if (!s.activation.empty()) add(s.arch + ".hidden_activation", Text(s.activation));
  AddTokenizer(m, s.vocab);
  return m;
}

/// The tensors that not every architecture has.
inline void AddOwnTensors(const SyntheticModel& s, const std::string& b, std::vector<formats::GgufTensor>& t) {
  const quant::Type* f32 = quant::FindByName("F32");
  const auto add = [&](const char* name, int32_t size) { t.push_back({b + name, {static_cast<uint64_t>(size)}, f32}); };
  if (s.HeadNorms()) add("attn_q_norm.weight", s.k_width), add("attn_k_norm.weight", s.k_width);
  if (s.Biases()) {
    add("attn_q.bias", s.heads * s.k_width);
    add("attn_k.bias", s.kv_heads * s.k_width);
    add("attn_v.bias", s.kv_heads * s.v_width);
  }
  if (s.SubNorms()) add("attn_sub_norm.weight", s.heads * s.v_width), add("ffn_sub_norm.weight", s.d_ff);
  if (s.SubNorms() && s.extras)
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"})
      add((std::string(name) + ".scale").c_str(), 1);
}

inline std::vector<formats::GgufTensor> TensorsOf(const SyntheticModel& s) {
  const quant::Type* w = quant::FindByName(s.type);
  const quant::Type* f32 = quant::FindByName("F32");
  const auto u = [](int32_t v) { return static_cast<uint64_t>(v); };
  std::vector<formats::GgufTensor> t = {{"token_embd.weight", {u(s.vocab), u(s.d_model)}, w},
                                        {"output_norm.weight", {u(s.d_model)}, f32}};
  if (!s.tied) t.push_back({"output.weight", {u(s.vocab), u(s.d_model)}, w});
  for (int32_t i = 0; i < s.layers; i++) {
    const std::string b = "blk." + std::to_string(i) + ".";
    t.push_back({b + "attn_norm.weight", {u(s.d_model)}, f32});
    t.push_back({b + "ffn_norm.weight", {u(s.d_model)}, f32});
    t.push_back({b + "attn_q.weight", {u(s.heads * s.k_width), u(s.d_model)}, w});
    t.push_back({b + "attn_k.weight", {u(s.kv_heads * s.k_width), u(s.d_model)}, w});
    t.push_back({b + "attn_v.weight", {u(s.kv_heads * s.v_width), u(s.d_model)}, w});
    t.push_back({b + "attn_output.weight", {u(s.d_model), u(s.heads * s.v_width)}, w});
    t.push_back({b + "ffn_gate.weight", {u(s.d_ff), u(s.d_model)}, w});
    t.push_back({b + "ffn_up.weight", {u(s.d_ff), u(s.d_model)}, w});
    t.push_back({b + "ffn_down.weight", {u(s.d_model), u(s.d_ff)}, w});
    AddOwnTensors(s, b, t);
  }
  if (s.extras && s.arch == "llama") t.push_back({"rope_freqs.weight", {u(s.k_width / 2)}, f32});
  return t;
}

/// Random weights of about the size that keeps activations near 1: norms, scales and factors around 1, biases around 0,
/// matrices of std 1/sqrt(columns).
inline std::vector<std::byte> RandomTensor(const formats::GgufTensor& t, std::mt19937_64& rng) {
  uint64_t n = 1;
  for (const uint64_t d : t.shape) n *= d;
  const bool vector = t.shape.size() == 1, bias = t.name.ends_with(".bias");
  std::normal_distribution<float> normal(0, vector ? 0.1f : 1 / std::sqrt(static_cast<float>(t.shape.back())));
  std::vector<float> values(n);
  for (float& v : values) v = normal(rng) + (vector && !bias ? 1.0f : 0.0f);
  std::vector<std::byte> out(n / static_cast<uint64_t>(t.type->block_weights) *
                             static_cast<uint64_t>(t.type->block_bytes));
  t.type->encode(values.data(), out.data(), static_cast<int64_t>(n));
  return out;
}

/// The file's bytes.
inline std::string BuildGguf(const SyntheticModel& s) {
  formats::Metadata metadata = MetadataOf(s);
  std::vector<formats::GgufTensor> tensors = TensorsOf(s);
  if (s.edit) s.edit(metadata, tensors);
  std::mt19937_64 rng(s.seed);
  std::string file;
  const Status status = formats::WriteGguf(
      metadata, tensors,
      [&](size_t i, const formats::GgufSink& emit) -> Status { return emit(RandomTensor(tensors[i], rng)); },
      [&](std::span<const std::byte> bytes) -> Status {
        file.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return {};
      });
  EXPECT_TRUE(status) << status.error().message();
  return file;
}

/// Opens the bytes of a file; they must outlive the model.
inline Result<std::unique_ptr<formats::ModelFile>> OpenBytes(const std::string& bytes) {
  return formats::OpenModel(MemorySource("test.gguf", std::as_bytes(std::span(bytes))));
}

}  // namespace bonsai::test
