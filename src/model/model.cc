#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "base/check.h"
#include "model/registry.h"

namespace bonsai::model {
namespace {

std::string ShapeText(std::span<const uint64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); i++) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

/// Does the file's tensor have the shape that the architecture's table expects?
Status CheckTensor(const formats::ModelFile& file, const WeightSlot& slot, const formats::TensorInfo& t) {
  std::vector<uint64_t> want;
  if (slot.matrix != nullptr) want.push_back(static_cast<uint64_t>(slot.rows));
  want.push_back(static_cast<uint64_t>(slot.cols));
  if (t.shape != want)
    return Error(ErrorCode::kCorrupt, "{}: tensor '{}' has shape {}, but the metadata say {} (rows, columns)",
                 file.name(), slot.name, ShapeText(t.shape), ShapeText(want));
  if (slot.matrix == nullptr && !t.type->is_float)
    return Error(ErrorCode::kUnsupported, "{}: tensor '{}' is {}; a vector must be F32, F16 or BF16", file.name(),
                 slot.name, t.type->name);
  return {};
}

/// Tensors that files carry although the architecture's maths does not need them. (Llama's does, and lists this one.)
bool IsIgnorable(std::string_view name) { return name == "rope_freqs.weight"; }

Status CheckTensors(const formats::ModelFile& file, std::span<const WeightSlot> slots) {
  std::set<std::string_view> known;
  for (const WeightSlot& slot : slots) {
    known.insert(slot.name);
    const formats::TensorInfo* t = file.FindTensor(slot.name);
    if (t == nullptr && slot.optional) continue;
    if (t == nullptr) return Error(ErrorCode::kCorrupt, "{}: tensor '{}' is missing", file.name(), slot.name);
    BONSAI_RETURN_IF_ERROR(CheckTensor(file, slot, *t));
  }
  for (const formats::TensorInfo& t : file.tensors())
    if (!known.contains(t.name) && !IsIgnorable(t.name))
      return Error(ErrorCode::kUnsupported,
                   "{}: tensor '{}' is not part of this architecture; ignoring it would compute "
                   "something else",
                   file.name(), t.name);
  return {};
}

kernels::MatrixSpec SpecOf(const WeightSlot& slot, const formats::TensorInfo& t) {
  return {.type = t.type, .rows = slot.rows, .cols = slot.cols};
}

Result<std::vector<float>> ReadFloats(const formats::ModelFile& file, const formats::TensorInfo& t) {
  std::vector<std::byte> raw(t.bytes);
  BONSAI_RETURN_IF_ERROR(file.ReadRows(t, 0, t.rows(), raw));
  std::vector<float> values(t.elements());
  t.type->decode(raw.data(), values.data(), static_cast<int64_t>(values.size()));
  for (const float v : values)
    if (!std::isfinite(v))
      return Error(ErrorCode::kCorrupt, "{}: tensor '{}' holds {}, which is not finite", file.name(), t.name, v);
  return values;
}

/// Device::LoadMatrix, whose errors name the file and the tensor: those of `read` do so already.
Result<std::unique_ptr<kernels::Matrix>> LoadMatrix(kernels::Device& device, const kernels::MatrixSpec& spec,
                                                    const formats::ModelFile& file, const formats::TensorInfo& t,
                                                    const kernels::ReadRowsFn& read) {
  std::mutex mutex;  // of `reading`
  Status reading;
  const auto remember = [&](int64_t row, int64_t rows, std::span<std::byte> out) {
    Status status = read(row, rows, out);
    if (!status) {
      const std::lock_guard lock(mutex);
      reading = status;
    }
    return status;
  };
  auto matrix = device.LoadMatrix(spec, remember);
  if (matrix) return matrix;
  if (!reading) return reading.error();
  return matrix.error().WithPrefix(fmt::format("{}: tensor '{}'", file.name(), t.name));
}

/// The activation buffers of a config: the one list that allocation and the memory plan share.
struct TensorShape {
  std::unique_ptr<kernels::Tensor> Scratch::*where;
  int64_t cols;
};
std::vector<TensorShape> TensorShapes(const Config& c) {
  const int64_t Q = int64_t{c.heads} * c.k_width, K = int64_t{c.kv_heads} * c.k_width;
  return {{&Scratch::x, c.d_model},   {&Scratch::q, Q},
          {&Scratch::k, K},           {&Scratch::v, int64_t{c.kv_heads} * c.v_width},
          {&Scratch::gate, c.d_ff},   {&Scratch::up, c.d_ff},
          {&Scratch::rope, c.k_width}};
}

struct ActShape {
  std::unique_ptr<kernels::Act> Scratch::*where;
  int64_t max_rows, cols;
  std::vector<const kernels::Matrix*> consumers;
};
/// `w` may be empty (when planning): then there are no consumers.
std::vector<ActShape> ActShapes(const Config& c, const Weights& w, int64_t max_rows) {
  std::vector<ActShape> acts = {{&Scratch::act, max_rows, c.d_model, {}},
                                {&Scratch::attn, max_rows, int64_t{c.heads} * c.v_width, {}},
                                {&Scratch::ff, max_rows, c.d_ff, {}},
                                {&Scratch::head, std::min(max_rows, kMaxLogitRows), c.d_model, {}}};
  for (const LayerWeights& l : w.layers) {
    for (const Linear* m : {&l.wq, &l.wk, &l.wv, &l.gate, &l.up})
      if (m->w) acts[0].consumers.push_back(m->w.get());
    if (l.wo.w) acts[1].consumers.push_back(l.wo.w.get());
    if (l.down.w) acts[2].consumers.push_back(l.down.w.get());
  }
  if (w.embed) acts[3].consumers.push_back(&w.head());
  return acts;
}

/// Llama 3.1's slowing of single pairs.
Status DivideSpeeds(const std::string& source, std::span<const float> factors, std::span<float> inv_freq) {
  BONSAI_CHECK(factors.empty() || factors.size() == inv_freq.size());
  for (size_t i = 0; i < factors.size(); i++) {
    if (!(factors[i] > 0))
      return Error(ErrorCode::kCorrupt, "{}: tensor 'rope_freqs.weight' holds {}, which must be positive", source,
                   factors[i]);
    inv_freq[i] /= factors[i];
  }
  return {};
}

/// Weights that are turned by a Hadamard matrix look like any others.
Status CheckNotRotated(const formats::Metadata& m) {
  constexpr std::string_view kPrefix = "prism.hadamard.";
  for (const auto& [key, value] : m.entries())
    if (key.starts_with(kPrefix))
      return Error(ErrorCode::kUnsupported,
                   "{}: key {} says that weights are stored after a Hadamard rotation, which is not supported (without "
                   "it the text would be fluent nonsense); use the file that is not rotated",
                   m.source(), formats::Quote(key));
  return {};
}

/// Why there is no such architecture.
ErrorValue UnknownArch(const std::string& source, std::string_view name) {
  const std::string_view what = WhatIsRefused(name);
  return Error(ErrorCode::kUnsupported, "{}: architecture {}{} is not supported (supported: {})", source,
               formats::Quote(name), what.empty() ? "" : fmt::format(" ({})", what), ArchNames());
}

}  // namespace

