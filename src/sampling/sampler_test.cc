#include "sampling/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/rng.h"

namespace bonsai::sampling {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::numeric_limits<float>::quiet_NaN();

/// Nothing cut off, nothing tempered.
Params Plain() {
  Params p;
  p.temperature = 1, p.top_k = 0, p.top_p = 1, p.min_p = 0;
  return p;
}

Params Greedy() {
  Params p;
  p.temperature = 0;
  return p;
}

int32_t SampleOnce(const Params& p, const std::vector<float>& logits) {
  return Sampler(p, static_cast<int32_t>(logits.size())).Sample(logits);
}

std::vector<int32_t> Ids(const Sampler& s) {
  std::vector<int32_t> ids;
  for (const Candidate& c : s.last_candidates()) ids.push_back(c.id);
  return ids;
}

TEST(Sampler, GreedyTakesTheLowestOfEquals) {
  EXPECT_EQ(SampleOnce(Greedy(), {1, 3, 3, 2}), 1);
  EXPECT_EQ(SampleOnce(Greedy(), {-1, -3}), 0);
  EXPECT_EQ(SampleOnce(Greedy(), {kNan, -kInf, -5, kNan}), 2);
  EXPECT_EQ(SampleOnce(Greedy(), {0, kInf, kInf}), 1);
  std::vector<float> many(1000, -2.0f);
  many[997] = many[999] = 4;
  EXPECT_EQ(SampleOnce(Greedy(), many), 997);
}

TEST(Sampler, NothingLeftGivesTheLowestId) {
  for (const Params& p : {Greedy(), Plain(), Params{}}) {
    EXPECT_EQ(SampleOnce(p, {-kInf, -kInf}), 0);
    EXPECT_EQ(SampleOnce(p, {kNan, -kInf, kNan}), 0);
    EXPECT_EQ(SampleOnce(p, {kNan}), 0);
    EXPECT_EQ(SampleOnce(p, {-3}), 0);  // a vocabulary of one
  }
}

TEST(Sampler, NanAndInfinity) {
  Sampler s(Plain(), 4);
  for (int i = 0; i < 100; i++) EXPECT_EQ(s.Sample(std::vector<float>{kNan, -kInf, 1, -kInf}), 2);
  EXPECT_EQ(Ids(s), std::vector<int32_t>{2});
  // Two infinities share everything.
  int seen[4] = {};
  for (int i = 0; i < 1000; i++) seen[s.Sample(std::vector<float>{kInf, 3, kInf, kNan})]++;
  EXPECT_EQ(seen[0] + seen[2], 1000);
  EXPECT_GT(seen[0], 400);  // 500 ± 6.3 standard deviations
  EXPECT_GT(seen[2], 400);
  Sampler truncated(Params{}, 4);
  for (int i = 0; i < 100; i++) EXPECT_EQ(truncated.Sample(std::vector<float>{-1, 3, kInf, kNan}), 2);
}

TEST(Sampler, ExtremeTemperatures) {
  const std::vector<float> logits = {1e30f, 1e30f, -1e30f, 3e38f, -3e38f, 2.9e38f};
  for (const float t : {1e-45f, 1e-6f, 1.0f, 1e6f}) {
    Params p = Plain();
    p.temperature = t;
    EXPECT_EQ(SampleOnce(p, logits), 3) << t;
  }
  // Almost no temperature is greedy; almost infinite temperature is uniform, also 100 nats below the top.
  Params cold = Plain(), hot = Plain();
  cold.temperature = 1e-6f;
  hot.temperature = 1e6f;
  Sampler cold_sampler(cold, 3), hot_sampler(hot, 3);
  int seen[3] = {};
  for (int i = 0; i < 3000; i++) {
    EXPECT_EQ(cold_sampler.Sample(std::vector<float>{0, 1.0f, 0.999f}), 1);
    seen[hot_sampler.Sample(std::vector<float>{0, 100, -100})]++;
  }
  for (const Candidate& c : hot_sampler.last_candidates()) EXPECT_NEAR(c.probability, 1.0 / 3, 1e-4);
  for (const int n : seen) EXPECT_NEAR(n, 1000, 155);  // 6 standard deviations, sqrt(3000 · 1/3 · 2/3) = 25.8
}

TEST(Sampler, SameSeedSameTokens) {
  Rng rng(1);
  std::vector<float> logits(5000);
  for (float& x : logits) x = static_cast<float>(10 * rng.Uniform());
  Params p, other;
  other.seed = 1;
  Sampler a(p, 5000), b(p, 5000), c(other, 5000);
  int different = 0;
  for (int i = 0; i < 200; i++) {
    const int32_t id = a.Sample(logits);
    EXPECT_EQ(id, b.Sample(logits));
    different += id != c.Sample(logits);
  }
  EXPECT_GT(different, 100);
}

TEST(Sampler, FixedSequence) {
  // What a seed gives is part of the interface: these ids must be the same on every machine. The first draws of
  // std::mt19937_64(0) are 2947667278772165694, 18301848765998365067, 729919693006235833, 11021831128136023278; divided
  // by 2^64: 0.1598, 0.9921, 0.0396, 0.5975. Four tokens of equal logits split [0, 1) into quarters: 0, 3, 0, 2.
  Sampler s(Plain(), 4);
  const std::vector<float> logits(4, 2.5f);
  std::vector<int32_t> ids;
  for (int i = 0; i < 4; i++) ids.push_back(s.Sample(logits));
  EXPECT_EQ(ids, (std::vector<int32_t>{0, 3, 0, 2}));
}

// ---- distribution ----

/// Pearson's statistic of n draws against the probabilities.
double ChiSquare(Sampler& s, const std::vector<float>& logits, const std::vector<double>& probabilities, int n) {
  std::vector<int> seen(logits.size(), 0);
  for (int i = 0; i < n; i++) seen[static_cast<size_t>(s.Sample(logits))]++;
  double sum = 0;
  for (size_t i = 0; i < seen.size(); i++) {
    if (probabilities[i] == 0) {
      EXPECT_EQ(seen[i], 0) << i;
      continue;
    }
    const double expected = n * probabilities[i];
    sum += (seen[i] - expected) * (seen[i] - expected) / expected;
  }
  return sum;
}

TEST(Sampler, DrawsFromTheDistribution) {
  // Probabilities 1/16 … 8/16 by hand. Critical values of chi-square at significance 0.001; the seed is fixed, so the
  // test is deterministic, and a wrong distribution misses them by orders of magnitude.
  const std::vector<float> logits = {std::log(1.0f), std::log(2.0f), std::log(5.0f), std::log(8.0f)};
  Sampler plain(Plain(), 4);
  EXPECT_LT(ChiSquare(plain, logits, {1 / 16.0, 2 / 16.0, 5 / 16.0, 8 / 16.0}, 100000), 16.27);  // 3 degrees

  Params half = Plain();  // temperature 1/2 squares: 1, 4, 25, 64 of 94
  half.temperature = 0.5f;
  Sampler cold(half, 4);
  EXPECT_LT(ChiSquare(cold, logits, {1 / 94.0, 4 / 94.0, 25 / 94.0, 64 / 94.0}, 100000), 16.27);

  Params p = Plain();  // 8 + 5 + 2 = 15/16 >= 0.9 > 13/16
  p.top_p = 0.9f;
  Sampler nucleus(p, 4);
  EXPECT_LT(ChiSquare(nucleus, logits, {0, 2 / 15.0, 5 / 15.0, 8 / 15.0}, 100000), 13.82);  // 2 degrees

  Params k = Plain();
  k.top_k = 2;
  Sampler top(k, 4);
  EXPECT_LT(ChiSquare(top, logits, {0, 0, 5 / 13.0, 8 / 13.0}, 100000), 10.83);  // 1 degree

  Params m = Plain();  // 2/8 >= 0.2 > 1/8
  m.min_p = 0.2f;
  Sampler min(m, 4);
  EXPECT_LT(ChiSquare(min, logits, {0, 2 / 15.0, 5 / 15.0, 8 / 15.0}, 100000), 13.82);
}

TEST(Sampler, TopPIsTakenBeforeTemperatureAndWithinTopK) {
  // top-k 3 leaves 2, 5, 8 of 15; 13/15 = 0.867 >= 0.86, while 13/16 = 0.81 of the whole would not reach it.
  const std::vector<float> logits = {std::log(1.0f), std::log(2.0f), std::log(5.0f), std::log(8.0f)};
  Params p = Plain();
  p.top_k = 3, p.top_p = 0.86f, p.temperature = 5;
  Sampler s(p, 4);
  (void)s.Sample(logits);
  EXPECT_EQ(Ids(s), (std::vector<int32_t>{2, 3}));
  p.top_k = 0;
  Sampler all(p, 4);
  (void)all.Sample(logits);
  EXPECT_EQ(Ids(all), (std::vector<int32_t>{1, 2, 3}));
}

// ---- against a plain implementation that sorts everything ----

std::vector<Candidate> Reference(const Params& p, const std::vector<float>& logits) {
  std::vector<Candidate> all;
  for (size_t i = 0; i < logits.size(); i++)
    if (logits[i] > -kInf) all.push_back({static_cast<int32_t>(i), logits[i], 0});
  std::stable_sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) { return a.logit > b.logit; });
  if (p.top_k > 0 && all.size() > static_cast<size_t>(p.top_k)) all.resize(static_cast<size_t>(p.top_k));
  const double max = all[0].logit;
  if (p.top_p < 1) {
    double total = 0, sum = 0;
    for (const Candidate& c : all) total += std::exp(c.logit - max);
    size_t n = 0;
    do sum += std::exp(all[n++].logit - max);
    while (n < all.size() && sum < double{p.top_p} * total);
    all.resize(n);
  }
  while (all.size() > 1 && p.min_p > 0 && all.back().logit < all[0].logit + std::log(p.min_p)) all.pop_back();
  double total = 0;
  for (const Candidate& c : all) total += std::exp((c.logit - max) / p.temperature);
  for (Candidate& c : all) c.probability = static_cast<float>(std::exp((c.logit - max) / p.temperature) / total);
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  return all;
}

