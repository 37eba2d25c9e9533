// The same numbers in another format, without loss.
//
//   const Type &from = *FindByName("TQ1_0"), &to = *FindByName("TQ2_0");
//   if (!quant::Repack(from, row, to, out, cols)) …;   // some number does not exist in TQ2_0
//
// Both functions work in pieces of bounded size, take no memory and are thread safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/types.h"

namespace bonsai::quant {

/// Re-expresses n weights (a multiple of from.block_weights) with the same codes and scales, bit for bit, so that the
/// way back gives the same bytes; or, where a side has none (floats, Q4_1), with the same values (-0 equals 0). False,
/// with dst unspecified, when `to` cannot hold them (as Type::pack and EncodeExactly), or n is not a multiple of
/// to.block_weights.
bool Repack(const Type& from, const std::byte* src, const Type& to, std::byte* dst, int64_t n);

/// Finds codes and scales that reproduce n floats exactly (-0 equals 0). False, with dst unspecified, when there are
/// none, or n is not a multiple of to.block_weights. A block's scale is its values' greatest common divisor or, failing
/// that, the largest fraction 1/k of it that works. Q4_1 holds what its own encoder finds.
bool EncodeExactly(const Type& to, const float* src, std::byte* dst, int64_t n);

}  // namespace bonsai::quant
