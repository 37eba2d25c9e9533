// What the CPU device keeps behind the handles of ops.h: plain host memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "base/check.h"
#include "kernels/cpu/isa.h"
#include "kernels/ops.h"
#include "quant/act_i8.h"

namespace bonsai::kernels::cpu {

/// Weights as they are stored in the file, rows one after another, with the kernels that read them.
class CpuMatrix : public Matrix {
 public:
  /// kCorrupt for impossible sizes, kUnsupported for a block width that no kernel takes, kOutOfMemory, or what `read`
  /// returns. Bytes go straight from `read` to where they stay, at most 32 MiB (or one row) a call.
  static Result<std::unique_ptr<Matrix>> Load(const MatrixSpec& spec, const RowKernels& kernels,
                                              const ReadRowsFn& read);
  const std::byte* row(int64_t r) const { return bytes_.data() + r * row_bytes_; }
  const RowKernels& kernels() const { return kernels_; }

 private:
  CpuMatrix(const MatrixSpec& spec, const RowKernels& kernels, int64_t row_bytes, Buffer bytes)
      : Matrix(spec), kernels_(kernels), row_bytes_(row_bytes), bytes_(std::move(bytes)) {}
  RowKernels kernels_;
  int64_t row_bytes_;
  Buffer bytes_;
};

class CpuVector : public Vector {
 public:
  explicit CpuVector(std::span<const float> values)
      : Vector(static_cast<int64_t>(values.size())), values_(values.begin(), values.end()) {}
  const float* data() const { return values_.data(); }

 private:
  std::vector<float> values_;
};

class CpuTensor : public Tensor {
 public:
  static Result<std::unique_ptr<Tensor>> Make(int64_t max_rows, int64_t cols);
  static uint64_t Bytes(int64_t max_rows, int64_t cols) {
    return static_cast<uint64_t>(max_rows) * static_cast<uint64_t>(cols) * sizeof(float);
  }
  float* row(int64_t t) { return values_.as<float>() + t * cols_; }
  const float* row(int64_t t) const { return values_.as<float>() + t * cols_; }

 private:
  CpuTensor(int64_t max_rows, int64_t cols, Buffer values) : Tensor(max_rows, cols), values_(std::move(values)) {}
  Buffer values_;
};

/// Floats always (they are where producers build a row: heads that attention writes do not end at group borders), and
/// int8 codes with scales when some consumer takes them. Rows are padded to whole groups with zeros.
class CpuAct : public Act {
 public:
  static Result<std::unique_ptr<Act>> Make(int64_t max_rows, int64_t cols, bool with_i8);
  static uint64_t Bytes(int64_t max_rows, int64_t cols, bool with_i8);
  float* row(int64_t t) { return floats_.as<float>() + t * stride(); }
  /// To be called when row(t) is complete: fills the int8 form.
  void Finish(int64_t t);
  bool has_i8() const { return has_i8_; }
  F32Rows f32_rows(int64_t first) const { return {floats_.as<float>() + first * stride(), stride()}; }
  I8Rows i8_rows(int64_t first) const {
    return {codes_.as<int8_t>() + first * stride(), stride(), scales_.as<float>() + first * groups(), groups()};
  }

 private:
  CpuAct(int64_t max_rows, int64_t cols, bool has_i8, Buffer floats, Buffer codes, Buffer scales)
      : Act(max_rows, cols),
        has_i8_(has_i8),
        floats_(std::move(floats)),
        codes_(std::move(codes)),
        scales_(std::move(scales)) {}
  int64_t groups() const { return quant::ActGroups(cols_); }
  int64_t stride() const { return groups() * quant::kActGroup; }
  bool has_i8_;
  Buffer floats_, codes_, scales_;
};

/// Block layout: for each layer, for each KV head, keys [kKvBlock, k_width], then for each KV head values
/// [kKvBlock, v_width].
class CpuKvStore : public KvStore {
 public:
  explicit CpuKvStore(const KvSpec& spec);
  Status Grow(int32_t count) override;
  /// Slot 0 of a head's keys or values in a block that Grow has covered.
  std::byte* keys(int32_t block, int32_t layer, int32_t head) { return At(block, layer) + head * k_head_bytes_; }
  std::byte* values(int32_t block, int32_t layer, int32_t head) {
    return At(block, layer) + spec_.kv_heads * k_head_bytes_ + head * v_head_bytes_;
  }

 private:
  std::byte* At(int32_t block, int32_t layer) {
    BONSAI_CHECK(block >= 0 && static_cast<size_t>(block) < blocks_.size() && layer >= 0 && layer < spec_.layers);
    return blocks_[static_cast<size_t>(block)].data() + layer * layer_bytes_;
  }
  int64_t k_head_bytes_, v_head_bytes_, layer_bytes_;
  std::vector<Buffer> blocks_;
};

}  // namespace bonsai::kernels::cpu
