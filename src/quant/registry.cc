// The table of weight formats. A new format is one header in types/ and one row here.
#include <cctype>
#include <limits>

#include "quant/types.h"
#include "quant/types/bf16.h"
#include "quant/types/f16.h"
#include "quant/types/f32.h"
#include "quant/types/q1_0.h"
#include "quant/types/q2_0.h"
#include "quant/types/q8_0.h"
#include "quant/types/tq2_0.h"

namespace bonsai::quant {
namespace {

constexpr Type kTypes[] = {
    // name, id, weights, bytes, is_float, functions
    {"F32", 0, 1, sizeof(f32::Block), true, f32::Decode, f32::Encode, f32::Dot, nullptr},
    {"F16", 1, 1, sizeof(f16::Block), true, f16::Decode, f16::Encode, f16::Dot, nullptr},
    {"BF16", 30, 1, sizeof(bf16::Block), true, bf16::Decode, bf16::Encode, bf16::Dot, nullptr},
    {"Q8_0", 8, q8_0::kWeights, sizeof(q8_0::Block), false, q8_0::Decode, q8_0::Encode, q8_0::Dot, q8_0::DotI8},
    {"Q1_0", 41, q1_0::kWeights, sizeof(q1_0::Block), false, q1_0::Decode, q1_0::Encode, q1_0::Dot, q1_0::DotI8},
    {"Q2_0", 42, 64, sizeof(q2_0::Block<64>), false, q2_0::Decode<64>, q2_0::Encode<64>, q2_0::Dot<64>,
     q2_0::DotI8<64>},
    {"PQ2_0", 142, 128, sizeof(q2_0::Block<128>), false, q2_0::Decode<128>, q2_0::Encode<128>, q2_0::Dot<128>,
     q2_0::DotI8<128>},
    {"TQ2_0", 35, tq2_0::kWeights, sizeof(tq2_0::Block), false, tq2_0::Decode, tq2_0::Encode, tq2_0::Dot, tq2_0::DotI8},
};

struct KnownName {
  uint32_t id;
  std::string_view name;
};

// What other programs write. 4 and 5 were withdrawn before GGUF existed; 31-33 and 37-38 are layouts that files no
// longer hold; 36 was such a layout too and is BitNet's I2_S in files that exist; 143 is Prism's.
constexpr KnownName kNotRun[] = {
    {2, "Q4_0"},        {3, "Q4_1"},        {6, "Q5_0"},      {7, "Q5_1"},      {9, "Q8_1"},     {10, "Q2_K"},
    {11, "Q3_K"},       {12, "Q4_K"},       {13, "Q5_K"},     {14, "Q6_K"},     {15, "Q8_K"},    {16, "IQ2_XXS"},
    {17, "IQ2_XS"},     {18, "IQ3_XXS"},    {19, "IQ1_S"},    {20, "IQ4_NL"},   {21, "IQ3_S"},   {22, "IQ2_S"},
    {23, "IQ4_XS"},     {24, "I8"},         {25, "I16"},      {26, "I32"},      {27, "I64"},     {28, "F64"},
    {29, "IQ1_M"},      {31, "Q4_0_4_4"},   {32, "Q4_0_4_8"}, {33, "Q4_0_8_8"}, {34, "TQ1_0"},   {36, "I2_S"},
    {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"}, {39, "MXFP4"},    {40, "NVFP4"},    {134, "IQ1_BN"}, {135, "IQ2_BN"},
    {143, "PTQ1_0"},
};

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::toupper(static_cast<unsigned char>(a[i])) != std::toupper(static_cast<unsigned char>(b[i]))) return false;
  }
  return true;
}

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

const Type* FindByName(std::string_view name) {
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
