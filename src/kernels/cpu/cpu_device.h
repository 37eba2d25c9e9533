// The CPU behind ops.h: objects in host memory, each operation one parallel region over rows or heads.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/thread_pool.h"
#include "kernels/cpu/select.h"
#include "kernels/cpu/storage.h"
#include "kernels/ops.h"

namespace bonsai::kernels::cpu {

class CpuDevice : public Device {
 public:
  /// `table` outlives the device; `threads` is at least 1.
  CpuDevice(const KernelTable& table, int threads, ActType act)
      : table_(table), token_(TokenKernelsFor(table)), act_(act), pool_(threads) {}

  std::string name() const override;
  Result<std::unique_ptr<Matrix>> LoadMatrix(const MatrixSpec& spec, const ReadRowsFn& read) override;
  Result<std::unique_ptr<Vector>> LoadVector(std::span<const float> values) override;
  Result<std::unique_ptr<Tensor>> NewTensor(int64_t max_rows, int64_t cols) override;
  Result<std::unique_ptr<Act>> NewAct(int64_t max_rows, int64_t cols,
                                      std::span<const Matrix* const> consumers) override;
  Result<std::unique_ptr<KvStore>> NewKvStore(const KvSpec& spec) override;
  uint64_t MatrixBytes(const MatrixSpec& spec) const override;
  uint64_t TensorBytes(int64_t max_rows, int64_t cols) const override;
  uint64_t ActBytes(int64_t max_rows, int64_t cols) const override;

  void Embed(const Matrix& table, std::span<const int32_t> tokens, Tensor& out) override;
  void RmsNorm(const Tensor& x, const Vector& gain, float eps, int64_t rows, Act& out) override;
  void MatMul(std::span<const Product> group, const Act& x, int64_t rows) override;
  void MatMulAdd(const Product& product, const Act& x, int64_t rows) override;
  void RopeTable(const RopeSpec& rope, std::span<const SequenceRows> sequences, Tensor& table) override;
  void QkNormRopeStore(const QkvSpec& spec, const Tensor& rope_table, Tensor& q, Tensor& k, const Tensor& v,
                       const KvView& kv) override;
  void Attend(const QkvSpec& spec, float scale, const Tensor& q, const KvView& kv, Act& out) override;
  void Glu(const GluSpec& spec, const Tensor& gate, const Tensor& up, int64_t rows, Act& out) override;
  Status Logits(const Tensor& x, const Vector& gain, float eps, std::span<const int32_t> rows, const Matrix& head,
                Act& scratch, std::span<float> host_logits) override;

 private:
  /// out[t, r] (+)= scale · (x[t] · w[r]) + bias[r], row t of the output starting at out + t·stride.
  struct Target {
    const CpuMatrix* w;
    float* out;
    int64_t stride;
    float scale = 1.0f;
    const float* bias = nullptr;  // null: none
    bool add = false;
  };
  struct AttendJob;

  /// Runs fn(thread, threads) on all threads.
  template <class Fn>
  void Parallel(Fn&& fn) {
    pool_.Run(std::ref(fn));
  }
  /// fn(i) for i in 0..n-1, spread over the threads; on the calling thread alone when n is 1.
  template <class Fn>
  void ForEach(int64_t n, Fn&& fn);
  bool TakesI8(const CpuMatrix& w) const { return act_ == ActType::kI8 && w.kernels().i8 != nullptr; }
  const TileKernels* Tiles(const MatrixSpec& spec) const {
    return act_ == ActType::kI8 ? TilesFor(table_, *spec.type, spec.cols) : nullptr;
  }
  void Multiply(std::span<const Target> targets, CpuAct& x, int64_t rows);
  void PrepareTiles(std::span<const Target> targets, CpuAct& x, int64_t rows);
  static Target TargetOf(const Product& product, int64_t rows, bool add);
  static void StoreRows(const Target& target, int64_t token, int64_t first, int64_t count, const float* y);
  static void StoreBand(const Target& target, int64_t token, int64_t band, const float* y);
  static void MultiplyOneByOne(const Target& target, const CpuAct& x, int64_t rows, int64_t first, int64_t last);
  static void MultiplyMany(const Target& target, const CpuAct& x, int64_t rows, int64_t first, int64_t last,
                           TileScratch::Slice scratch);
  void MultiplyRows(const Target& target, const CpuAct& x, int64_t rows, int64_t first, int64_t last) const;
  void AttendTile(const AttendJob& job, int64_t item, float* scratch) const;
  /// RMSNorm over row t where there is a gain, and its int8 form.
  void FinishRow(const Vector* gain, float eps, int64_t t, CpuAct& out) const;
  /// Of one thread, for keys of this width.
  static int64_t AttendScratchFloats(int64_t k_width);

  const KernelTable& table_;
  const TokenKernels& token_;
  const ActType act_;
  ThreadPool pool_;
  TileScratch tile_scratch_;
  Buffer kv_scratch_;              // for each thread: what AttendTile makes of queries or keys
  int64_t kv_scratch_floats_ = 0;  // of one thread
  std::vector<Target> targets_;    // kept between calls so that operations do not allocate
  std::vector<SequenceRows> tiles_, runs_;
};

}  // namespace bonsai::kernels::cpu
