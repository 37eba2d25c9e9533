// exp() for probabilities, as integers.
#pragma once

#include <bit>
#include <cstdint>

namespace bonsai::sampling {

/// The weight of the most likely token. 2^23 tokens of it still sum exactly in 64 bits; a token less than 2^-41 times
/// as likely weighs 0.
inline constexpr uint64_t kWeightOne = uint64_t{1} << 40;

/// Where exponents stop to matter: e^-40 = 2^-57.7 weighs 0; larger than 0 counts as 0, NaN as minus infinity.
inline double ClampExponent(double x) {
  x = x > -40 ? x : -40;  // false for NaN
  return x < 0 ? x : 0;
}

/// round(2^40 · e^x) for a clamped exponent, off by at most 1. Branch-free, so that compilers vectorise loops of it.
/// std::exp is neither fast enough here nor the same everywhere: glibc takes an FMA variant where the CPU has one, and
/// the last bit differs.
inline uint64_t WeightOfClamped(double x) {
  constexpr double kLog2E = 0x1.71547652b82fep+0;
  constexpr double kLn2High = 0x1.62e42fefa0000p-1;  // 17 trailing zero bits: products with |n| < 2^17 are exact
  constexpr double kLn2Low = 0x1.cf79abc9e3b3ap-40;
  constexpr double kRound = 0x1.8p52;  // adding it rounds to an integer that sits in the low mantissa bits
  // e^x = 2^n · e^r with |r| <= ln(2) / 2; the Taylor series of e^r up to r^11 is off by r^12/12! < 7e-15.
  const double n = x * kLog2E + kRound;
  const double whole = n - kRound;
  const double r = (x - whole * kLn2High) - whole * kLn2Low;
  double e = 1.0 / 39916800;
  e = e * r + 1.0 / 3628800;
  e = e * r + 1.0 / 362880;
  e = e * r + 1.0 / 40320;
  e = e * r + 1.0 / 5040;
  e = e * r + 1.0 / 720;
  e = e * r + 1.0 / 120;
  e = e * r + 1.0 / 24;
  e = e * r + 1.0 / 6;
  e = e * r + 1.0 / 2;
  e = e * r + 1.0;
  e = e * r + 1.0;
  // 2^(n + 40), built in the exponent field; the shift drops what kRound left above n's low bits.
  const double scale = std::bit_cast<double>((std::bit_cast<uint64_t>(n) + (1023 + 40)) << 52);
  return std::bit_cast<uint64_t>(e * scale + 0x1p52) - std::bit_cast<uint64_t>(0x1p52);
}

/// round(2^40 · e^x) for any x: the weight of a token whose logit is x above the largest.
inline uint64_t Weight(double x) { return WeightOfClamped(ClampExponent(x)); }

}  // namespace bonsai::sampling