/// Logits of many shapes: spread, nearly flat, full of ties, ascending (the worst order for a running top-k), with
/// infinities.
std::vector<float> RandomLogits(Rng& rng, size_t n) {
  const int shape = static_cast<int>(rng.Uniform() * 5);
  const double spread = std::exp(8 * rng.Uniform() - 4);
  std::vector<float> logits(n);
  for (float& x : logits) {
    x = static_cast<float>(spread * (rng.Uniform() + rng.Uniform() + rng.Uniform() - 1.5));
    if (shape == 1) x = std::round(4 * x) / 4;
    if (shape == 2 && rng.Uniform() < 0.3) x = -kInf;
    if (shape == 3) x = -std::log(static_cast<float>(rng.Uniform()) + 1e-9f) * static_cast<float>(spread);
  }
  if (shape == 4) std::sort(logits.begin(), logits.end());
  if (shape == 2) logits[0] = 0;
  return logits;
}

TEST(Sampler, SameCandidatesAsSortingEverything) {
  Rng rng(2024);
  size_t kept = 0, most = 0;
  for (int round = 0; round < 3000; round++) {
    const size_t n = 1 + static_cast<size_t>(std::exp(8.5 * rng.Uniform()));
    const std::vector<float> logits = RandomLogits(rng, n);
    Params p = Plain();
    p.temperature = static_cast<float>(std::exp(4 * rng.Uniform() - 2));
    if (rng.Uniform() < 0.5) p.top_k = static_cast<int32_t>(std::exp(8.5 * rng.Uniform()));
    if (rng.Uniform() < 0.7) p.top_p = static_cast<float>(rng.Uniform());
    if (rng.Uniform() < 0.2) p.top_p = 0.9999f;
    if (rng.Uniform() < 0.5) p.min_p = static_cast<float>(rng.Uniform() * rng.Uniform());
    Sampler s(p, static_cast<int32_t>(n));
    const int32_t id = s.Sample(logits);
    const std::vector<Candidate> want = Reference(p, logits);
    const auto got = s.last_candidates();
    ASSERT_EQ(got.size(), want.size()) << "round " << round << " n " << n << " k " << p.top_k << " p " << p.top_p
                                       << " m " << p.min_p;
    bool drawn = false;
    for (size_t i = 0; i < got.size(); i++) {
      ASSERT_EQ(got[i].id, want[i].id) << round;
      ASSERT_EQ(got[i].logit, want[i].logit);
      // Weights are off by at most 2^-40 of the greatest, hence probabilities by 2^-40 relative to that plus the
      // same from the total of up to 5000 of them, 5000 · 2^-41 = 2.3e-9, and float rounding, 2^-24 = 6e-8.
      ASSERT_NEAR(got[i].probability, want[i].probability, 7e-8);
      drawn = drawn || got[i].id == id;
    }
    ASSERT_TRUE(drawn);
    kept += got.size();
    most = std::max(most, got.size());
  }
  EXPECT_GT(kept, 100000u);  // the comparison was not only about small sets
  EXPECT_GT(most, 2000u);
}

