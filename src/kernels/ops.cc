#include "kernels/ops.h"

namespace bonsai::kernels {
namespace {

struct KvTypeRow {
  KvType type;
  std::string_view name;
  int32_t block;  // elements
  size_t bytes;   // of a block
};
// In the order of the enumeration.
constexpr KvTypeRow kRows[] = {
    {KvType::kF32, "f32", 1, 4},
    {KvType::kF16, "f16", 1, 2},
    {KvType::kQ8_0, "q8_0", 32, 34},
    {KvType::kQ4_0, "q4_0", 32, 18},
};
constexpr KvType kTypes[] = {KvType::kF32, KvType::kF16, KvType::kQ8_0, KvType::kQ4_0};
static_assert(std::size(kRows) == std::size(kTypes));

constexpr const KvTypeRow& RowOf(KvType type) { return kRows[static_cast<size_t>(type)]; }
static_assert(RowOf(KvType::kF16).type == KvType::kF16 && RowOf(KvType::kQ4_0).type == KvType::kQ4_0);

Status CheckWidth(std::string_view what, int32_t width, KvType type) {
  if (width % KvBlockWidth(type) == 0) return {};
  return Error(ErrorCode::kInvalidArgument,
               "a {} cache for {} stores blocks of {} elements, but heads of this model are {} wide; use f16",
               KvTypeName(type), what, KvBlockWidth(type), width);
}

}  // namespace

std::string_view KvTypeName(KvType type) { return RowOf(type).name; }

std::span<const KvType> AllKvTypes() { return kTypes; }

Result<KvType> KvTypeByName(std::string_view name) {
  std::string names;
  for (const KvTypeRow& row : kRows) {
    if (row.name == name) return row.type;
    names += (names.empty() ? "" : ", ") + std::string(row.name);
  }
  return Error(ErrorCode::kInvalidArgument, "there is no KV cache type '{}'; use one of: {}", name, names);
}

int32_t KvBlockWidth(KvType type) { return RowOf(type).block; }

size_t KvBytes(KvType type, size_t n) { return n / static_cast<size_t>(RowOf(type).block) * RowOf(type).bytes; }

Status KvSpec::Check() const {
  BONSAI_RETURN_IF_ERROR(CheckWidth("keys", k_width, k_type));
  return CheckWidth("values", v_width, v_type);
}

size_t KvSpec::BlockBytes() const {
  const auto rows = static_cast<size_t>(layers) * static_cast<size_t>(kv_heads) * static_cast<size_t>(kKvBlock);
  return KvBytes(k_type, rows * static_cast<size_t>(k_width)) + KvBytes(v_type, rows * static_cast<size_t>(v_width));
}

}  // namespace bonsai::kernels
