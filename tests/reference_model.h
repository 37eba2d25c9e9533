// A second opinion: the forward pass of each architecture in plain double loops, written from the papers and not from
// src/. One sequence, all positions at once, no cache. Slow; for small models only.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "formats/model_file.h"
#include "tests/synthetic.h"

namespace bonsai::test {

using Row = std::vector<double>;

class ReferenceModel {
 public:
  ReferenceModel(const formats::ModelFile& file, const SyntheticModel& shape) : file_(file), s_(shape) {}

  /// Logits after each token.
  std::vector<Row> Forward(const std::vector<int32_t>& ids) const {
    std::vector<Row> x;
    const Row embed = Load("token_embd.weight");
    for (const int32_t id : ids) x.emplace_back(embed.begin() + id * s_.d_model, embed.begin() + (id + 1) * s_.d_model);
    for (int32_t l = 0; l < s_.layers; l++) Block("blk." + std::to_string(l) + ".", x);
    std::vector<Row> logits;
    for (const Row& row : x)
      logits.push_back(Times(s_.tied ? "token_embd.weight" : "output.weight", Norm(row, Load("output_norm.weight"))));
    return logits;
  }

 private:
  Row Load(const std::string& name) const {
    const formats::TensorInfo* t = file_.FindTensor(name);
    std::vector<std::byte> raw(t->bytes);
    EXPECT_TRUE(file_.ReadRows(*t, 0, t->rows(), raw));
    std::vector<float> values(t->elements());
    t->type->decode(raw.data(), values.data(), static_cast<int64_t>(values.size()));
    return {values.begin(), values.end()};
  }

  Row Times(const std::string& name, const Row& x) const {
    const Row w = Load(name);
    Row y(w.size() / x.size());
    for (size_t r = 0; r < y.size(); r++)
      for (size_t c = 0; c < x.size(); c++) y[r] += w[r * x.size() + c] * x[c];
    return y;
  }

  /// A layer's matrix "attn_q", with its scale and bias where the file has them.
  Row Layer(const std::string& name, const Row& x) const {
    Row y = Times(name + ".weight", x);
    const Row scale = file_.FindTensor(name + ".scale") != nullptr ? Load(name + ".scale") : Row{1};
    const Row bias = file_.FindTensor(name + ".bias") != nullptr ? Load(name + ".bias") : Row(y.size());
    for (size_t r = 0; r < y.size(); r++) y[r] = y[r] * scale[0] + bias[r];
    return y;
  }

  static Row Norm(const Row& x, const Row& gain) {
    double squares = 0;
    for (const double v : x) squares += v * v;
    const double scale = 1 / std::sqrt(squares / static_cast<double>(x.size()) + double{1e-6f});
    Row y;
    for (size_t i = 0; i < x.size(); i++) y.push_back(x[i] * scale * gain[i]);
    return y;
  }

  /// Angle of a pair at a position, and the factor on cosine and sine. YaRN as in arXiv 2309.00071, appendix A.
  double Angle(int pos, int pair) const {
    const int width = s_.k_width;
    double theta = std::pow(s_.rope_base, -2.0 * pair / width);
    if (s_.extras && s_.arch == "llama") theta /= Load("rope_freqs.weight")[static_cast<size_t>(pair)];
    if (s_.yarn_factor <= 0) return pos * theta;
    const auto boundary = [&](double turns) {
      return width * std::log(s_.yarn_original / (turns * 2 * M_PI)) / (2 * std::log(s_.rope_base));
    };
    const double low = std::max(0.0, std::floor(boundary(32))), high = std::min(width - 1.0, std::ceil(boundary(1)));
    double keep = 1 - (pair - low) / std::max(0.001, high - low);
    keep = keep < 0 ? 0 : keep > 1 ? 1 : keep;
    return pos * (theta * keep + theta / s_.yarn_factor * (1 - keep));
  }

