#include "formats/row_readers.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace bonsai::formats {
namespace {

class Plain final : public RowReader {
 public:
  Plain(const ByteSource& source, uint64_t offset, uint64_t row_bytes)
      : source_(source), offset_(offset), row_bytes_(row_bytes) {}
  Status Read(uint64_t row, uint64_t, std::span<std::byte> out) const override {
    return source_.ReadAt(offset_ + row * row_bytes_, out);
  }

 private:
  const ByteSource& source_;
  const uint64_t offset_, row_bytes_;
};

class Reordered final : public RowReader {
 public:
  Reordered(std::shared_ptr<const RowReader> rows, uint64_t row_bytes, std::function<uint64_t(uint64_t)> order)
      : rows_(std::move(rows)), row_bytes_(row_bytes), order_(std::move(order)) {}
  Status Read(uint64_t row, uint64_t rows, std::span<std::byte> out) const override {
    for (uint64_t i = 0; i < rows; i++)
      BONSAI_RETURN_IF_ERROR(rows_->Read(order_(row + i), 1, out.subspan(i * row_bytes_, row_bytes_)));
    return {};
  }

 private:
  const std::shared_ptr<const RowReader> rows_;
  const uint64_t row_bytes_;
  const std::function<uint64_t(uint64_t)> order_;
};

class Packed final : public RowReader {
 public:
  Packed(const PackedTernary& matrix, const quant::Type& type) : m_(matrix), type_(type) {}
  Status Read(uint64_t row, uint64_t rows, std::span<std::byte> out) const override {
    const uint64_t row_bytes = out.size() / std::max<uint64_t>(rows, 1);
    std::vector<std::byte> packed(m_.cols);
    for (uint64_t i = 0; i < rows; i++)
      BONSAI_RETURN_IF_ERROR(ReadRow(row + i, packed, out.subspan(i * row_bytes, row_bytes)));
    return {};
  }

 private:
  Status ReadRow(uint64_t row, std::span<std::byte> packed, std::span<std::byte> out) const {
    const uint64_t packed_rows = m_.rows / 4, at = m_.offset + row % packed_rows * m_.cols;
    const auto shift = static_cast<int>(2 * (row / packed_rows));
    BONSAI_RETURN_IF_ERROR(m_.source->ReadAt(at, packed));
    const auto block = static_cast<uint64_t>(type_.block_weights);
    std::memset(out.data(), 0, out.size());
    std::byte* to = out.data();
    for (uint64_t c = 0; c < m_.cols; c++) {
      if (c % block == 0) {
        if (c != 0) to += block / 4;
        std::memcpy(to, &m_.scale, sizeof m_.scale);
        to += sizeof m_.scale;
      }
      const uint32_t code = std::to_integer<uint32_t>(packed[c]) >> shift & 3;
      if (code == 3)
        return Error(ErrorCode::kCorrupt, "{}: row {}, column {} (byte {}): code 3, expected 0 to 2", m_.source->name(),
                     row, c, at + c);
      to[c % block / 4] |= static_cast<std::byte>(code << c % 4 * 2);
    }
    return {};
  }

  const PackedTernary m_;
  const quant::Type& type_;
};

}  // namespace

std::shared_ptr<const RowReader> PlainRows(const ByteSource& source, uint64_t offset, uint64_t row_bytes) {
  return std::make_shared<Plain>(source, offset, row_bytes);
}

std::shared_ptr<const RowReader> ReorderedRows(std::shared_ptr<const RowReader> rows, uint64_t row_bytes,
                                               std::function<uint64_t(uint64_t)> order) {
  return std::make_shared<Reordered>(std::move(rows), row_bytes, std::move(order));
}

std::shared_ptr<const RowReader> PackedTernaryRows(const PackedTernary& matrix, const quant::Type& type) {
  return std::make_shared<Packed>(matrix, type);
}

}  // namespace bonsai::formats
