// Guessing the next tokens. The model checks all guesses in one pass, which reads its weights once for all of them, and
// takes those that it would have chosen anyway (speculative decoding: Leviathan et al. 2023, arXiv 2211.17192, with the
// comparison of tokens instead of probabilities).
//
//   DraftLength length(kDefaultDraft);
//   DraftWish wish{.id = 7, .salt = "", .tokens = tokens, .most = length.Next()};
//   drafter.Guess({&wish, 1});
//   length.Learn(wish.draft.size(), accepted);
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace bonsai::engine {

/// Most tokens of one guess: with the token before it they are one product of the LM head.
inline constexpr int32_t kMaxDraft = 31;
/// What is taken when nobody says. A pass of 8 rows takes 2.7 times as long as one of one row, a pass of 16 rows 5.3
/// times (docs/benchmarks.md, small batches of 1.7B): beyond 8, one more guess costs a third of a token, and that of a
/// second model as much again, so that it pays only where nine guesses in a row are right more often than not.
inline constexpr int32_t kDefaultDraft = 8;

/// What is to be guessed for one request.
struct DraftWish {
  uint64_t id;                      ///< Of the request.
  std::string_view salt;            ///< Its cache_salt.
  std::span<const int32_t> tokens;  ///< Its prompt and what was generated: at least one. From call to call they grow.
  size_t most;                      ///< At least 1.
  std::vector<int32_t> draft = {};  ///< Filled in: at most `most` ids of the vocabulary, or none.
};

/// Where guesses come from. Driven by the thread that runs the scheduler.
class Drafter {
 public:
  virtual ~Drafter() = default;
  /// Guesses for all requests that want it in this step, each with an id of its own.
  virtual void Guess(std::span<DraftWish> wishes) = 0;
  /// The request is over, or its turn comes later: what was kept for it is not needed now.
  virtual void Forget(uint64_t /*id*/) {}
  /// Checks what should hold between calls: for tests.
  virtual Status Audit() const { return {}; }
};

/// Guesses without a second model: what followed the last few tokens when they came before (prompt lookup; Saxena
/// 2023).
class NgramDrafter : public Drafter {
 public:
  void Guess(std::span<DraftWish> wishes) override;
};

/// At most `most` tokens that followed an earlier occurrence of the last tokens: the one with the longest agreement, of
/// kMinGram to kMaxGram tokens, and of these the latest. Part of `tokens`, empty when there is none. Linear time.
std::span<const int32_t> FindDraft(std::span<const int32_t> tokens, size_t most);
inline constexpr size_t kMinGram = 2, kMaxGram = 4;

/// How much to guess, from how it went: twice as much after a guess that was right throughout, as much as was right
/// otherwise; after one with nothing right a pause, which doubles each time. Deterministic.
class DraftLength {
 public:
  /// Guesses of at most `most` tokens, 1 to kMaxDraft.
  explicit DraftLength(int32_t most);
  /// Tokens to guess for the next one; 0 while it pauses. Called once for each token that is computed.
  size_t Next();
  /// What became of a guess of `drafted` tokens. Nothing for 0.
  void Learn(size_t drafted, size_t accepted);

 private:
  static constexpr size_t kMaxPause = 64;
  size_t most_, length_;
  size_t pause_ = 0, next_pause_ = 1;
};

}  // namespace bonsai::engine
