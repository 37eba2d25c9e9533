// How the KV cache stores keys and values: apart from ops.h, so that objects of one instruction set can include it.
#pragma once

#include <cstdint>

namespace bonsai::kernels {

/// Element type of the KV cache. The last two store blocks of 32 elements of one head's row with an fp16 scale d:
/// q8_0 as d and 32 codes, value = code · d; q4_0 as d and 16 bytes, element j in the low and j + 16 in the high nibble
/// of byte j, value = (code - 8) · d. (The layouts of ggml's blocks of the same names.)
enum class KvType { kF32, kF16, kQ8_0, kQ4_0 };

/// Positions a KV block holds. Also the block of attention's online softmax, so results do not depend on how a
/// sequence was cut into batches.
inline constexpr int32_t kKvBlock = 64;

}  // namespace bonsai::kernels