Result<Description> Describe(const formats::ModelFile& file) {
  BONSAI_ASSIGN(const std::string_view name, file.metadata().GetString("general.architecture"));
  const Arch* arch = FindArch(name);
  if (arch == nullptr) return UnknownArch(file.name(), name);
  BONSAI_RETURN_IF_ERROR(CheckNotRotated(file.metadata()));
  Description d{.arch = arch, .config = {}};
  BONSAI_ASSIGN(d.config, arch->parse(file, std::string(arch->name)));
  // A table far longer than the file's would be built only to find its second layer missing.
  if (static_cast<size_t>(d.config.layers) > file.tensors().size())
    return Error(ErrorCode::kCorrupt, "{}: metadata say {} layers, but the file has only {} tensors", file.name(),
                 d.config.layers, file.tensors().size());
  Weights unused;
  BONSAI_RETURN_IF_ERROR(CheckTensors(file, arch->tensors(d.config, unused)));
  return d;
}

MemoryUse PlanMemory(const formats::ModelFile& file, const Description& d, const kernels::Device& device,
                     int64_t max_rows) {
  MemoryUse use;
  Weights unused;
  for (const WeightSlot& slot : d.arch->tensors(d.config, unused)) {
    const formats::TensorInfo* t = file.FindTensor(slot.name);
    if (t == nullptr) continue;
    use.weights += slot.matrix != nullptr ? device.MatrixBytes(SpecOf(slot, *t))
                                          : static_cast<uint64_t>(slot.cols) * sizeof(float);
  }
  for (const TensorShape& t : TensorShapes(d.config)) use.scratch += device.TensorBytes(max_rows, t.cols);
  for (const ActShape& a : ActShapes(d.config, {}, max_rows)) use.scratch += device.ActBytes(a.max_rows, a.cols);
  return use;
}

ForwardCost CostOf(const formats::ModelFile& file, const Description& d) {
  ForwardCost cost;
  Weights weights;
  const formats::TensorInfo *embed = nullptr, *out = nullptr;
  for (const WeightSlot& slot : d.arch->tensors(d.config, weights)) {
    const formats::TensorInfo* t = file.FindTensor(slot.name);
    if (t == nullptr || slot.matrix == nullptr) continue;
    if (slot.matrix == &weights.embed) {
      embed = t;
    } else if (slot.matrix == &weights.out) {
      out = t;
    } else {
      cost.layer_bytes += t->bytes, cost.layer_macs += t->elements();
    }
  }
  if (const formats::TensorInfo* head = out != nullptr ? out : embed)
    cost.head_bytes = head->bytes, cost.head_macs = head->elements();
  return cost;
}

