// Are the numbers of a model what its formats say they are? Reads every tensor.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "compress/row_stream.h"
#include "formats/model_file.h"

namespace bonsai::compress {

/// What was counted in one tensor. Blocks are those of the format; a float is a block of its own.
struct TensorCheck {
  const formats::TensorInfo* tensor = nullptr;
  uint64_t blocks = 0;
  uint64_t not_finite = 0;       ///< Blocks with an infinity or NaN: the model computes nonsense.
  uint64_t negative_scales = 0;  ///< Legal, but encoders of one and two bits write none.
  uint64_t twos = 0;  ///< Weights with code 3 of two bits, +2: legal, but no encoder of ternary models writes one.
  uint64_t zero_blocks = 0;  ///< Blocks of zeros only: many of them mean a damaged or padded file.
  uint64_t weights = 0, zeros = 0;
  /// Worth telling: infinities, negative scales, twos; or more than half of the blocks zero, in a matrix.
  bool suspicious() const;
  /// "3 of 400 blocks are not finite; …"; empty when nothing was found.
  std::string Text() const;
};

/// Checks every tensor, in file order. Errors only as RowStreamer::Stream.
Result<std::vector<TensorCheck>> CheckTensors(const formats::ModelFile& file, const RunOptions& options);

}  // namespace bonsai::compress
