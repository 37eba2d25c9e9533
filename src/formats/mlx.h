// MLX's affine quantisation in 1 and 2 bits, read and written without a change of any number.
// Source: https://ml-explore.github.io/mlx (mlx.core.quantize), and files made with it.
//
//   X.weight   U32 [rows, cols·bits/32], element 0 in the lowest bits      w = scale · code + bias, one of each for a
//   X.scales   [rows, cols/group], F16, BF16 or F32                        group of 32, 64 or 128 columns
//   X.biases   the same
//
// Our formats are the symmetric cases: 1 bit with scale = 2d and bias = −d is ±d; 2 bits with bias = −scale are −1, 0,
// +1, +2 times the scale. A block of ours is the fp16 d and then the codes, bit for bit as MLX has them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/byte_source.h"
#include "formats/model_file.h"
#include "formats/safetensors.h"
#include "quant/types.h"

namespace bonsai::formats {

/// `quantization` of config.json.
struct MlxQuantization {
  uint32_t bits = 0;
  uint32_t group = 0;
  bool operator==(const MlxQuantization&) const = default;
};

/// The format whose rows hold these groups; null when there is none.
const quant::Type* MlxType(const MlxQuantization& quantization);
/// The quantisation that holds this format's rows; none for floats and for formats that have to be repacked first.
std::optional<MlxQuantization> MlxQuantizationOf(const quant::Type& type);

/// Where a matrix's three arrays lie.
struct MlxMatrix {
  struct Array {
    const ByteSource* source = nullptr;
    uint64_t offset = 0;
    const safetensors::Dtype* dtype = nullptr;  ///< Of scales and biases: F16, BF16 or F32.
  };
  MlxQuantization quantization;  ///< One with an MlxType().
  uint64_t cols = 0;             ///< A multiple of the group.
  Array weight, scales, biases;
};

/// Rows of MlxType(). Reading checks every group: kUnsupported, naming row and group, for one that is not symmetric or
/// whose scale fp16 does not hold exactly. The sources outlive it. Thread safe.
std::shared_ptr<const RowReader> MlxRows(const MlxMatrix& matrix);

/// Takes rows of a format with a MlxQuantizationOf() apart, whole blocks at a time: appends codes to `weight`, and fp16
/// bits to `scales` and `biases`. kInvalidArgument, naming the block's index in `blocks`, when 2d overflows fp16.
Status SplitMlxBlocks(const quant::Type& type, std::span<const std::byte> blocks, std::vector<std::byte>& weight,
                      std::vector<uint16_t>& scales, std::vector<uint16_t>& biases);

}  // namespace bonsai::formats
