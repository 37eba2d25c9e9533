// Guessing the next tokens without a second model: what followed the last few tokens when they came before (prompt
// lookup; Saxena 2023, and the n-gram case of speculative decoding, Leviathan et al. 2023, arXiv 2211.17192). The model
// checks the guesses in one pass, which reads the weights once for all of them.
//
//   DraftLength length;
//   const auto draft = FindDraft(tokens, length.Next());
//   length.Learn(draft.size(), accepted);
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace bonsai::engine {

/// Most tokens of one guess.
inline constexpr size_t kMaxDraft = 8;

/// At most `most` tokens that followed an earlier occurrence of the last tokens: the one with the longest agreement, of
/// kMinGram to kMaxGram tokens, and of these the latest. Part of `tokens`, empty when there is none. Linear time.
std::span<const int32_t> FindDraft(std::span<const int32_t> tokens, size_t most);
inline constexpr size_t kMinGram = 2, kMaxGram = 4;

/// How much to guess, from how it went: twice as much after a guess that was right throughout, as much as was right
/// otherwise; after one with nothing right a pause, which doubles each time. Deterministic.
class DraftLength {
 public:
  /// Tokens to guess for the next one; 0 while it pauses. Called once for each token that is computed.
  size_t Next();
  /// What became of a guess of `drafted` tokens. Nothing for 0.
  void Learn(size_t drafted, size_t accepted);

 private:
  static constexpr size_t kMaxPause = 64;
  size_t length_ = 4;
  size_t pause_ = 0, next_pause_ = 1;
};

}  // namespace bonsai::engine
