// Choosing the next token from the logits.
// Order, as in llama.cpp: penalties → top-k → top-p → min-p → temperature → draw.
//
//   Sampler s(params, vocab_size);
//   const int32_t id = s.Sample(logits);   // logits of the last position
//   s.Accept(id);                          // now part of the history that the penalties look at
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "base/rng.h"
#include "base/status.h"
#include "formats/metadata.h"

namespace bonsai::sampling {

/// Names and meanings as in llama.cpp. Defaults apply where neither the user nor the file says otherwise.
struct Params {
  float temperature = 0.8f;        ///< 0 = greedy: the arg-max, ties to the lowest id.
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

/// The file's `general.sampling.{temp,top_k,top_p,min_p}` over the defaults above. Values that do not validate are
/// an error that names the key.
Result<Params> ParamsFromMetadata(const formats::Metadata& metadata);

/// A token and its probability under the truncated, tempered distribution.
struct Candidate {
  int32_t id;
  float logit;
  float probability;
};

/// One sequence's sampler. Not thread safe. Never sorts the whole vocabulary.
class Sampler {
 public:
  Sampler(const Params& params, int32_t vocab_size);
  /// The next token. `logits` holds vocab_size floats and is not changed. NaN counts as minus infinity; when nothing
  /// is left (all minus infinity), returns the lowest id that has the largest logit.
  int32_t Sample(std::span<const float> logits);
  /// Records a token (prompt tokens too) for the penalties.
  void Accept(int32_t id);
  /// The candidates that the last Sample() drew from, most likely first (for tests and logprobs).
  std::span<const Candidate> last_candidates() const { return candidates_; }

 private:
  void ApplyPenalties(std::span<const float> logits);
  Params params_;
  Rng rng_;
  int32_t vocab_size_;
  std::deque<int32_t> recent_;
  std::vector<int32_t> counts_;        // occurrences of each id in recent_
  std::vector<float> penalised_;       // scratch copy of the logits
  std::vector<Candidate> candidates_;
};

}  // namespace bonsai::sampling