kernels::KvSpec KvSpecOf(const Config& c, kernels::KvType k, kernels::KvType v) {
  return {
      .layers = c.layers, .kv_heads = c.kv_heads, .k_width = c.k_width, .v_width = c.v_width, .k_type = k, .v_type = v};
}

Model::Model(kernels::Device& device, const Arch& arch, Config config, int64_t max_rows)
    : device_(device), arch_(arch), config_(std::move(config)), max_rows_(max_rows) {
  RopeFrequencies f = ComputeRope(config_.rope, config_.k_width);
  rope_ = {.inv_freq = std::move(f.inv_freq), .scale = f.scale};
}

Result<std::unique_ptr<Model>> Model::Load(const formats::ModelFile& file, kernels::Device& device,
                                           const LoadOptions& options) {
  BONSAI_CHECK(options.max_rows >= 1);
  BONSAI_ASSIGN(Description d, Describe(file));
  std::unique_ptr<Model> model(new Model(device, *d.arch, std::move(d.config), options.max_rows));
  BONSAI_RETURN_IF_ERROR(model->LoadWeights(file, options));
  BONSAI_RETURN_IF_ERROR(model->MakeScratch());
  return model;
}

Status Model::LoadWeights(const formats::ModelFile& file, const LoadOptions& options) {
  const std::vector<WeightSlot> slots = arch_.tensors(config_, weights_);
  uint64_t total = 0, done = 0;
  std::mutex mutex;  // of `done` and of progress: matrices are read by several threads
  for (const WeightSlot& slot : slots)
    if (const formats::TensorInfo* t = file.FindTensor(slot.name)) total += t->bytes;
  for (const WeightSlot& slot : slots) {
    const formats::TensorInfo* t = file.FindTensor(slot.name);
    if (t == nullptr) continue;
    if (slot.matrix == nullptr) {
      BONSAI_ASSIGN(const std::vector<float> values, ReadFloats(file, *t));
      if (slot.vector != nullptr) {
        BONSAI_ASSIGN(*slot.vector, device_.LoadVector(values));
      } else {
        std::copy(values.begin(), values.end(), slot.host);
      }
      done += t->bytes;
      continue;
    }
    const auto read = [&](int64_t row, int64_t rows, std::span<std::byte> out) -> Status {
      BONSAI_RETURN_IF_ERROR(file.ReadRows(*t, static_cast<uint64_t>(row), static_cast<uint64_t>(rows), out));
      if (options.drop_cache) file.DropCache(*t, static_cast<uint64_t>(row), static_cast<uint64_t>(rows));
      const std::lock_guard lock(mutex);
      done += out.size();
      if (options.progress && !options.progress(done, total))
        return Error(ErrorCode::kCancelled, "{}: loading was cancelled", file.name());
      return {};
    };
    BONSAI_ASSIGN(*slot.matrix, LoadMatrix(device_, SpecOf(slot, *t), file, *t, read));
  }
  return DivideSpeeds(file.name(), weights_.rope_factors, rope_.inv_freq);
}

Status Model::MakeScratch() {
  for (const TensorShape& t : TensorShapes(config_)) {
    BONSAI_ASSIGN(scratch_.*t.where, device_.NewTensor(max_rows_, t.cols));
  }
  for (const ActShape& a : ActShapes(config_, weights_, max_rows_)) {
    BONSAI_ASSIGN(scratch_.*a.where, device_.NewAct(a.max_rows, a.cols, a.consumers));
  }
  return {};
}

void Model::Forward(const kernels::Batch& batch, kernels::KvStore& kv) {
  BONSAI_CHECK(batch.rows() >= 1 && batch.rows() <= max_rows_);
  device_.Embed(*weights_.embed, batch.tokens, *scratch_.x);
  device_.RopeTable(rope_, batch.sequences, *scratch_.rope);
  for (int32_t layer = 0; layer < config_.layers; layer++)
    arch_.block({.device = device_,
                 .config = config_,
                 .w = weights_.layers[static_cast<size_t>(layer)],
                 .s = scratch_,
                 .kv = {.store = &kv, .layer = layer, .sequences = batch.sequences},
                 .rows = batch.rows()});
}

Status Model::Logits(std::span<const int32_t> rows, std::span<float> out) {
  const auto vocab = static_cast<size_t>(config_.vocab);
  BONSAI_CHECK(out.size() == rows.size() * vocab);
  const auto step = static_cast<size_t>(std::min(max_rows_, kMaxLogitRows));
  for (size_t i = 0; i < rows.size(); i += step) {
    const size_t n = std::min(step, rows.size() - i);
    BONSAI_RETURN_IF_ERROR(device_.Logits(*scratch_.x, *weights_.out_norm, config_.rms_eps, rows.subspan(i, n),
                                          weights_.head(), *scratch_.head, out.subspan(i * vocab, n * vocab)));
  }
  return {};
}

}  // namespace bonsai::model
