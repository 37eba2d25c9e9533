// Formats that have no kernels of their own and run as another one that holds the same numbers in about the same space.
#pragma once

#include "kernels/ops.h"
#include "quant/types.h"

namespace bonsai::kernels::cpu {

/// The format that the CPU keeps a matrix of `type` and this width in: `type` itself for most, and where rows are not
/// whole blocks of the other one.
const quant::Type& RunsAs(const quant::Type& type, int64_t cols);

/// Reads rows that are stored as `from` and hands them out as `to`, the same numbers: kCorrupt, naming the row, when
/// `to` does not hold them. `cols` is a row of whole blocks of both. Called like `read`, of which it keeps a copy.
ReadRowsFn Repacked(const quant::Type& from, const quant::Type& to, int64_t cols, ReadRowsFn read);

}  // namespace bonsai::kernels::cpu