  Row Rotate(const Row& head, int pos) const {
    const double m = s_.yarn_factor > 0 ? 0.1 * std::log(s_.yarn_factor) + 1 : 1;
    const size_t half = head.size() / 2;
    Row out(head.size());
    for (size_t i = 0; i < half; i++) {
      const double a = Angle(pos, static_cast<int>(i)), c = std::cos(a) * m, s = std::sin(a) * m;
      const size_t first = s_.Interleaved() ? 2 * i : i, second = s_.Interleaved() ? 2 * i + 1 : i + half;
      out[first] = head[first] * c - head[second] * s;
      out[second] = head[second] * c + head[first] * s;
    }
    return out;
  }

  static Row Head(const Row& x, int h, int width) { return {x.begin() + h * width, x.begin() + (h + 1) * width}; }

  void Block(const std::string& b, std::vector<Row>& x) const {
    const auto head_norm = [&](const Row& head, const char* gain) {
      return s_.HeadNorms() ? Norm(head, Load(b + gain)) : head;
    };
    std::vector<std::vector<Row>> keys, values;
    for (size_t t = 0; t < x.size(); t++) {
      const Row h = Norm(x[t], Load(b + "attn_norm.weight"));
      const Row q = Layer(b + "attn_q", h), k = Layer(b + "attn_k", h), v = Layer(b + "attn_v", h);
      keys.emplace_back(), values.emplace_back();
      for (int g = 0; g < s_.kv_heads; g++) {
        keys[t].push_back(Rotate(head_norm(Head(k, g, s_.k_width), "attn_k_norm.weight"), static_cast<int>(t)));
        values[t].push_back(Head(v, g, s_.v_width));
      }
      Row mixed;
      for (int i = 0; i < s_.heads; i++) {
        const Row query = Rotate(head_norm(Head(q, i, s_.k_width), "attn_q_norm.weight"), static_cast<int>(t));
        const Row head = Mix(query, keys, values, static_cast<size_t>(i / (s_.heads / s_.kv_heads)));
        mixed.insert(mixed.end(), head.begin(), head.end());
      }
      if (s_.SubNorms()) mixed = Norm(mixed, Load(b + "attn_sub_norm.weight"));
      const Row out = Layer(b + "attn_output", mixed);
      for (size_t i = 0; i < out.size(); i++) x[t][i] += out[i];
    }
    for (Row& row : x) {
      const Row h = Norm(row, Load(b + "ffn_norm.weight"));
      Row gate = Layer(b + "ffn_gate", h);
      const Row up = Layer(b + "ffn_up", h);
      for (size_t i = 0; i < gate.size(); i++) {
        const double g = gate[i];
        gate[i] = (s_.SquaredRelu() ? (g > 0 ? g * g : 0) : g / (1 + std::exp(-g))) * up[i];
      }
      if (s_.SubNorms()) gate = Norm(gate, Load(b + "ffn_sub_norm.weight"));
      const Row out = Layer(b + "ffn_down", gate);
      for (size_t i = 0; i < out.size(); i++) row[i] += out[i];
    }
  }

  Row Mix(const Row& query, const std::vector<std::vector<Row>>& keys, const std::vector<std::vector<Row>>& values,
          size_t g) const {
    Row scores;
    double sum = 0;
    for (const auto& key : keys) {
      double dot = 0;
      for (size_t i = 0; i < query.size(); i++) dot += query[i] * key[g][i];
      scores.push_back(std::exp(dot / std::sqrt(s_.k_width)));
      sum += scores.back();
    }
    Row out(static_cast<size_t>(s_.v_width));
    for (size_t t = 0; t < values.size(); t++)
      for (size_t i = 0; i < out.size(); i++) out[i] += scores[t] / sum * values[t][g][i];
    return out;
  }

  const formats::ModelFile& file_;
  const SyntheticModel& s_;
};

}  // namespace bonsai::test
