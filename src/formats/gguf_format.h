// What the GGUF reader and writer share: the numbers of the format, our limits, and the rules for one field.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/model_file.h"

namespace bonsai::formats::gguf {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they lie in the file");

inline constexpr std::string_view kMagic = "GGUF";
inline constexpr std::string_view kAlignmentKey = "general.alignment";
inline constexpr std::string_view kSplitCountKey = "split.count";
inline constexpr uint64_t kDefaultAlignment = 32;
inline constexpr uint64_t kMaxAlignment = 1 << 20;
inline constexpr uint64_t kMaxKeyBytes = 65535;  // of the specification
inline constexpr uint64_t kMaxNameBytes = 1024;  // ggml stops at 63; our own limit, generous
inline constexpr uint32_t kMaxDimensions = 4;
/// Keys of a file. Models have 20 to 60; our own limit, because Metadata::Add is quadratic.
inline constexpr uint64_t kMaxKeys = 65536;
/// Bytes before the data section. A vocabulary of 262,144 tokens needs about 15 MB; our own limit, so that a sparse
/// file of terabytes cannot make us allocate what it claims.
inline constexpr uint64_t kMaxHeaderBytes = uint64_t{256} << 20;
/// Smallest encodings: string of one byte + kind + one byte; string of one byte + one dimension + type + offset.
inline constexpr uint64_t kMinKeyBytes = 8 + 1 + 4 + 1;
inline constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;

/// The next multiple of a power of two. The caller keeps `n` far from 2^64.
inline uint64_t AlignUp(uint64_t n, uint64_t alignment) { return (n + alignment - 1) & ~(alignment - 1); }

/// The value of general.alignment; none unless it is an integer and a power of two from 8 to kMaxAlignment.
std::optional<uint64_t> AlignmentFrom(const Value& value);

/// What is wrong with a key or a tensor name ("is empty"), or empty: well-formed UTF-8 of 1 to `max` bytes without
/// control characters.
std::string NameProblem(std::string_view name, uint64_t max);

/// Bytes of a tensor, shape slowest first. kCorrupt when the number of dimensions is not 1..4, one is zero, rows are no
/// whole blocks, or the number of weights or bytes exceeds 2^63 - 1. The message does not name the tensor.
Result<uint64_t> TensorBytes(const quant::Type& type, std::span<const uint64_t> shape);

/// Which file of a split model this is: keys split.no, split.count, split.tensors.count.
struct Split {
  uint32_t number = 0;              ///< From 0.
  uint32_t count = 1;               ///< Files; 1: not split.
  std::optional<uint32_t> tensors;  ///< In all files together.
  uint64_t key_at = 0;              ///< Byte of split.count's value, for messages.
};

/// What OpenGguf() promises, for one file; `split` is not judged.
struct Header {
  uint32_t version;
  Metadata metadata;
  std::vector<TensorInfo> tensors;  ///< Of part 0.
  Split split;
};
Result<Header> ReadHeader(const ByteSource& source, const OpenOptions& options);

/// Calls f(T{}) with the C++ type T in which the file stores a number of this kind (bool: uint8_t); false, without a
/// call, when the kind is no number.
template <class F>
bool WithNumberType(ValueKind kind, F&& f) {
  switch (kind) {
    case ValueKind::kU8:
    case ValueKind::kBool:
      f(uint8_t{});
      return true;
    case ValueKind::kI8:
      f(int8_t{});
      return true;
    case ValueKind::kU16:
      f(uint16_t{});
      return true;
    case ValueKind::kI16:
      f(int16_t{});
      return true;
    case ValueKind::kU32:
      f(uint32_t{});
      return true;
    case ValueKind::kI32:
      f(int32_t{});
      return true;
    case ValueKind::kF32:
      f(float{});
      return true;
    case ValueKind::kU64:
      f(uint64_t{});
      return true;
    case ValueKind::kI64:
      f(int64_t{});
      return true;
    case ValueKind::kF64:
      f(double{});
      return true;
    case ValueKind::kString:
    case ValueKind::kArray:
      break;
  }
  return false;
}

}  // namespace bonsai::formats::gguf
