#include "engine/sequence.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace bonsai::engine {
namespace {

bool AnyFinite(std::span<const float> logits) {
  return std::any_of(logits.begin(), logits.end(), [](float v) { return std::isfinite(v); });
}

double Seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

/// log Σ exp(logits), in double; NaN counts as nothing.
double LogSumExp(std::span<const float> logits) {
  double top = -INFINITY, sum = 0;
  for (const float v : logits) top = v > top ? v : top;
  for (const float v : logits)
    if (!std::isnan(v)) sum += std::exp(v - top);
  return top + std::log(sum);
}

}  // namespace

Sequence::Sequence(Request request, const text::Tokenizer& tokenizer, int32_t vocab_size, int32_t limit,
                   int32_t draft_max)
    : request_(std::move(request)),
      tokenizer_(tokenizer),
      sampler_(request_.options.sampling, vocab_size),
      decoder_(tokenizer, request_.options.special_text, request_.prompt.back()),
      stops_(request_.options.stop),
      draft_length_(draft_max),
      tokens_(std::move(request_.prompt)),
      prompt_size_(tokens_.size()),
      limit_(static_cast<size_t>(limit)) {
  BONSAI_CHECK(prompt_size_ < limit_);
  if (request_.options.max_tokens >= 0)
    limit_ = std::min(limit_, prompt_size_ + static_cast<size_t>(request_.options.max_tokens));
  for (const int32_t token : tokens_) sampler_.Accept(token);
  result_.prompt_tokens = static_cast<int32_t>(prompt_size_);
}

size_t Sequence::room() const { return limit_ - tokens_.size(); }

void Sequence::Advance(std::span<const float> logits) {
  if (!first_logits_) first_logits_ = Clock::now();
  if (room() == 0) return End(FinishReason::kLength);  // max_tokens 0
  if (AppendForced()) return;
  if (!AnyFinite(logits))
    return Fail(Error(ErrorCode::kCorrupt,
                      "the model computed no finite logit at position {}: its weights are damaged "
                      "(bonsai inspect shows them)",
                      tokens_.size() - 1));
  const std::span<const float> shaped = Shape(logits);
  if (shaped.data() != logits.data() && !AnyFinite(shaped))
    return Fail(Error(ErrorCode::kInvalidArgument, "after {} new tokens the constraints on the output allow no other",
                      result_.tokens.size()));
  Append(sampler_.Sample(shaped), logits);
  if (!done_) AppendForced();
}

/// The logits with biases and the processor's mask: a copy, or the same when there are none.
std::span<const float> Sequence::Shape(std::span<const float> logits) {
  const GenerateOptions& o = request_.options;
  if (o.logit_bias.empty() && o.processor == nullptr) return logits;
  shaped_.assign(logits.begin(), logits.end());
  for (const auto& [token, bias] : o.logit_bias) shaped_[static_cast<size_t>(token)] += bias;
  if (o.processor != nullptr) o.processor->Process(result_.tokens, shaped_);
  return shaped_;
}

/// Appends what must follow, until the generation is over. False when the model chooses.
bool Sequence::AppendForced() {
  if (request_.options.processor == nullptr) return false;
  const std::vector<int32_t> forced = request_.options.processor->Forced(result_.tokens);
  for (const int32_t token : forced) {
    BONSAI_CHECK(token >= 0 && token < tokenizer_.vocab_size());
    Append(token, {});
    if (done_) break;
  }
  return !forced.empty();
}

/// `raw_logits`: what the model thinks, empty for a forced token.
void Sequence::Append(int32_t token, std::span<const float> raw_logits) {
  const GenerateOptions& o = request_.options;
  sampler_.Accept(token);
  tokens_.push_back(token);
  result_.tokens.push_back(token);
  if (!o.ignore_end && tokenizer_.IsEndOfGeneration(token)) return End(FinishReason::kStop);
  const sampling::StopMatcher::Output out = stops_.Push(decoder_.Push(token));
  Token shown{token, out.text};
  if (o.logprobs >= 0 && !raw_logits.empty()) FillLogprobs(token, raw_logits, shown);
  if (request_.on_token && !request_.on_token(shown)) return End(FinishReason::kCancelled);
  if (out.stopped) {
    result_.stop_text = out.match;
    return End(FinishReason::kStopText);
  }
  if (o.loop_guard && guard_.Push(token)) {
    result_.loop_period = guard_.period();
    return End(FinishReason::kLoop);
  }
  if (room() == 0) End(FinishReason::kLength);
}

void Sequence::FillLogprobs(int32_t token, std::span<const float> logits, Token& shown) {
  const double sum = LogSumExp(logits);
  const auto logprob = [&](int32_t i) { return static_cast<float>(logits[static_cast<size_t>(i)] - sum); };
  shown.logprob = logprob(token);
  const auto n = std::min(static_cast<size_t>(request_.options.logprobs), logits.size());
  const auto better = [](const TokenLogprob& a, const TokenLogprob& b) {
    return a.logprob != b.logprob ? a.logprob > b.logprob : a.id < b.id;
  };
  top_.clear();  // the best so far, a heap with the worst of them first
  for (int32_t i = 0; n > 0 && i < static_cast<int32_t>(logits.size()); i++) {
    const TokenLogprob next{i, logprob(i)};
    if (std::isnan(next.logprob) || (top_.size() == n && !better(next, top_.front()))) continue;
    if (top_.size() == n) {
      std::pop_heap(top_.begin(), top_.end(), better);
      top_.pop_back();
    }
    top_.push_back(next);
    std::push_heap(top_.begin(), top_.end(), better);
  }
  std::sort(top_.begin(), top_.end(), better);
  shown.top = top_;
}

size_t Sequence::NextDraft() { return request_.options.speculate ? draft_length_.Next() : 0; }

void Sequence::LearnDraft(size_t drafted, size_t accepted) {
  draft_length_.Learn(drafted, accepted);
  result_.drafted_tokens += static_cast<int32_t>(drafted);
  result_.accepted_tokens += static_cast<int32_t>(accepted);
}

void Sequence::End(FinishReason reason) {
  if (done_) return;
  done_ = true;
  result_.reason = reason;
}

void Sequence::Fail(ErrorValue error) {
  if (done_) return;
  End(FinishReason::kError);
  result_.status = std::move(error);
}

void Sequence::Close() {
  BONSAI_CHECK(done_);
  const Clock::time_point now = Clock::now(), start = admitted.value_or(now), first = first_logits_.value_or(now);
  result_.queue_seconds = Seconds(submitted_, start);
  result_.prompt_seconds = Seconds(start, first);
  result_.generate_seconds = Seconds(first, now);
  // Nothing more for who ended it: a stop string, or somebody who does not listen any more.
  if (result_.reason != FinishReason::kStopText && result_.reason != FinishReason::kCancelled) {
    sampling::StopMatcher::Output out = stops_.Push(decoder_.Finish());
    if (!out.stopped) out.text += stops_.Finish();
    if (request_.on_token && !out.text.empty()) request_.on_token({-1, out.text});
  }
  if (request_.on_finish) request_.on_finish(result_);
}

}  // namespace bonsai::engine
