#include "cli/bench_output.h"

#include <gtest/gtest.h>

#include <cmath>

namespace bonsai::cli {
namespace {

TEST(SummarizeTest, MeanAndSampleDeviation) {
  const std::vector<double> v = {2, 4, 4, 4, 5, 5, 7, 9};  // squares of the differences sum to 32
  EXPECT_DOUBLE_EQ(Summarize(v).mean, 5);
  EXPECT_DOUBLE_EQ(Summarize(v).deviation, std::sqrt(32.0 / 7));
  EXPECT_DOUBLE_EQ(Summarize(std::vector<double>{3}).mean, 3);
  EXPECT_EQ(Summarize(std::vector<double>{3}).deviation, 0);
  EXPECT_EQ(Summarize({}).mean, 0);
  // Large values, small differences: no cancellation.
  const std::vector<double> large = {1e9 + 1, 1e9 + 2, 1e9 + 3};
  EXPECT_NEAR(Summarize(large).deviation, 1, 1e-6);
}

TEST(BenchResultTest, Names) {
  BenchResult r;
  r.prompt = 512;
  EXPECT_EQ(r.TestName(), "pp512");
  r.generated = 128;
  EXPECT_EQ(r.TestName(), "pp512+tg128");
  r.prompt = 0, r.depth = 4096;
  EXPECT_EQ(r.TestName(), "tg128 @ d4096");
}

TEST(BenchResultTest, RatesAndShares) {
  BenchResult r;
  r.generated = 10;
  r.seconds = {1.0, 2.0};  // 10 and 5 tokens a second
  EXPECT_DOUBLE_EQ(r.TokensPerSecond().mean, 7.5);
  EXPECT_DOUBLE_EQ(r.TokensPerSecond().deviation, std::sqrt(12.5));
  r.bytes = 1000, r.macs = 4000;  // 100 bytes and 400 multiply-adds a token
  r.ceilings.read_bytes_per_s = 1500, r.ceilings.int8_macs_per_s = 12000;
  EXPECT_DOUBLE_EQ(r.BandwidthShare(), 0.5);
  EXPECT_DOUBLE_EQ(r.DotShare(), 0.25);
}

}  // namespace
}  // namespace bonsai::cli
