#include "formats/i2s.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/half.h"
#include "quant/repack.h"

namespace bonsai::formats::gguf {
namespace {

constexpr uint64_t kWeights = 128, kCodeBytes = 32, kBlockBytes = sizeof(float) + kCodeBytes;

class I2sReader final : public RowReader {
 public:
  I2sReader(const ByteSource& source, uint64_t offset, uint64_t cols, float scale, const quant::Type& stored,
            const quant::Type& type)
      : source_(source), offset_(offset), blocks_a_row_(cols / kWeights), scale_(scale), stored_(stored), type_(type) {}

  Status Read(uint64_t row, uint64_t rows, std::span<std::byte> out) const override {
    constexpr uint64_t kPiece = 1024;  // blocks
    std::vector<std::byte> codes(kPiece * kCodeBytes), blocks(kPiece * kBlockBytes);
    uint64_t at = row * blocks_a_row_;
    for (uint64_t left = rows * blocks_a_row_; left > 0;) {
      const uint64_t n = std::min(left, kPiece);
      BONSAI_RETURN_IF_ERROR(source_.ReadAt(offset_ + at * kCodeBytes, std::span(codes).first(n * kCodeBytes)));
      for (uint64_t i = 0; i < n; i++) {
        std::memcpy(&blocks[i * kBlockBytes], &scale_, sizeof scale_);
        std::memcpy(&blocks[i * kBlockBytes + sizeof scale_], &codes[i * kCodeBytes], kCodeBytes);
      }
      const uint64_t bytes = n * static_cast<uint64_t>(type_.block_bytes);
      // Every number of I2_S is one of PQ2_0 when the scale is: nothing else can fail.
      BONSAI_CHECK(quant::Repack(stored_, blocks.data(), type_, out.data(), static_cast<int64_t>(n * kWeights)));
      out = out.subspan(bytes);
      at += n, left -= n;
    }
    return {};
  }

 private:
  const ByteSource& source_;
  uint64_t offset_, blocks_a_row_;
  float scale_;
  const quant::Type &stored_, &type_;
};

}  // namespace

Status ReadAsI2s(const ByteSource& source, TensorInfo& tensor) {
  float scale;
  const uint64_t scale_at = tensor.offset + tensor.elements() / kWeights * kCodeBytes;
  BONSAI_RETURN_IF_ERROR(source.ReadAt(scale_at, std::as_writable_bytes(std::span(&scale, 1))));
  if (!std::isfinite(scale))
    return Error(ErrorCode::kCorrupt, "{}: tensor {} (byte {}): its scale is {}", source.name(), Quote(tensor.name),
                 scale_at, scale);
  const quant::Type* stored = quant::FindByName("I2_S");
  const bool half = HalfToFloat(FloatToHalf(scale)) == scale;
  tensor.type = half ? quant::FindByName("PQ2_0") : stored;
  BONSAI_CHECK(stored != nullptr && tensor.type != nullptr);
  tensor.bytes = tensor.elements() / kWeights * static_cast<uint64_t>(tensor.type->block_bytes);
  tensor.reader = std::make_shared<I2sReader>(source, tensor.offset, tensor.cols(), scale, *stored, *tensor.type);
  return {};
}

Status I2sWriter::Put(std::span<const std::byte> blocks, const Sink& sink) {
  rest_.insert(rest_.end(), blocks.begin(), blocks.end());
  std::vector<std::byte> codes;
  codes.reserve(rest_.size());
  size_t at = 0;
  for (; rest_.size() - at >= kBlockBytes; at += kBlockBytes) {
    float scale;
    std::memcpy(&scale, &rest_[at], sizeof scale);
    const bool zeros = std::all_of(&rest_[at + sizeof scale], &rest_[at] + kBlockBytes,
                                   [](std::byte b) { return b == std::byte{0x55}; });
    // A block of zeros says nothing about the scale.
    if (scale_ && !zeros && *scale_ != scale)
      return Error(ErrorCode::kUnsupported, "I2_S holds one scale a tensor, and this one has {} and {}", *scale_,
                   scale);
    if (!scale_ && !zeros) scale_ = scale;
    codes.insert(codes.end(), &rest_[at + sizeof scale], &rest_[at] + kBlockBytes);
  }
  rest_.erase(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(at));
  return sink(codes);
}

Status I2sWriter::Finish(const Sink& sink) const {
  std::byte tail[32] = {};
  const float scale = scale_.value_or(1.0f);
  std::memcpy(tail, &scale, sizeof scale);
  return sink(tail);
}

}  // namespace bonsai::formats::gguf
