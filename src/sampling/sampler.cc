#include "sampling/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "sampling/weight.h"

namespace bonsai::sampling {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// The largest of n values; NaN is ignored; minus infinity when there is none. The 16 separate maxima are what lets
/// a compiler use vector registers without reordering one chain of comparisons.
float Max(const float* values, size_t n) {
  constexpr size_t kLanes = 16;
  float lanes[kLanes];
  std::fill(lanes, lanes + kLanes, -kInfinity);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (size_t j = 0; j < kLanes; j++) lanes[j] = values[i + j] > lanes[j] ? values[i + j] : lanes[j];
  for (; i < n; i++) lanes[0] = values[i] > lanes[0] ? values[i] : lanes[0];
  return *std::max_element(lanes, lanes + kLanes);
}

/// Calls visit(id, logit) in id order for every logit above `floor`, which visit may raise. Blocks without one are
/// passed over at vector speed.
template <class F>
void VisitAbove(std::span<const float> logits, const float& floor, F visit) {
  constexpr size_t kBlock = 64;
  for (size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const size_t end = std::min(begin + kBlock, logits.size());
    if (!(Max(logits.data() + begin, end - begin) > floor)) continue;
    for (size_t i = begin; i < end; i++)
      if (logits[i] > floor) visit(static_cast<int32_t>(i), logits[i]);
  }
}

/// The next lower float: x > Below(y) is x >= y.
float Below(float x) { return std::nextafter(x, -kInfinity); }

/// p of a total weight, rounded up. Less than the total for p < 1: p is then at most 1 - 2^-24.
uint64_t Share(float p, uint64_t total) {
  return static_cast<uint64_t>(std::ceil(double{p} * static_cast<double>(total)));
}

}  // namespace

Sampler::Sampler(const Params& params, int32_t vocab_size)
    : params_(params),
      rng_(params.seed),
      vocab_size_(static_cast<size_t>(vocab_size)),
      penalties_on_(params.repeat_last_n != 0 &&
                    (params.repeat_penalty != 1 || params.presence_penalty != 0 || params.frequency_penalty != 0)),
      log_min_p_(params.min_p > 0 ? static_cast<float>(std::log(double{params.min_p})) : -kInfinity) {
  BONSAI_CHECK(vocab_size >= 1 && Validate(params).ok());
}

void Sampler::Accept(int32_t id) {
  BONSAI_CHECK(id >= 0 && static_cast<size_t>(id) < vocab_size_);
  if (!penalties_on_) return;
  counts_[id]++;
  if (params_.repeat_last_n < 0) return;  // nothing is ever forgotten, so the counts are enough
  recent_.push_back(id);
  if (recent_.size() <= static_cast<size_t>(params_.repeat_last_n)) return;
  const auto oldest = counts_.find(recent_.front());
  if (--oldest->second == 0) counts_.erase(oldest);
  recent_.pop_front();
}

/// The repeat penalty is that of CTRL (arXiv:1909.05858, §4.1), made to work for negative logits too; the others are
/// those of the OpenAI API.
std::span<const float> Sampler::ApplyPenalties(std::span<const float> logits) {
  if (counts_.empty()) return logits;
  penalised_.assign(logits.begin(), logits.end());
  for (const auto& [id, count] : counts_) {
    float& x = penalised_[static_cast<size_t>(id)];
    x = x > 0 ? x / params_.repeat_penalty : x * params_.repeat_penalty;
    x -= static_cast<float>(count) * params_.frequency_penalty + params_.presence_penalty;
  }
  return penalised_;
}

int32_t Sampler::Sample(std::span<const float> logits) {
  BONSAI_CHECK(logits.size() == vocab_size_);
  logits = ApplyPenalties(logits);
  float max = Max(logits.data(), logits.size());
  candidates_.clear();
  if (max == -kInfinity || params_.temperature == 0) {
    const auto best = max == -kInfinity ? logits.begin() : std::find(logits.begin(), logits.end(), max);
    candidates_.push_back({static_cast<int32_t>(best - logits.begin()), max, 1.0f});
    return candidates_[0].id;
  }
  max = std::min(max, std::numeric_limits<float>::max());  // so that differences to it are never NaN
  Truncate(logits, max);
  return Draw(max);
}

/// Leaves the k most likely tokens in scored_ (fewer if fewer are finite), in no order, and returns the last of them.
/// Linear in the vocabulary, whatever its order.
Sampler::Scored Sampler::CutTopK(std::span<const float> logits) {
  const auto k = static_cast<size_t>(params_.top_k);
  Scored last = kEverything;
  // A buffer of 2k that is cut back to the best k when full: the k-th best so far is the bar for what follows. An
  // equal logit further on has a higher id and loses, so "above the bar" is exact.
  float bar = -kInfinity;
  scored_.clear();
  const auto cut = [&] {
    const auto kth = scored_.begin() + static_cast<ptrdiff_t>(k) - 1;
    std::nth_element(scored_.begin(), kth, scored_.end(), MoreLikely);
    last = *kth;
    bar = last.logit;
    scored_.resize(k);
  };
  VisitAbove(logits, bar, [&](int32_t id, float logit) {
    scored_.push_back({logit, id, 0});
    if (scored_.size() == 2 * k) cut();
  });
  if (scored_.size() >= k) cut();
  return last;
}

