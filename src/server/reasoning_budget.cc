#include "server/reasoning_budget.h"

namespace bonsai::server {
namespace {

constexpr std::string_view kOpen = "<think>", kClose = "</think>";

}  // namespace

ReasoningBudget::ReasoningBudget(const text::Tokenizer& tokenizer, int32_t most_tokens, bool inside)
    : tokenizer_(tokenizer), most_(most_tokens), state_(inside ? State::kInside : State::kBefore) {}

std::vector<int32_t> ReasoningBudget::Forced(std::span<const int32_t> generated) {
  while (seen_ < generated.size()) Look(generated[seen_++]);
  if (state_ != State::kInside || reasoning_ < most_) return {};
  state_ = State::kOver;
  return tokenizer_.Encode("\n</think>\n\n", {.parse_special = true});
}

void ReasoningBudget::Look(int32_t id) {
  if (state_ == State::kOver) return;
  tail_ += tokenizer_.Piece(id);
  if (state_ == State::kInside) {
    reasoning_++;
    if (tail_.find(kClose) != std::string::npos) state_ = State::kOver;
    if (tail_.size() > kClose.size()) tail_.erase(0, tail_.size() - kClose.size());
    return;
  }
  // Reasoning comes first or not at all.
  const size_t begin = tail_.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return;
  const std::string_view text = std::string_view(tail_).substr(begin);
  if (text.starts_with(kOpen)) {
    state_ = State::kInside;
    tail_.clear();
  } else if (!kOpen.starts_with(text)) {
    state_ = State::kOver;
  }
}

}  // namespace bonsai::server
