// exp and silu as every kernel computes them: branch-free (so that compilers vectorise loops of them) and without
// fused operations, so that every ISA gives the same bits. Pure functions, thread safe.
#pragma once

#include <bit>
#include <cstdint>

namespace bonsai::kernels {

/// e^x within 1 ulp (math_test.cc sweeps it) where the result is normal, and within one unit of the last place of
/// subnormals below; +inf from 88.73 on, 0 below -104, exp(-inf) = 0, NaN for NaN.
/// x = n·ln2 + r with |r| ≤ ln2/2, e^x = 2^n · (1 + r + r²·Q(r)): Cody & Waite 1980, chapter 6; Q is our own
/// least-squares fit of degree 4 with relative error 3.8e-9 (2^-28).
inline float Exp(float x) {
  constexpr float kMagic = 0x1.8p23f;  // adding it leaves the nearest integer in the low bits
  x = x < -105.0f ? -105.0f : x;
  x = x > 89.0f ? 89.0f : x;
  const float shifted = x * 0x1.715476p+0f + kMagic;
  const float n = shifted - kMagic;
  // 15 significant bits of ln2 times at most 8 of n: the first product, and its subtraction, are exact.
  const float r = (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f;
  const float q =
      (((0x1.687c02p-10f * r + 0x1.123b9ap-7f) * r + 0x1.555b58p-5f) * r + 0x1.55548ep-3f) * r + 0x1.fffff8p-2f;
  const float p = (q * (r * r) + r) + 1.0f;
  // 2^n in two factors: n reaches from -151 (subnormal results) to 128 (infinity). Unsigned: NaN may hold any bits.
  const uint32_t e = std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kMagic);
  const auto half = static_cast<uint32_t>(static_cast<int32_t>(e) >> 1);
  return p * std::bit_cast<float>((half + 127u) << 23) * std::bit_cast<float>((e - half + 127u) << 23);
}

/// x · sigmoid(x) = x / (1 + e^-x). Below -88.73 the divisor is infinite and the result -0 (the true value is
/// smaller than 1e-36).
inline float Silu(float x) { return x / (1.0f + Exp(-x)); }

}  // namespace bonsai::kernels
