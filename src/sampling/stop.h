// When to stop: stop strings that may span tokens, and a guard against endless repetition.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bonsai::sampling {

/// Matches stop strings in streamed text, across token boundaries. Text that may be the beginning of a stop string is
/// held back until it is decided, and no more than that. How the text is cut into pieces does not change the outcome.
///
/// Works on bytes. When the stop strings and each pushed piece are valid UTF-8, so is each piece handed out: a stop
/// string begins at the start of a character, so what is held back does too.
///
/// Time is linear in the text and in the number of stop strings, whatever they are (Knuth, Morris, Pratt: Fast
/// pattern matching in strings, SIAM J. Comput. 6, 1977). Not thread safe.
class StopMatcher {
 public:
  /// Empty strings are ignored.
  explicit StopMatcher(const std::vector<std::string>& stops);
  struct Output {
    std::string text;      ///< Safe to show now.
    bool stopped = false;  ///< A stop string was complete; `text` ends right before it; the rest is dropped.
    std::string match;     ///< Which one.
  };
  /// The stop string that is complete first wins, so that no token is computed after it: "bc" before "abcd". Of those
  /// that end at the same byte the longest one wins, so that nothing of it is shown.
  Output Push(std::string_view text);
  /// What was held back, at the end of a generation that did not stop.
  std::string Finish();

 private:
  struct Stop {
    std::string text;
    std::vector<size_t> border;  // border[i]: the longest proper prefix of text that ends text[0..i]
    size_t matched = 0;          // how many bytes at the end of the stream agree with the beginning of text
    void Advance(char c);
  };
  std::string Take(size_t end);

  std::vector<Stop> stops_;
  std::string pending_;
  size_t begin_ = 0;  // of what is held back, in pending_
};

/// Notices that a generation repeats itself endlessly: the last tokens are one block of at most `kMaxPeriod` tokens,
/// repeated exactly, for at least `kMinRepeated` tokens and `kMinCopies` copies. Never fires before `kMinTokens` new
/// tokens. O(kMaxPeriod) a token, constant memory. Not thread safe.
class LoopGuard {
 public:
  static constexpr int32_t kMinTokens = 200, kMaxPeriod = 64, kMinRepeated = 120, kMinCopies = 4;
  /// Records a new token; true when the generation should end.
  bool Push(int32_t id);
  /// Length of the repeated block when Push() last returned true, the shortest that fits; 0 before.
  int32_t period() const { return period_; }

 private:
  int64_t pushed_ = 0;
  std::array<int32_t, kMaxPeriod> last_{};      // ring: token i is at i % kMaxPeriod
  std::array<int64_t, kMaxPeriod + 1> runs_{};  // runs_[p]: for how many tokens now each equals the one p before it
  int32_t period_ = 0;
};

}  // namespace bonsai::sampling
