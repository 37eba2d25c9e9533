// A model that says what it is told: a real file for the real engine whose next token follows from the last one alone.
// Its chat template ends in a cue, a control token that it chooses by a word in the last message, and from there a
// chain of tokens leads to <|im_end|>. So a test can ask a server for reasoning, tool calls or a long answer and know
// every byte.
//
// How: embeddings are random vectors of ±1, which are nearly orthogonal; attention and feed-forward add nothing; the
// row of the LM head of a token is the sum of the embeddings of those that it follows. No test framework here.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/check.h"
#include "formats/gguf.h"
#include "quant/types.h"
#include "text/test_vocabulary.h"

namespace bonsai::test {

/// What is said when the last message holds `word`. No piece may occur twice in all scripts: each is a token.
struct Script {
  std::string word;
  std::vector<std::string> pieces;
};

/// hello (anything else), think, weather and both (tool calls), (a tool's answer), count (" w1" to " w2000"), tree (an
/// emoji of four tokens), markdown, hostile (Markdown and HTML that wants to run and to load).
inline std::vector<Script> DefaultScripts() {
  std::vector<std::string> count;
  for (int i = 1; i <= 2000; i++) count.push_back(" w" + std::to_string(i));
  return {
      {"hello", {"Hello", "! How", " can I", " help", " you", "?"}},
      {"think", {"<think>", "\nLet me", " see.", "\n</think>", "\n\nThe answer", " is 42."}},
      {"weather",
       {"<tool_call>", "\n{\"name\": \"get_wea", "ther\", \"arguments\": ", "{\"city\": \"Par", "is\"}",
        "}\n</tool_call>"}},
      {"both",
       {"Two calls.\n", "<tool_call>\n{\"name\": \"get_time\", ", "\"arguments\": {\"zone\": \"UTC\"}}\n</tool_call>\n",
        "<tool_call>\n{\"name\": \"get_date\", ", "\"arguments\": {}}\n</tool_call>"}},
      {"tool-result", {"It is", " sunny in", " Paris."}},
      {"count", std::move(count)},
      {"tree", {"A tree: ", "\xf0", "\x9f", "\x8c", "\xb3", "."}},
      {"markdown",
       {"# Title\n\n", "Some **bold", "** text and `co", "de`.\n\n```cpp\nint", " main() {}\n```\n", "\n- item"}},
      {"hostile",
       {"![pixel](https://evil.", "example/a.png) <img src=\"https://evil.example/b\" onerror",
        "=\"window.hacked=1\">\n", "<script>window.hacked=2",
        "</script><iframe src=\"https://evil.example/c\"></iframe>\n\n", "[click](java",
        "script:window.hacked=3) [page](https://evil.example/d)\n\n```\"><script>window", ".hacked=4</script>\n```\n\n",
        "<style>body{background:url(https://evil.example/e)}</style>\n\nThe end."}},
  };
}

namespace script_model {

inline constexpr int kWidth = 256;

/// ChatML, then the cue.
inline std::string Template(const std::vector<Script>& scripts) {
  std::string t =
      "{%- if tools %}{{ '<|im_start|>tools\\n' }}{%- for t in tools %}{{ t | tojson }}{%- endfor %}{{ '<|im_end|>\\n' "
      "}}"
      "{%- endif %}"
      "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content }}"
      "{%- for c in m.tool_calls or [] %}{{ c.function.name }} {{ c.function.arguments | tojson }}{%- endfor %}"
      "{{ '<|im_end|>\\n' }}{%- endfor %}"
      "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
      "{%- set last = messages[-1] %}{%- if last.role == 'tool' %}<|cue:tool-result|>";
  for (size_t i = 1; i < scripts.size(); i++)
    t += "{%- elif '" + scripts[i].word + "' in last.content %}<|cue:" + scripts[i].word + "|>";
  return t + "{%- else %}<|cue:" + scripts[0].word + "|>{%- endif %}{%- endif %}";
}

struct Parts {
  text::TestVocabulary vocabulary;
  std::map<int32_t, std::vector<int32_t>> before;  ///< token → those that it follows
};

inline Parts Build(const std::vector<Script>& scripts) {
  Parts p;
  text::TestVocabulary& v = p.vocabulary;
  std::map<std::string, int32_t> ids;
  for (int b = 0; b < 256; b++) ids[std::string(1, static_cast<char>(b))] = v.Add(text::ByteChar(b));
  v.Add("<|im_start|>", 3);
  const int32_t end = v.Add("<|im_end|>", 3);
  v.ids = {{"tokenizer.ggml.eos_token_id", end}};
  for (const Script& script : scripts) {
    int32_t last = v.Add("<|cue:" + script.word + "|>", 3);
    for (const std::string& piece : script.pieces) {
      const bool tag = piece == "<think>" || piece == "<tool_call>";
      if (piece.size() > 1) BONSAI_CHECK(ids.count(piece) == 0);
      if (ids.count(piece) == 0) ids[piece] = tag ? v.Add(piece, 4) : v.Add(text::Alphabet(piece));
      p.before[ids[piece]].push_back(last);
      last = ids[piece];
    }
    p.before[end].push_back(last);
  }
  v.chat_template = Template(scripts);
  return p;
}

}  // namespace script_model

/// The file's bytes: GGUF, qwen3, F32.
inline std::string BuildScriptModel(const std::vector<Script>& scripts = DefaultScripts(), int32_t context = 8192) {
  using formats::GgufTensor;
  const script_model::Parts parts = script_model::Build(scripts);
  const auto vocab = static_cast<uint64_t>(parts.vocabulary.tokens.size());
  constexpr uint64_t d = script_model::kWidth;
  formats::Metadata m = parts.vocabulary.Build();
  const auto add = [&](const std::string& key, formats::ValueKind kind, auto value) {
    formats::Value v;
    v.kind = kind;
    v.data = std::move(value);
    BONSAI_CHECK(m.Add(key, std::move(v)).ok());
  };
  add("general.architecture", formats::ValueKind::kString, std::string("qwen3"));
  add("general.name", formats::ValueKind::kString, std::string("script"));
  for (const auto& [key, n] : std::map<std::string, int64_t>{{"block_count", 1},
                                                             {"context_length", context},
                                                             {"embedding_length", d},
                                                             {"feed_forward_length", 128},
                                                             {"attention.head_count", 2},
                                                             {"attention.head_count_kv", 1},
                                                             {"attention.key_length", 32},
                                                             {"attention.value_length", 32}})
    add("qwen3." + key, formats::ValueKind::kU32, n);
  add("qwen3.attention.layer_norm_rms_epsilon", formats::ValueKind::kF32, 1e-6);
  add("qwen3.rope.freq_base", formats::ValueKind::kF32, 10000.0);

  const quant::Type* f32 = quant::FindByName("F32");
  const std::vector<GgufTensor> tensors = {
      {"token_embd.weight", {vocab, d}, f32},     {"output.weight", {vocab, d}, f32},
      {"output_norm.weight", {d}, f32},           {"blk.0.attn_norm.weight", {d}, f32},
      {"blk.0.ffn_norm.weight", {d}, f32},        {"blk.0.attn_q_norm.weight", {32}, f32},
      {"blk.0.attn_k_norm.weight", {32}, f32},    {"blk.0.attn_q.weight", {64, d}, f32},
      {"blk.0.attn_k.weight", {32, d}, f32},      {"blk.0.attn_v.weight", {32, d}, f32},
      {"blk.0.attn_output.weight", {d, 64}, f32}, {"blk.0.ffn_gate.weight", {128, d}, f32},
      {"blk.0.ffn_up.weight", {128, d}, f32},     {"blk.0.ffn_down.weight", {d, 128}, f32}};
  std::mt19937_64 rng(1);
  std::vector<float> embeddings(vocab * d);
  for (float& x : embeddings) x = rng() % 2 == 0 ? 1.0f : -1.0f;
  const auto values_of = [&](const GgufTensor& t) {
    if (t.name == "token_embd.weight") return embeddings;
    uint64_t n = 1;
    for (const uint64_t size : t.shape) n *= size;
    std::vector<float> values(n, t.shape.size() == 1 ? 1.0f : 0.0f);
    if (t.name != "output.weight") return values;
    // Logits: 25.6 for the right token, about 1.6 · normal for the others.
    for (const auto& [token, before] : parts.before)
      for (const int32_t b : before)
        for (uint64_t i = 0; i < d; i++)
          values[static_cast<uint64_t>(token) * d + i] += 0.1f * embeddings[static_cast<uint64_t>(b) * d + i];
    return values;
  };
  std::string file;
  const Status status = formats::WriteGguf(
      m, tensors,
      [&](size_t i, const formats::GgufSink& emit) -> Status {
        const std::vector<float> values = values_of(tensors[i]);
        return emit(std::as_bytes(std::span(values)));
      },
      [&](std::span<const std::byte> bytes) -> Status {
        file.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return {};
      });
  BONSAI_CHECK(status.ok());
  return file;
}

}  // namespace bonsai::test
