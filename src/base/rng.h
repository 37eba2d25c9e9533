// Random numbers that are the same on every machine for the same seed (std::mt19937_64 is fixed by the standard;
// the standard's distributions are not, so the conversions are ours).
#pragma once

#include <cstdint>
#include <random>

namespace bonsai {

/// One stream of random numbers. Copyable (a copy repeats the stream); not thread safe.
class Rng {
 public:
  explicit Rng(uint64_t seed) : engine_(seed) {}
  /// 64 uniform bits.
  uint64_t Next() { return engine_(); }
  /// Uniform in [0, 1), 53 bits.
  double Uniform() { return static_cast<double>(engine_() >> 11) * 0x1.0p-53; }

 private:
  std::mt19937_64 engine_;
};

}  // namespace bonsai
