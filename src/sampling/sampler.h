// Choosing the next token from the logits.
// Order, as in llama.cpp: penalties → top-k → top-p → min-p → temperature → draw.
//
//   Sampler s(params, vocab_size);
//   const int32_t id = s.Sample(logits);   // logits of the last position
//   s.Accept(id);                          // now part of the history that the penalties look at
//
// The same logits, parameters and seed give the same token on every machine: weights exp(logit - max) are rounded to
// multiples of 2^-40 by our own arithmetic (weight.h), so every sum is exact in integers and has no order.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/rng.h"
#include "base/status.h"
#include "formats/metadata.h"

namespace bonsai::sampling {

/// Names and meanings as in llama.cpp. Defaults apply where neither the user nor the file says otherwise.
struct Params {
  float temperature = 0.8f;        ///< 0 = greedy: the arg-max after penalties, ties to the lowest id.
  int32_t top_k = 40;              ///< Keep the k most likely; 0 or less = all.
  float top_p = 0.95f;             ///< Keep the smallest set with at least this probability; 1 = all.
  float min_p = 0.05f;             ///< Drop tokens less likely than min_p × the most likely; 0 = none.
  float repeat_penalty = 1.0f;     ///< > 1 divides positive (multiplies negative) logits of recent tokens; 1 = off.
  int32_t repeat_last_n = 64;      ///< How many recent tokens the three penalties look at; 0 = off, -1 = all.
  float presence_penalty = 0.0f;   ///< Subtracted once from a token that occurred.
  float frequency_penalty = 0.0f;  ///< Subtracted for each time it occurred.
  uint64_t seed = 0;
};

/// kInvalidArgument when a value is out of range or not finite; the message uses the flag's name ("--top-p").
Status Validate(const Params& params);

/// The file's `general.sampling.{temp,top_k,top_p,min_p,penalty_repeat,penalty_last_n}` over the defaults above,
/// stored as integers or floats. kCorrupt, naming the key, for values of another kind or that do not validate.
Result<Params> ParamsFromMetadata(const formats::Metadata& metadata);

/// A token, its logit after penalties, and its probability under the truncated, tempered distribution.
struct Candidate {
  int32_t id;
  float logit;
  float probability;
};

/// One sequence's sampler. Not thread safe. Never sorts the whole vocabulary: time is linear in it.
class Sampler {
 public:
  /// `params` must validate; vocab_size is at least 1.
  Sampler(const Params& params, int32_t vocab_size);
  /// The next token. `logits` holds vocab_size floats and is not changed. Tokens whose logit is NaN or minus infinity
  /// are never drawn; when that is all of them, returns id 0. Plus infinity beats everything finite.
  int32_t Sample(std::span<const float> logits);
  /// Records a token (prompt tokens too), 0 <= id < vocab_size, for the penalties.
  void Accept(int32_t id);
  /// The candidates that the last Sample() drew from, by id. Valid until the next Sample().
  std::span<const Candidate> last_candidates() const { return candidates_; }

 private:
  /// A token in the selections. Tokens are ordered by logit, equal ones by id: every filter keeps a prefix of that
  /// order, so it is described by the last token that it keeps.
  struct Scored {
    float logit;
    int32_t id;
    uint64_t weight;
  };
  static constexpr Scored kEverything{-std::numeric_limits<float>::infinity(), std::numeric_limits<int32_t>::max(), 0};
  static bool MoreLikely(const Scored& a, const Scored& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  }

  std::span<const float> ApplyPenalties(std::span<const float> logits);
  Scored CutTopK(std::span<const float> logits);
  uint64_t CollectTopPEnd(std::span<const float> logits, float max);
  Scored CutTopP(std::span<const float> logits, float max, bool top_k_done);
  void Truncate(std::span<const float> logits, float max);
  int32_t Draw(float max);

  Params params_;
  Rng rng_;
  size_t vocab_size_;
  bool penalties_on_;
  float log_min_p_;                              // minus infinity when off
  std::deque<int32_t> recent_;                   // the last repeat_last_n tokens, while penalties are on
  std::unordered_map<int32_t, int32_t> counts_;  // occurrences of each id in recent_
  std::vector<float> penalised_;                 // scratch: a copy of the logits
  std::vector<Scored> scored_;                   // scratch of the top-k and top-p selections
  std::vector<uint64_t> weights_;                // tempered weights of candidates_
  std::vector<Candidate> candidates_;
};

}  // namespace bonsai::sampling
