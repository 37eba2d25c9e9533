// One generation: its tokens, how the next one is chosen, and what the caller gets to see. The scheduler says when.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/draft.h"
#include "engine/generation.h"
#include "engine/kv_chain.h"
#include "sampling/sampler.h"
#include "sampling/stop.h"
#include "text/tokenizer.h"

namespace bonsai::engine {

using Clock = std::chrono::steady_clock;
using RequestId = uint64_t;

/// Called once, last.
using OnFinish = std::function<void(const GenerateResult& result)>;

struct Request {
  std::vector<int32_t> prompt;
  GenerateOptions options;
  std::string cache_salt;  ///< Prefixes are shared among requests with the same one only.
  std::optional<Clock::time_point> deadline;
  OnToken on_token;    ///< May be empty. Both are called from the thread that runs the engine and should be quick:
  OnFinish on_finish;  ///< every sequence waits for them.
};

/// A request on its way. The scheduler owns it and alone looks at the fields that say where its cache is.
class Sequence {
 public:
  /// `request` is valid, and `limit` is the most tokens that it may have with its prompt; guesses are of at most
  /// `draft_max` tokens.
  Sequence(Request request, const text::Tokenizer& tokenizer, int32_t vocab_size, int32_t limit, int32_t draft_max);

  const Request& request() const { return request_; }
  const GenerateResult& result() const { return result_; }
  GenerateResult& result() { return result_; }
  /// The prompt and what was generated.
  std::span<const int32_t> tokens() const { return tokens_; }
  /// Tokens whose keys and values are not in the cache: at least 1 until it is done.
  size_t pending() const { return tokens_.size() - cache.computed; }
  /// New tokens that may still come.
  size_t room() const;
  bool done() const { return done_; }

  /// Appends what follows the last token, whose logits [V] these are: what the processor forces, or a draw.
  void Advance(std::span<const float> logits);
  /// How many of the next tokens to guess; 0 when it was not asked to, or while guessing does not pay. Called once for
  /// each pass that advances the sequence.
  size_t NextDraft();
  /// What became of the guess.
  void LearnDraft(size_t drafted, size_t accepted);
  /// Ends it from outside, if it is not done.
  void End(FinishReason reason);
  void Fail(ErrorValue error);
  /// Hands out held-back text, fills in the timings and calls on_finish. Once, when done.
  void Close();

  RequestId id = 0;
  KvChain cache;
  std::optional<Clock::time_point> admitted;

 private:
  std::span<const float> Shape(std::span<const float> logits);
  bool AppendForced();
  void Append(int32_t id, std::span<const float> raw_logits);
  void FillLogprobs(int32_t id, std::span<const float> logits, Token& token);

  Request request_;
  const text::Tokenizer& tokenizer_;
  sampling::Sampler sampler_;
  text::StreamDecoder decoder_;
  sampling::StopMatcher stops_;
  sampling::LoopGuard guard_;
  DraftLength draft_length_;
  std::vector<int32_t> tokens_;
  size_t prompt_size_;
  size_t limit_;
  bool done_ = false;
  GenerateResult result_;
  std::vector<float> shaped_;      // scratch: logits with biases and masks
  std::vector<TokenLogprob> top_;  // scratch
  Clock::time_point submitted_ = Clock::now();
  std::optional<Clock::time_point> first_logits_;
};

}  // namespace bonsai::engine
