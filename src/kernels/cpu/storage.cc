#include "kernels/cpu/storage.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>

#include "kernels/ref/ref.h"

namespace bonsai::kernels::cpu {
namespace {

constexpr int64_t kReadChunk = 1 << 20;

uint64_t TableBytes(int64_t max_rows, int64_t cols, const TileKernels& tiles) {
  return static_cast<uint64_t>(std::min(max_rows, tiles.most_singly) * quant::ActGroups(cols) * tiles.table_bytes);
}

}  // namespace

uint64_t CpuMatrix::Bytes(const MatrixSpec& spec, const TileKernels* tiles) {
  const Result<uint64_t> row_bytes = spec.type->RowBytes(spec.cols);
  if (!row_bytes || spec.rows <= 0) return 0;
  if (tiles == nullptr) return *row_bytes * static_cast<uint64_t>(spec.rows);
  const int64_t bands = (spec.rows + kBandRows - 1) / kBandRows;
  return static_cast<uint64_t>(bands * (spec.cols / quant::kActGroup) * tiles->tile_bytes);
}

Result<std::unique_ptr<Matrix>> CpuMatrix::Load(const MatrixSpec& spec, const RowKernels& kernels,
                                                const TileKernels* tiles, ThreadPool& pool, const ReadRowsFn& read) {
  BONSAI_CHECK(spec.type != nullptr);
  BONSAI_ASSIGN(const uint64_t row_bytes, spec.type->RowBytes(spec.cols));
  // Half of what int64 holds: tiles round rows up.
  if (spec.rows <= 0 || row_bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max() / 2 / spec.rows)) {
    return Error(ErrorCode::kCorrupt, "a {} matrix of {} x {} weights", spec.type->name, spec.rows, spec.cols);
  }
  if (ref::kDecodeChunk % spec.type->block_weights != 0) {
    return Error(ErrorCode::kUnsupported, "the CPU kernels do not take {} blocks of {} weights", spec.type->name,
                 spec.type->block_weights);
  }
  BONSAI_ASSIGN(Buffer bytes, Buffer::Allocate(Bytes(spec, tiles)));
  std::unique_ptr<CpuMatrix> matrix(
      new CpuMatrix(spec, kernels, tiles, static_cast<int64_t>(row_bytes), std::move(bytes)));
  BONSAI_RETURN_IF_ERROR(matrix->Fill(pool, read));
  return std::unique_ptr<Matrix>(std::move(matrix));
}

Status CpuMatrix::Fill(ThreadPool& pool, const ReadRowsFn& read) {
  // Threads draw pieces: one band of stored rows on its way into tiles, else rows of about 1 MiB.
  const int64_t step = tiles_ != nullptr ? kBandRows : std::max<int64_t>(1, kReadChunk / row_bytes_);
  std::atomic<int64_t> next = 0;
  std::mutex mutex;
  Status first_error;
  const auto fail = [&](const ErrorValue& error) {
    const std::lock_guard lock(mutex);
    if (first_error) first_error = error;
    next = spec_.rows;
  };
  pool.Run([&](int, int) {
    Buffer stored;
    if (tiles_ != nullptr) {
      Result<Buffer> buffer = Buffer::Allocate(static_cast<size_t>(kBandRows * row_bytes_));
      if (!buffer) return fail(buffer.error());
      stored = std::move(*buffer);
    }
    for (int64_t r = next.fetch_add(step); r < spec_.rows; r = next.fetch_add(step)) {
      const int64_t rows = std::min(step, spec_.rows - r);
      const auto count = static_cast<size_t>(rows * row_bytes_);
      std::byte* to = tiles_ != nullptr ? stored.data() : bytes_.data() + r * row_bytes_;
      if (const Status status = read(r, rows, {to, count}); !status) return fail(status.error());
      if (tiles_ == nullptr) continue;
      tiles_->pack(to, row_bytes_, rows, groups(), bytes_.data() + r / kBandRows * band_bytes_);
    }
  });
  return first_error;
}

void CpuMatrix::Decode(int64_t r, float* out) const {
  if (tiles_ == nullptr) return spec_.type->decode(row(r), out, spec_.cols);
  std::vector<std::byte> stored(static_cast<size_t>(row_bytes_));
  tiles_->unpack(band(r / kBandRows), r % kBandRows, groups(), stored.data());
  spec_.type->decode(stored.data(), out, spec_.cols);
}

Result<std::unique_ptr<Tensor>> CpuTensor::Make(int64_t max_rows, int64_t cols) {
  BONSAI_CHECK(max_rows > 0 && cols > 0);
  BONSAI_ASSIGN(Buffer values, Buffer::Allocate(Bytes(max_rows, cols)));
  return std::unique_ptr<Tensor>(new CpuTensor(max_rows, cols, std::move(values)));
}

