// Perplexity of a text under a model.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/status.h"
#include "engine/engine.h"

namespace bonsai::eval {

/// Sums over the scored predictions; the rest follows from them.
struct Perplexity {
  int64_t tokens = 0;  ///< Predictions scored.
  int64_t bytes = 0;   ///< Bytes of the predicted tokens.
  double nll = 0;      ///< Σ −ln p, nats.
  double mean_nll() const { return nll / static_cast<double>(tokens); }
  double ppl() const;
  double bits_per_byte() const;
};

/// −ln softmax(logits)[target], computed in double.
double NegativeLogLikelihood(std::span<const float> logits, int32_t target);

/// Scores `ids` in non-overlapping windows of `window` predictions, each from an empty cache: window i feeds
/// ids[i·w … i·w+w−1] and predicts ids[i·w+1 … i·w+w]. What is left at the end and fills no window is not scored,
/// unless the text is shorter than one window. `progress(done, total)` counts predictions; false stops (kCancelled).
/// kInvalidArgument: fewer than two tokens, or a window longer than the engine's context.
using EvalProgress = std::function<bool(int64_t done, int64_t total)>;
Result<Perplexity> MeasurePerplexity(engine::Engine& engine, std::span<const int32_t> ids, int32_t window,
                                     const EvalProgress& progress = {});

}  // namespace bonsai::eval
