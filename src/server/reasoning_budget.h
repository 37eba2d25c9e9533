// Ends a model's reasoning after so many tokens: writes "</think>" for it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/generation.h"
#include "text/tokenizer.h"

namespace bonsai::server {

class ReasoningBudget final : public engine::LogitsProcessor {
 public:
  /// `inside`: the prompt has opened <think> already. `tokenizer` outlives it.
  ReasoningBudget(const text::Tokenizer& tokenizer, int32_t most_tokens, bool inside);
  void Process(std::span<const int32_t>, std::span<float>) override {}
  std::vector<int32_t> Forced(std::span<const int32_t> generated) override;

 private:
  enum class State { kBefore, kInside, kOver };
  void Look(int32_t id);

  const text::Tokenizer& tokenizer_;
  const int32_t most_;
  State state_;
  size_t seen_ = 0;        // tokens that have been looked at
  int32_t reasoning_ = 0;  // of them inside <think>
  std::string tail_;       // the text that a tag may be in
};

}  // namespace bonsai::server
