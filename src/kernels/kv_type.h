// How the KV cache stores keys and values: apart from ops.h, so that objects of one instruction set can include it.
//
// A KV block holds kKvBlock = 64 positions; its keys of one head are one piece, and its values another. Every piece is
// a whole number of 64-byte lines. d counts a head's elements, p the positions of the block.
//
//   keys: positions lie side by side, so that a score needs no sum across a register.
//     f32, f16  [d][p]
//     q8_0      for each 32 of d: fp16 scales [p], then codes + 128 as bytes [d / 4][p][d % 4]
//     q4_0      for each 32 of d: fp16 scales [p], then bytes [d / 8][p][d % 4], code + 8 of d % 8 < 4 in the low
//     nibble
//               and of the other four in the high one
//   values: position after position, so that a weight multiplies a whole row.
//     f32, f16  [p][d]
//     q8_0      fp16 scales [d / 32][p], then codes [p][d]
//     q4_0      fp16 scales [d / 32][p], then bytes [p][d / 32][d % 16], code + 8 of d % 32 < 16 in the low nibble and
//               of the others in the high one
#pragma once

#include <cstdint>

namespace bonsai::kernels {

/// Element type of the KV cache. In the last two, 32 elements of one head share an fp16 scale, and value = code · scale
/// with codes of -127..127 (q8_0) and -8..7 (q4_0), as in ggml's blocks of these names.
enum class KvType { kF32, kF16, kQ8_0, kQ4_0 };

/// Elements that share a scale.
inline constexpr int64_t kKvGroup = 32;

/// Positions a KV block holds. Also the block of attention's online softmax, so results do not depend on how a
/// sequence was cut into batches.
inline constexpr int32_t kKvBlock = 64;

}  // namespace bonsai::kernels
