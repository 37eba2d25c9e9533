// What a generation is asked for and what it answers, alone (engine.h) or among others (scheduler.h, batch_engine.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "sampling/sampler.h"

namespace bonsai::engine {

/// Why a generation ended.
enum class FinishReason {
  kStop,       ///< The model said so (an end-of-generation token).
  kStopText,   ///< A stop string appeared.
  kLength,     ///< max_tokens, or the end of the context.
  kLoop,       ///< It repeated itself endlessly.
  kCancelled,  ///< The callback returned false, or somebody cancelled it.
  kDeadline,   ///< Its time was up.
  kError,      ///< GenerateResult::status says what went wrong.
};
/// Lower-case word for users; both kinds of stop are "stop".
std::string_view FinishReasonName(FinishReason reason);

/// Restricts what comes next: a grammar. One object serves one generation, is called from the thread that runs the
/// engine, and sees the new tokens only grow: neither drafts nor a sequence that is computed anew show.
class LogitsProcessor {
 public:
  virtual ~LogitsProcessor() = default;
  /// Before each draw: sets logits [V] of tokens that must not follow `generated` (the new tokens so far, without the
  /// prompt) to minus infinity. Leaving no finite logit ends the generation with kError.
  virtual void Process(std::span<const int32_t> generated, std::span<float> logits) = 0;
  /// Tokens that must follow `generated`, whatever the model thinks: they are taken without a draw, all in one pass.
  /// Empty: the model chooses. Ids must be in the vocabulary.
  virtual std::vector<int32_t> Forced(std::span<const int32_t> /*generated*/) { return {}; }
};

/// Added to a token's logit before anything else looks at it.
struct LogitBias {
  int32_t id;
  float bias;
};

/// Most alternatives with logprobs that a token can come with.
inline constexpr int32_t kMaxLogprobs = 100;

struct GenerateOptions {
  sampling::Params sampling;
  int32_t max_tokens = -1;  ///< -1: until the model stops or the context is full.
  std::vector<std::string> stop;
  bool loop_guard = true;
  bool special_text = false;  ///< Give control tokens as text, too.
  bool ignore_end = false;    ///< Take end-of-generation tokens for any others (measurements).
  /// Guess tokens, with the draft model when there is one (EngineOptions), else from earlier text (draft.h), and check
  /// the guesses in one pass. Never changes the tokens; whether it is faster depends on how many are right.
  bool speculate = false;
  int32_t logprobs = -1;  ///< -1: none; n: those of each token and of the n most likely ones (at most kMaxLogprobs).
  std::vector<LogitBias> logit_bias;
  std::shared_ptr<LogitsProcessor> processor;
};

/// kInvalidArgument: sampling parameters out of range, biases of ids outside the vocabulary or not finite, logprobs out
/// of range.
Status Validate(const GenerateOptions& options, int32_t vocab_size);

/// Natural logarithm of the probability that the model gives a token, before penalties, temperature, biases and masks.
struct TokenLogprob {
  int32_t id;
  float logprob;
};

/// One new token. `text` holds whole UTF-8 characters only (bytes of an unfinished one come with a later token, those
/// that may begin a stop string too), so it may be empty. The last call of a generation may have id -1: held-back text.
struct Token {
  int32_t id;
  std::string_view text;
  float logprob = 0;                       ///< With GenerateOptions::logprobs; 0 for forced tokens.
  std::span<const TokenLogprob> top = {};  ///< By falling logprob, equal ones by id. Valid during the call.
};
/// Returning false ends the generation.
using OnToken = std::function<bool(const Token& token)>;

struct GenerateResult {
  FinishReason reason = FinishReason::kLength;
  std::vector<int32_t> tokens;  ///< New ids; the end-of-generation token, if any, is the last.
  std::string stop_text;        ///< Which stop string, with kStopText.
  int32_t loop_period = 0;      ///< Tokens of the repeated block, with kLoop.
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;   ///< Of the prompt's: found in the cache instead of computed.
  int32_t drafted_tokens = 0;  ///< Guessed, and how many of these were right.
  int32_t accepted_tokens = 0;
  int32_t preemptions = 0;      ///< How often its cache was taken away and computed again.
  double queue_seconds = 0;     ///< Until it got its place.
  double prompt_seconds = 0;    ///< From then until the first logits.
  double generate_seconds = 0;  ///< From then on.
  Status status;                ///< An error with kError, else none.
};

}  // namespace bonsai::engine
