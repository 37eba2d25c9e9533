// Rows that are made while they are read: plain bytes of a file, rows in another order, BitNet's packed rows. (MLX's
// are in formats/mlx.h.) Readers keep pointers to sources, which belong to the ModelFile and outlive them.
#pragma once

#include <functional>
#include <memory>

#include "base/byte_source.h"
#include "formats/model_file.h"

namespace bonsai::formats {

/// Rows of `row_bytes` that lie one after another from byte `offset` of `source`.
std::shared_ptr<const RowReader> PlainRows(const ByteSource& source, uint64_t offset, uint64_t row_bytes);

/// Row r is row `order(r)` of `rows`; `order` is a permutation and thread safe.
std::shared_ptr<const RowReader> ReorderedRows(std::shared_ptr<const RowReader> rows, uint64_t row_bytes,
                                               std::function<uint64_t(uint64_t)> order);

/// A matrix as Hugging Face's "bitnet" quantisation packs it (transformers, integrations/bitnet.py): U8 [rows / 4,
/// cols] from byte `offset`; with P = rows / 4, row r is bits 2·(r / P) and up of row r % P; 0, 1, 2 are −1, 0, +1.
struct PackedTernary {
  const ByteSource* source = nullptr;
  uint64_t offset = 0;
  uint64_t rows = 0, cols = 0;  ///< Of the matrix: rows a multiple of 4, cols one of the type's block.
  uint16_t scale = 0;           ///< fp16; w = scale · {−1, 0, +1}.
};
/// Its rows as Q2_0 or PQ2_0 (blocks of an fp16 scale and 2-bit codes, the same codes). Reading a code 3 is kCorrupt.
std::shared_ptr<const RowReader> PackedTernaryRows(const PackedTernary& matrix, const quant::Type& type);

}  // namespace bonsai::formats