/// Fills scored_ with the tokens among which the top-p set of the whole vocabulary ends, in no order, and returns the
/// weight still needed from them. They are one bucket of a histogram of the weights by logit; what lies in the buckets
/// above is in the set, what lies below is not, and neither has to be looked at again.
uint64_t Sampler::CollectTopPEnd(std::span<const float> logits, float max) {
  constexpr size_t kBlock = 64, kBucketsPerNat = 8;
  const auto bucket = [](double x) { return static_cast<size_t>(-x * kBucketsPerNat); };
  std::array<uint64_t, 40 * kBucketsPerNat + 1> sums{};  // ClampExponent() ends at -40
  double x[kBlock];
  uint64_t weights[kBlock];
  // In blocks, because GCC 12 vectorises the clamping and the exponential as two loops but not as one.
  for (size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const size_t n = std::min(kBlock, logits.size() - begin);
    for (size_t i = 0; i < n; i++) x[i] = ClampExponent(double{logits[begin + i]} - max);
    for (size_t i = 0; i < n; i++) weights[i] = WeightOfClamped(x[i]);
    for (size_t i = 0; i < n; i++) sums[bucket(x[i])] += weights[i];
  }
  uint64_t need = Share(params_.top_p, std::accumulate(sums.begin(), sums.end(), uint64_t{0}));
  size_t last = 0;
  while (sums[last] < need) need -= sums[last++];
  scored_.clear();
  const auto floor = static_cast<float>(max - static_cast<double>(last + 1) / kBucketsPerNat);
  VisitAbove(logits, Below(floor), [&](int32_t id, float logit) {
    const double clamped = ClampExponent(double{logit} - max);
    if (bucket(clamped) == last) scored_.push_back({logit, id, WeightOfClamped(clamped)});
  });
  return need;
}

/// The last token of the smallest set that holds top_p of the weight: of scored_ after a top-k, else of all logits.
Sampler::Scored Sampler::CutTopP(std::span<const float> logits, float max, bool top_k_done) {
  uint64_t need = 0;
  if (top_k_done) {
    uint64_t total = 0;
    for (Scored& s : scored_) total += s.weight = Weight(double{s.logit} - max);
    need = Share(params_.top_p, total);
  } else {
    need = CollectTopPEnd(logits, max);
  }
  // Halve until one token is left: the one that carries the sum from the top to `need`. Linear: n + n/2 + n/4 …
  auto first = scored_.begin(), end = scored_.end();
  while (end - first > 1) {
    const auto middle = first + (end - first) / 2;
    std::nth_element(first, middle, end, MoreLikely);
    uint64_t upper = 0;
    for (auto s = first; s != middle; ++s) upper += s->weight;
    if (upper >= need) {
      end = middle;
    } else {
      need -= upper;
      first = middle;
    }
  }
  return *first;
}

/// Fills candidates_ with what top-k, top-p and min-p leave, by id.
void Sampler::Truncate(std::span<const float> logits, float max) {
  const float min_logit = max + log_min_p_;
  const bool top_k_on = params_.top_k > 0 && static_cast<size_t>(params_.top_k) < vocab_size_;
  Scored last = kEverything;
  if (top_k_on) last = CutTopK(logits);
  if (params_.top_p < 1) last = std::min(last, CutTopP(logits, max, top_k_on), MoreLikely);
  last = std::min(last, Scored{min_logit, kEverything.id, 0}, MoreLikely);
  VisitAbove(logits, Below(last.logit), [&](int32_t id, float logit) {
    if (logit > last.logit || id <= last.id) candidates_.push_back({id, logit, 0.0f});
  });
}

/// Draws one of candidates_ by its weight at the given temperature and fills in the probabilities.
int32_t Sampler::Draw(float max) {
  const double inverse = 1 / double{params_.temperature};  // finite for every float: the smallest is 1.4e-45
  weights_.clear();
  uint64_t total = 0;  // at least kWeightOne: the most likely token is always there
  for (const Candidate& c : candidates_) total += weights_.emplace_back(Weight((double{c.logit} - max) * inverse));
  for (size_t i = 0; i < candidates_.size(); i++)
    candidates_[i].probability = static_cast<float>(static_cast<double>(weights_[i]) / static_cast<double>(total));
  // The product can round up to `total`, hence the minimum.
  uint64_t rest = std::min(static_cast<uint64_t>(rng_.Uniform() * static_cast<double>(total)), total - 1);
  size_t i = 0;
  for (; rest >= weights_[i]; i++) rest -= weights_[i];
  return candidates_[i].id;
}

}  // namespace bonsai::sampling
