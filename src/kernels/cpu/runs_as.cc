#include "kernels/cpu/runs_as.h"

#include <string_view>
#include <utility>

#include "base/buffer.h"
#include "quant/repack.h"

namespace bonsai::kernels::cpu {
namespace {

// Base 3 saves a fifth of the space and costs a multiplication a weight; tiles of two bits are as fast as memory. I2_S
// would fit PQ2_0 only where a file's scale is an fp16 number.
struct Replacement {
  std::string_view type, as;
};
constexpr Replacement kReplacements[] = {
    {"TQ1_0", "TQ2_0"},
    {"PTQ1_0", "PQ2_0"},
    {"TQ2_0_G128", "PQ2_0"},
};

}  // namespace

const quant::Type& RunsAs(const quant::Type& type, int64_t cols) {
  for (const Replacement& r : kReplacements) {
    if (r.type != type.name) continue;
    const quant::Type* as = quant::FindByName(r.as);
    if (as->RowBytes(cols)) return *as;
  }
  return type;
}

ReadRowsFn Repacked(const quant::Type& from, const quant::Type& to, int64_t cols, ReadRowsFn read) {
  return [&from, &to, cols, read = std::move(read)](int64_t row, int64_t rows, std::span<std::byte> out) -> Status {
    BONSAI_ASSIGN(const uint64_t from_bytes, from.RowBytes(cols));
    BONSAI_ASSIGN(const uint64_t to_bytes, to.RowBytes(cols));
    BONSAI_ASSIGN(Buffer stored, Buffer::Allocate(from_bytes * static_cast<uint64_t>(rows)));
    BONSAI_RETURN_IF_ERROR(read(row, rows, stored.span()));
    for (int64_t r = 0; r < rows; ++r) {
      const auto at = static_cast<uint64_t>(r);
      if (quant::Repack(from, stored.data() + at * from_bytes, to, out.data() + at * to_bytes, cols)) continue;
      return Error(ErrorCode::kCorrupt,
                   "row {} of a {} matrix cannot run as {}: a scale is infinite or not a number; is "
                   "the file damaged?",
                   row + r, from.name, to.name);
    }
    return {};
  };
}

}  // namespace bonsai::kernels::cpu
