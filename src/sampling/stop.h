// When to stop: stop strings that may span tokens, and a guard against endless repetition.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bonsai::sampling {

/// Matches stop strings in streamed text, across token boundaries. Text that may be the beginning of a stop string is
/// held back until it is decided. Not thread safe.
class StopMatcher {
 public:
  /// Empty strings are ignored.
  explicit StopMatcher(std::vector<std::string> stops);
  struct Output {
    std::string text;      ///< Safe to show now.
    bool stopped = false;  ///< A stop string was complete; `text` ends right before it. Push nothing more.
    std::string match;     ///< Which one.
  };
  /// The earliest match in the text wins; among those that begin at the same byte, the one given first.
  Output Push(std::string_view text);
  /// What was held back, at the end of a generation that did not stop.
  std::string Finish();

 private:
  std::vector<std::string> stops_;
  std::string pending_;
};

/// Notices that a generation repeats itself endlessly: the last tokens are one block of at most `kMaxPeriod` tokens,
/// repeated exactly, for at least `kMinRepeated` tokens and `kMinCopies` copies. Never fires before `kMinTokens` new
/// tokens. O(kMaxPeriod) a token.
class LoopGuard {
 public:
  static constexpr int32_t kMinTokens = 200, kMaxPeriod = 64, kMinRepeated = 120, kMinCopies = 4;
  /// Records a new token; true when the generation should end.
  bool Push(int32_t id);
  /// Length of the repeated block after Push() returned true.
  int32_t period() const { return period_; }

 private:
  std::vector<int32_t> tokens_;
  std::vector<int32_t> run_ = std::vector<int32_t>(kMaxPeriod + 1, 0);  // run_[p]: how long tokens equal those p before
  int32_t period_ = 0;
};

}  // namespace bonsai::sampling
