#include "eval/perplexity.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace bonsai::eval {

double Perplexity::ppl() const { return std::exp(mean_nll()); }

double Perplexity::bits_per_byte() const {
  return nll / std::numbers::ln2 / static_cast<double>(std::max<int64_t>(bytes, 1));
}

double NegativeLogLikelihood(std::span<const float> logits, int32_t target) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float v : logits) sum += std::exp(v - top);
  return std::log(sum) + (top - logits[static_cast<size_t>(target)]);
}

Result<Perplexity> MeasurePerplexity(engine::Engine& engine, std::span<const int32_t> ids, int32_t window,
                                     const EvalProgress& progress) {
  if (ids.size() < 2)
    return Error(ErrorCode::kInvalidArgument, "the text has {} tokens; at least 2 are needed", ids.size());
  const size_t w = std::min<size_t>(static_cast<size_t>(window), ids.size() - 1);
  const size_t windows = (ids.size() - 1) / w;
  Perplexity p;
  for (size_t i = 0; i < windows; i++) {
    const std::span<const int32_t> target = ids.subspan(i * w + 1, w);
    const auto visit = [&](int32_t position, std::span<const float> logits) {
      const int32_t id = target[static_cast<size_t>(position)];
      p.nll += NegativeLogLikelihood(logits, id);
      p.bytes += static_cast<int64_t>(engine.tokenizer().Piece(id).size());
      p.tokens++;
      return !progress || progress(p.tokens, static_cast<int64_t>(windows * w));
    };
    BONSAI_RETURN_IF_ERROR(engine.Evaluate(ids.subspan(i * w, w), visit));
  }
  return p;
}

}  // namespace bonsai::eval
