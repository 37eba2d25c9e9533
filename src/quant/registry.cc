// The table of weight formats. A new format is one header in types/ and one row here.
#include <algorithm>
#include <iterator>
#include <limits>

#include "base/ascii.h"
#include "quant/types.h"
#include "quant/types/bf16.h"
#include "quant/types/coded.h"
#include "quant/types/f16.h"
#include "quant/types/f32.h"
#include "quant/types/i2_s.h"
#include "quant/types/q1_0.h"
#include "quant/types/q2_0.h"
#include "quant/types/q4_0.h"
#include "quant/types/q4_1.h"
#include "quant/types/q8_0.h"
#include "quant/types/tq1_0.h"
#include "quant/types/tq2_0.h"
#include "quant/types/tq2_0_g128.h"

namespace bonsai::quant {
namespace {

template <class Format>
constexpr Type Codes(std::string_view name, uint32_t ggml_id, uint32_t file_id) {
  using F = Coded<Format>;
  return {name,   ggml_id,  file_id,   F::kWeights, sizeof(typename F::Block), false, F::Decode, F::Encode,
          F::Dot, F::DotI8, F::Unpack, F::Pack};
}
template <class Format>
constexpr Type Codes(std::string_view name, uint32_t id) {
  return Codes<Format>(name, id, id);
}

// Of the ids that are private, 40 and 42 stand for something else in most files, and 36 for other bytes than a block.
constexpr Type kTypes[] = {
    // name, id, id in files, weights, bytes, is_float, functions
    {"F32", 0, 0, 1, sizeof(f32::Block), true, f32::Decode, f32::Encode, f32::Dot, nullptr, nullptr, nullptr},
    {"F16", 1, 1, 1, sizeof(f16::Block), true, f16::Decode, f16::Encode, f16::Dot, nullptr, nullptr, nullptr},
    {"BF16", 30, 30, 1, sizeof(bf16::Block), true, bf16::Decode, bf16::Encode, bf16::Dot, nullptr, nullptr, nullptr},
    Codes<q8_0::Format>("Q8_0", 8),
    Codes<q4_0::Format>("Q4_0", 2),
    {"Q4_1", 3, 3, q4_1::kWeights, sizeof(q4_1::Block), false, q4_1::Decode, q4_1::Encode, q4_1::Dot, nullptr, nullptr,
     nullptr},
    Codes<q1_0::Format<128>>("Q1_0", 41),
    Codes<q1_0::Format<32>>("Q1_0_G32", kPrivateIds + 40, 40),
    Codes<q2_0::Format<64>>("Q2_0", 42),
    Codes<q2_0::Format<128>>("PQ2_0", 142),
    Codes<tq2_0_g128::Format>("TQ2_0_G128", kPrivateIds + 42, 42),
    Codes<tq2_0::Format>("TQ2_0", 35),
    Codes<tq1_0::Format<256>>("TQ1_0", 34),
    Codes<tq1_0::Format<128>>("PTQ1_0", 143),
    Codes<i2_s::Format>("I2_S", kPrivateIds + 36, 36),
};

/// Formats that older files hold under the id of another one.
struct OlderId {
  uint32_t file_id;
  std::string_view name;
};
constexpr OlderId kOlderIds[] = {{42, "PQ2_0"}};

/// What formats were or are called elsewhere.
struct Alias {
  std::string_view alias, name;
};
constexpr Alias kAliases[] = {{"Q1_0_G128", "Q1_0"}, {"Q2_0_G64", "Q2_0"}, {"Q2_0_G128", "PQ2_0"}};

struct KnownName {
  uint32_t id;
  std::string_view name;
};

// What other programs write. 4 and 5 were withdrawn before GGUF existed; 31-33 and 37-38 are layouts that files no
// longer hold; 36 was such a layout too and is BitNet's I2_S in files that exist.
constexpr KnownName kNotRun[] = {
    {6, "Q5_0"},      {7, "Q5_1"},      {9, "Q8_1"},     {10, "Q2_K"},       {11, "Q3_K"},       {12, "Q4_K"},
    {13, "Q5_K"},     {14, "Q6_K"},     {15, "Q8_K"},    {16, "IQ2_XXS"},    {17, "IQ2_XS"},     {18, "IQ3_XXS"},
    {19, "IQ1_S"},    {20, "IQ4_NL"},   {21, "IQ3_S"},   {22, "IQ2_S"},      {23, "IQ4_XS"},     {24, "I8"},
    {25, "I16"},      {26, "I32"},      {27, "I64"},     {28, "F64"},        {29, "IQ1_M"},      {31, "Q4_0_4_4"},
    {32, "Q4_0_4_8"}, {33, "Q4_0_8_8"}, {36, "I2_S"},    {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"}, {39, "MXFP4"},
    {40, "NVFP4"},    {134, "IQ1_BN"},  {135, "IQ2_BN"},

};

}  // namespace

Result<uint64_t> Type::RowBytes(int64_t cols) const {
  if (cols <= 0) return Error(ErrorCode::kCorrupt, "a {} row of {} weights", name, cols);
  if (cols % block_weights != 0) {
    return Error(ErrorCode::kCorrupt, "a {} row of {} weights is not a whole number of blocks of {}", name, cols,
                 block_weights);
  }
  const int64_t blocks = cols / block_weights;
  if (blocks > std::numeric_limits<int64_t>::max() / block_bytes) {
    return Error(ErrorCode::kCorrupt, "the size of a {} row of {} weights overflows", name, cols);
  }
  return static_cast<uint64_t>(blocks * block_bytes);
}

std::span<const Type> Types() { return kTypes; }

const Type* FindByGgmlId(uint32_t id) {
  for (const Type& type : kTypes) {
    if (type.ggml_id == id) return &type;
  }
  return nullptr;
}

std::vector<const Type*> CandidatesFor(uint32_t file_id) {
  std::vector<const Type*> candidates;
  for (const Type& type : kTypes) {
    const bool older = std::any_of(std::begin(kOlderIds), std::end(kOlderIds), [&](const OlderId& other) {
      return other.file_id == file_id && other.name == type.name;
    });
    if (type.file_id == file_id || older) candidates.push_back(&type);
  }
  return candidates;
}

const Type* FindByName(std::string_view name) {
  for (const Alias& other : kAliases) {
    if (EqualIgnoringCase(other.alias, name)) name = other.name;
  }
  for (const Type& type : kTypes) {
    if (EqualIgnoringCase(type.name, name)) return &type;
  }
  return nullptr;
}

std::string_view KnownGgmlName(uint32_t id) {
  for (const KnownName& known : kNotRun) {
    if (known.id == id) return known.name;
  }
  return {};
}

}  // namespace bonsai::quant
