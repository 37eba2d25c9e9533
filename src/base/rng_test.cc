#include "base/rng.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace bonsai {
namespace {

TEST(Rng, IsTheStandardsEngine) {
  // C++20 [rand.predef]: the 10000th value of a default-seeded (5489) std::mt19937_64.
  Rng rng(5489);
  for (int i = 0; i < 9999; i++) rng.Next();
  EXPECT_EQ(rng.Next(), 9981545732273789042u);
}

TEST(Rng, UniformIsTheTop53Bits) {
  Rng bits(1), uniform(1);
  for (int i = 0; i < 100000; i++) {
    const double u = uniform.Uniform();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    ASSERT_EQ(u, static_cast<double>(bits.Next() >> 11) / 9007199254740992.0);
  }
}

TEST(Rng, UniformIsFlat) {
  // Pearson's chi-square over 16 cells, 15 degrees of freedom: 37.70 at significance 0.001. The seed is fixed.
  Rng rng(42);
  int seen[16] = {};
  constexpr int kDraws = 160000;
  for (int i = 0; i < kDraws; i++) seen[static_cast<int>(16 * rng.Uniform())]++;
  double chi = 0;
  for (const int n : seen) chi += (n - kDraws / 16.0) * (n - kDraws / 16.0) / (kDraws / 16.0);
  EXPECT_LT(chi, 37.70);
}

TEST(Rng, CopiesRepeatTheStream) {
  Rng a(3);
  a.Next();
  Rng b = a;
  for (int i = 0; i < 1000; i++) EXPECT_EQ(a.Next(), b.Next());
  EXPECT_NE(Rng(1).Next(), Rng(2).Next());
}

}  // namespace
}  // namespace bonsai