Status TileScratch::Fit(const TileKernels& tiles, int threads) {
  const int64_t work = std::max(work_bytes_, (tiles.scratch_bytes + 63) / 64 * 64);
  const int64_t y = tiles.most_bands * tiles.most_tokens * kBandRows * static_cast<int64_t>(sizeof(float));
  if (work == work_bytes_ && y <= y_bytes_) return {};
  BONSAI_ASSIGN(bytes_, Buffer::Allocate(static_cast<size_t>((work + std::max(y, y_bytes_)) * threads)));
  work_bytes_ = work, y_bytes_ = std::max(y, y_bytes_);
  return {};
}

Result<std::unique_ptr<Act>> CpuAct::Make(int64_t max_rows, int64_t cols, bool with_i8,
                                          std::span<const TileKernels* const> tiles) {
  BONSAI_CHECK(max_rows > 0 && cols > 0);
  const auto groups = static_cast<uint64_t>(max_rows) * static_cast<uint64_t>(quant::ActGroups(cols));
  const uint64_t padded = groups * quant::kActGroup;
  std::unique_ptr<CpuAct> act(new CpuAct(max_rows, cols, with_i8));
  BONSAI_ASSIGN(act->floats_, Buffer::Allocate(padded * sizeof(float)));
  BONSAI_ASSIGN(act->codes_, Buffer::Allocate(with_i8 ? padded : 0));
  BONSAI_ASSIGN(act->scales_, Buffer::Allocate(with_i8 ? groups * sizeof(float) : 0));
  for (const TileKernels* kernels : tiles) {
    if (act->FindForm(*kernels) != nullptr) continue;
    TileForm form = {kernels, {}, {}};
    BONSAI_ASSIGN(form.tables, Buffer::Allocate(TableBytes(max_rows, cols, *kernels)));
    BONSAI_ASSIGN(form.sums, Buffer::Allocate(kernels->sum_groups != nullptr ? groups * sizeof(int32_t) : 0));
    act->forms_.push_back(std::move(form));
  }
  return std::unique_ptr<Act>(std::move(act));
}

uint64_t CpuAct::Bytes(int64_t max_rows, int64_t cols, bool with_i8, std::span<const TileKernels* const> tiles) {
  const auto groups = static_cast<uint64_t>(max_rows) * static_cast<uint64_t>(quant::ActGroups(cols));
  uint64_t bytes = groups * quant::kActGroup * sizeof(float);
  if (with_i8) bytes += groups * (quant::kActGroup + sizeof(float));
  for (size_t i = 0; i < tiles.size(); ++i) {
    const auto same = [&](const TileKernels* earlier) { return TileForm::Same(*earlier, *tiles[i]); };
    if (std::any_of(tiles.begin(), tiles.begin() + static_cast<ptrdiff_t>(i), same)) continue;
    if (tiles[i]->sum_groups != nullptr) bytes += groups * sizeof(int32_t);
    bytes += TableBytes(max_rows, cols, *tiles[i]);
  }
  return bytes;
}

const TileForm* CpuAct::FindForm(const TileKernels& tiles) const {
  for (const TileForm& form : forms_) {
    if (TileForm::Same(*form.kernels, tiles)) return &form;
  }
  return nullptr;
}

void CpuAct::MakeTables(TileForm& form, int64_t t, int64_t begin, int64_t end) {
  const int64_t table_bytes = form.kernels->table_bytes;
  form.kernels->make_tables(codes_.as<int8_t>() + t * stride() + begin * quant::kActGroup, end - begin,
                            form.tables.data() + (t * groups() + begin) * table_bytes);
}

void CpuAct::SumGroups(TileForm& form, int64_t t) {
  form.kernels->sum_groups(codes_.as<int8_t>() + t * stride(), groups(), form.sums.as<int32_t>() + t * groups());
}

void CpuAct::Finish(int64_t t) {
  if (!has_i8_) return;
  quant::QuantizeRowI8(row(t), cols_, codes_.as<int8_t>() + t * stride(), scales_.as<float>() + t * groups());
}

CpuKvStore::CpuKvStore(const KvSpec& spec)
    : KvStore(spec),
      k_head_bytes_(static_cast<int64_t>(
          KvBytes(spec.k_type, static_cast<size_t>(kKvBlock) * static_cast<size_t>(spec.k_width)))),
      v_head_bytes_(static_cast<int64_t>(
          KvBytes(spec.v_type, static_cast<size_t>(kKvBlock) * static_cast<size_t>(spec.v_width)))),
      layer_bytes_(spec.kv_heads * (k_head_bytes_ + v_head_bytes_)) {}

Status CpuKvStore::Grow(int32_t count) {
  while (blocks_.size() < static_cast<size_t>(std::max(count, 0))) {
    BONSAI_ASSIGN(Buffer block, Buffer::Allocate(spec_.BlockBytes()));
    blocks_.push_back(std::move(block));
  }
  return {};
}

}  // namespace bonsai::kernels::cpu
