#include "kernels/ops.h"

namespace bonsai::kernels {

std::string_view KvTypeName(KvType type) { return type == KvType::kF32 ? "f32" : "f16"; }

size_t KvBytes(KvType type, size_t n) { return n * (type == KvType::kF32 ? 4 : 2); }

size_t KvSpec::BlockBytes() const {
  const auto rows = static_cast<size_t>(layers) * static_cast<size_t>(kv_heads) * static_cast<size_t>(kKvBlock);
  return KvBytes(k_type, rows * static_cast<size_t>(k_width)) + KvBytes(v_type, rows * static_cast<size_t>(v_width));
}

}  // namespace bonsai::kernels
