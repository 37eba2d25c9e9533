// Portable row kernels (kernels/cpu/isa.h) of two-bit weights, for the portable table.
#pragma once

#include "kernels/cpu/isa.h"

namespace bonsai::kernels {

void Q2RowI8(const quant::Type& type, const std::byte* w, int64_t cols, const I8Rows& x, int64_t n, float* y);
void Pq2RowI8(const quant::Type& type, const std::byte* w, int64_t cols, const I8Rows& x, int64_t n, float* y);
void Tq2RowI8(const quant::Type& type, const std::byte* w, int64_t cols, const I8Rows& x, int64_t n, float* y);

}  // namespace bonsai::kernels
