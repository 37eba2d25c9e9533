// What an architecture file provides, and what it works with. One file in model/arch/ and one row in registry.cc each.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/model_file.h"
#include "kernels/ops.h"
#include "model/config.h"

namespace bonsai::model {

using MatrixPtr = std::unique_ptr<kernels::Matrix>;
using VectorPtr = std::unique_ptr<kernels::Vector>;

/// A linear layer: y = scale · (x · wᵀ) + bias.
struct Linear {
  MatrixPtr w;
  VectorPtr bias;      ///< Null: none.
  float scale = 1.0f;  ///< Of all weights, in files that keep it as a tensor of its own.
  kernels::Product To(kernels::Tensor& out) const { return {w.get(), &out, scale, bias.get()}; }
};

/// Weights of one block. An architecture uses what it has; the rest stays null.
struct LayerWeights {
  VectorPtr attn_norm, q_norm, k_norm, attn_sub_norm, ffn_norm, ffn_sub_norm;
  Linear wq, wk, wv, wo, gate, up, down;
};

struct Weights {
  MatrixPtr embed;
  VectorPtr out_norm;
  MatrixPtr out;  ///< Null when tied to the embedding.
  std::vector<LayerWeights> layers;
  std::vector<float> rope_factors;  ///< Each pair's angle speed is divided by its own; empty: none.
  const kernels::Matrix& head() const { return out ? *out : *embed; }
};

/// One tensor of the architecture's table: its name in the file, its shape, where it goes.
struct WeightSlot {
  std::string name;
  int64_t rows = 1;
  int64_t cols = 0;
  MatrixPtr* matrix = nullptr;  ///< Exactly one of the three is set.
  VectorPtr* vector = nullptr;
  float* host = nullptr;  ///< `cols` finite floats that are not needed on the device.
  bool optional = false;
};

/// Activations of one forward pass, max_rows rows each. Shared by all layers.
struct Scratch {
  std::unique_ptr<kernels::Tensor> x;         ///< [T, D] residual stream.
  std::unique_ptr<kernels::Tensor> q, k, v;   ///< [T, H·Dh], [T, Hkv·Dh], [T, Hkv·Dv]
  std::unique_ptr<kernels::Tensor> gate, up;  ///< [T, F]
  std::unique_ptr<kernels::Tensor> rope;      ///< [T, Dh] cosines | sines.
  std::unique_ptr<kernels::Act> act;          ///< [T, D] input of q, k, v and of gate, up.
  std::unique_ptr<kernels::Act> attn;         ///< [T, H·Dv] input of wo.
  std::unique_ptr<kernels::Act> ff;           ///< [T, F] input of down.
  std::unique_ptr<kernels::Act> head;         ///< [kMaxLogitRows, D] input of the LM head.
};

/// What a block's forward pass works with.
struct BlockContext {
  kernels::Device& device;
  const Config& config;
  const LayerWeights& w;
  Scratch& s;
  kernels::KvView kv;  ///< Of this layer.
  int64_t rows;
};

struct Arch {
  std::string_view name;  ///< Value of general.architecture.
  /// Metadata `<name>.*` → config; shapes are confirmed afterwards against `tensors`.
  Result<Config> (*parse)(const formats::ModelFile& file, const std::string& name);
  /// Every tensor the architecture has, each once, with the shape that the config implies.
  std::vector<WeightSlot> (*tensors)(const Config& config, Weights& weights);
  /// x ← x + attention(x), then x ← x + feed-forward(x).
  void (*block)(const BlockContext& b);
};

}  // namespace bonsai::model
