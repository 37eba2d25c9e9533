// What the CPU device keeps behind the handles of ops.h: plain host memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "base/check.h"
#include "base/thread_pool.h"
#include "kernels/cpu/isa.h"
#include "kernels/ops.h"
#include "quant/act_i8.h"

namespace bonsai::kernels::cpu {

/// Weights with the kernels that read them: either as they are stored in the file, rows one after another, or as tiles.
class CpuMatrix : public Matrix {
 public:
  /// `tiles` null keeps stored rows. kCorrupt for impossible sizes, kUnsupported for a block width that no kernel
  /// takes, kOutOfMemory, or what `read` returns, which is called from all threads of the pool. Stored rows go
  /// straight from `read` to where they stay; tiles pass through one band of stored rows a thread.
  static Result<std::unique_ptr<Matrix>> Load(const MatrixSpec& spec, const RowKernels& kernels,
                                              const TileKernels* tiles, ThreadPool& pool, const ReadRowsFn& read);
  /// Bytes that Load keeps; 0 for impossible sizes.
  static uint64_t Bytes(const MatrixSpec& spec, const TileKernels* tiles);

  const RowKernels& kernels() const { return kernels_; }
  /// Null: stored rows.
  const TileKernels* tiles() const { return tiles_; }
  /// Stored rows only.
  const std::byte* row(int64_t r) const { return bytes_.data() + r * row_bytes_; }
  WeightRows rows(int64_t first, int64_t count) const { return {row(first), row_bytes_, count, spec_.cols}; }
  /// Tiles only.
  const std::byte* band(int64_t b) const { return bytes_.data() + b * band_bytes_; }
  int64_t bands() const { return (spec_.rows + kBandRows - 1) / kBandRows; }
  int64_t groups() const { return spec_.cols / quant::kActGroup; }
  /// Row r decoded to floats.
  void Decode(int64_t r, float* out) const;

 private:
  CpuMatrix(const MatrixSpec& spec, const RowKernels& kernels, const TileKernels* tiles, int64_t row_bytes,
            Buffer bytes)
      : Matrix(spec),
        kernels_(kernels),
        tiles_(tiles),
        row_bytes_(row_bytes),
        band_bytes_(tiles != nullptr ? groups() * tiles->tile_bytes : 0),
        bytes_(std::move(bytes)) {}
  Status Fill(ThreadPool& pool, const ReadRowsFn& read);
  RowKernels kernels_;
  const TileKernels* tiles_;
  int64_t row_bytes_, band_bytes_;
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

/// What tile kernels read of an activation, for one layout.
struct TileForm {
  const TileKernels* kernels;  ///< One that reads the form: others with the same functions read it too.
  Buffer tables, sums;

  /// Formats can share a form: Q2_0 and TQ2_0 do.
  static bool Same(const TileKernels& a, const TileKernels& b) {
    return a.make_tables == b.make_tables && a.table_bytes == b.table_bytes && a.most_singly == b.most_singly &&
           a.sum_groups == b.sum_groups;
  }
};

/// What TileKernels::many works in, for each thread.
class TileScratch {
 public:
  struct Slice {
    std::byte* work;  ///< TileKernels::scratch_bytes, aligned to 64 bytes.
    float* y;         ///< most_bands × most_tokens × kBandRows.
  };
  /// Makes room for these kernels beside those that it has room for. kOutOfMemory.
  Status Fit(const TileKernels& tiles, int threads);
  Slice Of(int thread) {
    std::byte* start = bytes_.data() + thread * (work_bytes_ + y_bytes_);
    return {start, reinterpret_cast<float*>(start + work_bytes_)};
  }

 private:
  Buffer bytes_;
  int64_t work_bytes_ = 0, y_bytes_ = 0;  // of one thread
};

/// Floats always (they are where producers build a row: heads that attention writes do not end at group borders),
/// int8 codes with scales when some consumer takes them, and a form for each layout of tiles that some consumer has.
/// Rows are padded to whole groups with zeros.
class CpuAct : public Act {
 public:
  /// `tiles`: kernels of the consumers that have tiles, in any order, any number of times.
  static Result<std::unique_ptr<Act>> Make(int64_t max_rows, int64_t cols, bool with_i8,
                                           std::span<const TileKernels* const> tiles);
  static uint64_t Bytes(int64_t max_rows, int64_t cols, bool with_i8, std::span<const TileKernels* const> tiles);
  float* row(int64_t t) { return floats_.as<float>() + t * stride(); }
  /// To be called when row(t) is complete: fills the int8 form.
  void Finish(int64_t t);
  /// The same for `count` columns of row t from `first`, a multiple of kActGroup.
  void FinishPart(const TokenKernels& kernels, int64_t t, int64_t first, int64_t count) {
    if (!has_i8_) return;
    kernels.quantize(row(t) + first, count, codes_.as<int8_t>() + t * stride() + first,
                     scales_.as<float>() + t * groups() + first / quant::kActGroup);
  }
  bool has_i8() const { return has_i8_; }
  std::span<TileForm> forms() { return forms_; }
  /// The form that these kernels read, or null.
  const TileForm* FindForm(const TileKernels& tiles) const;
  /// Fills a form: the look-up tables of groups [begin, end) of row t, or its sums.
  void MakeTables(TileForm& form, int64_t t, int64_t begin, int64_t end);
  void SumGroups(TileForm& form, int64_t t);
  const std::byte* tables(const TileForm& form, int64_t t) const {
    return form.tables.data() + t * groups() * form.kernels->table_bytes;
  }
  /// Null when the kernels need none.
  const int32_t* sums(const TileForm& form, int64_t first) const {
    return form.kernels->sum_groups == nullptr ? nullptr : form.sums.as<int32_t>() + first * groups();
  }
  int64_t groups() const { return quant::ActGroups(cols_); }
  F32Rows f32_rows(int64_t first) const { return {floats_.as<float>() + first * stride(), stride()}; }
  I8Rows i8_rows(int64_t first) const {
    return {codes_.as<int8_t>() + first * stride(), stride(), scales_.as<float>() + first * groups(), groups()};
  }

 private:
  CpuAct(int64_t max_rows, int64_t cols, bool has_i8) : Act(max_rows, cols), has_i8_(has_i8) {}
  int64_t stride() const { return groups() * quant::kActGroup; }
  bool has_i8_;
  Buffer floats_, codes_, scales_;
  std::vector<TileForm> forms_;
};

/// Block layout: for each layer, for each KV head, its keys and then its values (kv_type.h).
class CpuKvStore : public KvStore {
 public:
  explicit CpuKvStore(const KvSpec& spec);
  Status Grow(int32_t count) override;
  /// A head's keys or values in a block that Grow has covered.
  std::byte* keys(int32_t block, int32_t layer, int32_t head) {
    return At(block, layer) + head * (k_head_bytes_ + v_head_bytes_);
  }
  std::byte* values(int32_t block, int32_t layer, int32_t head) { return keys(block, layer, head) + k_head_bytes_; }

 private:
  std::byte* At(int32_t block, int32_t layer) {
    BONSAI_CHECK(block >= 0 && static_cast<size_t>(block) < blocks_.size() && layer >= 0 && layer < spec_.layers);
    return blocks_[static_cast<size_t>(block)].data() + layer * layer_bytes_;
  }
  int64_t k_head_bytes_, v_head_bytes_, layer_bytes_;
  std::vector<Buffer> blocks_;
};

}  // namespace bonsai::kernels::cpu
