#include "kernels/cpu/storage.h"

#include <algorithm>
#include <limits>

#include "kernels/ref/ref.h"

namespace bonsai::kernels::cpu {
namespace {

constexpr uint64_t kReadChunk = 32u << 20;  // large enough for full disk speed, small beside any matrix that matters

}  // namespace

Result<std::unique_ptr<Matrix>> CpuMatrix::Load(const MatrixSpec& spec, const RowKernels& kernels,
                                                const ReadRowsFn& read) {
  BONSAI_CHECK(spec.type != nullptr);
  BONSAI_ASSIGN(const uint64_t row_bytes, spec.type->RowBytes(spec.cols));
  if (spec.rows <= 0 || row_bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max() / spec.rows)) {
    return Error(ErrorCode::kCorrupt, "a {} matrix of {} x {} weights", spec.type->name, spec.rows, spec.cols);
  }
  if (ref::kDecodeChunk % spec.type->block_weights != 0) {
    return Error(ErrorCode::kUnsupported, "the CPU kernels do not take {} blocks of {} weights", spec.type->name,
                 spec.type->block_weights);
  }
  BONSAI_ASSIGN(Buffer bytes, Buffer::Allocate(static_cast<uint64_t>(spec.rows) * row_bytes));
  const auto step = static_cast<int64_t>(std::max<uint64_t>(1, kReadChunk / row_bytes));
  for (int64_t r = 0; r < spec.rows; r += step) {
    const int64_t rows = std::min(step, spec.rows - r);
    const auto at = static_cast<size_t>(r) * row_bytes, count = static_cast<size_t>(rows) * row_bytes;
    BONSAI_RETURN_IF_ERROR(read(r, rows, bytes.span().subspan(at, count)));
  }
  return std::unique_ptr<Matrix>(new CpuMatrix(spec, kernels, static_cast<int64_t>(row_bytes), std::move(bytes)));
}

Result<std::unique_ptr<Tensor>> CpuTensor::Make(int64_t max_rows, int64_t cols) {
  BONSAI_CHECK(max_rows > 0 && cols > 0);
  BONSAI_ASSIGN(Buffer values, Buffer::Allocate(Bytes(max_rows, cols)));
  return std::unique_ptr<Tensor>(new CpuTensor(max_rows, cols, std::move(values)));
}

Result<std::unique_ptr<Act>> CpuAct::Make(int64_t max_rows, int64_t cols, bool with_i8) {
  BONSAI_CHECK(max_rows > 0 && cols > 0);
  const auto groups = static_cast<uint64_t>(max_rows) * static_cast<uint64_t>(quant::ActGroups(cols));
  const uint64_t padded = groups * quant::kActGroup;
  BONSAI_ASSIGN(Buffer floats, Buffer::Allocate(padded * sizeof(float)));
  BONSAI_ASSIGN(Buffer codes, Buffer::Allocate(with_i8 ? padded : 0));
  BONSAI_ASSIGN(Buffer scales, Buffer::Allocate(with_i8 ? groups * sizeof(float) : 0));
  return std::unique_ptr<Act>(
      new CpuAct(max_rows, cols, with_i8, std::move(floats), std::move(codes), std::move(scales)));
}

uint64_t CpuAct::Bytes(int64_t max_rows, int64_t cols, bool with_i8) {
  const auto groups = static_cast<uint64_t>(max_rows) * static_cast<uint64_t>(quant::ActGroups(cols));
  return groups * (quant::kActGroup * sizeof(float) + (with_i8 ? quant::kActGroup + sizeof(float) : 0));
}

void CpuAct::Finish(int64_t t) {
  if (!has_i8_) return;
  quant::QuantizeRowI8(row(t), cols_, codes_.as<int8_t>() + t * stride(), scales_.as<float>() + t * groups());
}

CpuKvStore::CpuKvStore(const KvSpec& spec)
    : KvStore(spec),
      k_head_bytes_(static_cast<int64_t>(KvBytes(spec.k_type, static_cast<size_t>(kKvBlock * spec.k_width)))),
      v_head_bytes_(static_cast<int64_t>(KvBytes(spec.v_type, static_cast<size_t>(kKvBlock * spec.v_width)))),
      layer_bytes_(spec.kv_heads * (k_head_bytes_ + v_head_bytes_)) {}

Status CpuKvStore::Grow(int32_t count) {
  while (blocks_.size() < static_cast<size_t>(std::max(count, 0))) {
    BONSAI_ASSIGN(Buffer block, Buffer::Allocate(spec_.BlockBytes()));
    blocks_.push_back(std::move(block));
  }
  return {};
}

}  // namespace bonsai::kernels::cpu