// ---- penalties ----

TEST(Sampler, PenaltiesByHand) {
  Params p = Plain();
  p.repeat_penalty = 2, p.presence_penalty = 0.5f, p.frequency_penalty = 0.25f, p.repeat_last_n = 4;
  Sampler s(p, 4);
  for (const int32_t id : {3, 3, 0, 0, 1, 0}) s.Accept(id);  // the last four: 0 three times, 1 once
  (void)s.Sample(std::vector<float>{4, -1, 0.5f, 1});
  const auto c = s.last_candidates();
  ASSERT_EQ(c.size(), 4u);
  EXPECT_EQ(c[0].logit, 0.75f);   // 4/2 - 3 · 0.25 - 0.5
  EXPECT_EQ(c[1].logit, -2.75f);  // -1 · 2 - 0.25 - 0.5
  EXPECT_EQ(c[2].logit, 0.5f);
  EXPECT_EQ(c[3].logit, 1.0f);  // forgotten
}

TEST(Sampler, PenaltyWindows) {
  const auto greedy_after = [](int32_t last_n) {
    Params p = Greedy();
    p.repeat_last_n = last_n, p.presence_penalty = 10;
    Sampler s(p, 3);
    for (const int32_t id : {0, 1, 1}) s.Accept(id);
    return s.Sample(std::vector<float>{3, 2, 1});
  };
  EXPECT_EQ(greedy_after(0), 0);
  EXPECT_EQ(greedy_after(1), 0);
  EXPECT_EQ(greedy_after(2), 0);
  EXPECT_EQ(greedy_after(3), 2);
  EXPECT_EQ(greedy_after(-1), 2);
}

TEST(Sampler, PenaltiesLeaveTheCallersLogitsAlone) {
  Params p = Greedy();
  p.repeat_penalty = 3;
  Sampler s(p, 2);
  s.Accept(0);
  const std::vector<float> logits = {2, 1}, before = logits;
  EXPECT_EQ(s.Sample(logits), 1);
  EXPECT_EQ(logits, before);
}

TEST(Sampler, PenaltiesMayRuleOutEverything) {
  Params p = Plain();
  p.presence_penalty = std::numeric_limits<float>::max();
  p.frequency_penalty = std::numeric_limits<float>::max();
  Sampler s(p, 1);
  s.Accept(0);
  EXPECT_EQ(s.Sample(std::vector<float>{1}), 0);
}

}  // namespace
}  // namespace bonsai::sampling
