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

/// Weights of one block. An architecture uses what it has; the rest stays null.
struct LayerWeights {
  VectorPtr attn_norm, q_norm, k_norm, ffn_norm;
  MatrixPtr wq, wk, wv, wo, gate, up, down;
};

struct Weights {
  MatrixPtr embed;
  VectorPtr out_norm;
  MatrixPtr out;  ///< Null when tied to the embedding.
  std::vector<LayerWeights> layers;
  const kernels::Matrix& head() const { return out ? *out : *embed; }
};

/// One tensor of the architecture's table: its name in the file, its shape, where it goes.
struct WeightSlot {
  std::string name;
  int64_t rows = 1;
  int64_t cols = 0;
  MatrixPtr* matrix = nullptr;  ///< Exactly one of the two is set.
  VectorPtr* vector = nullptr;
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
  /// Metadata → config; shapes are confirmed afterwards against `tensors`.
  Result<Config> (*parse)(const formats::ModelFile& file);
  /// Every tensor the architecture has, each once, with the shape that the config implies.
  std::vector<WeightSlot> (*tensors)(const Config& config, Weights& weights);
  /// x ← x + attention(x), then x ← x + feed-forward(x).
  void (*block)(const BlockContext& b);
};

}  // namespace bonsai::model
