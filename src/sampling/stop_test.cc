#include "sampling/stop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/utf8.h"

namespace bonsai::sampling {
namespace {

size_t Below(Rng& rng, size_t n) { return static_cast<size_t>(rng.Uniform() * static_cast<double>(n)); }

struct Outcome {
  std::string text;
  bool stopped = false;
  std::string match;
};

/// Pushes `text` in pieces of random lengths (0 to max_piece bytes).
Outcome Stream(const std::vector<std::string>& stops, std::string_view text, Rng& rng, size_t max_piece) {
  StopMatcher matcher(stops);
  Outcome run;
  while (!text.empty()) {
    const size_t n = std::min(text.size(), Below(rng, max_piece + 1));
    const StopMatcher::Output out = matcher.Push(text.substr(0, n));
    text.remove_prefix(n);
    run.text += out.text;
    if (out.stopped) return {run.text, true, out.match};
  }
  run.text += matcher.Finish();
  return run;
}

/// The definition, tried at every end and for every stop string.
Outcome Naive(const std::vector<std::string>& stops, const std::string& text) {
  for (size_t end = 1; end <= text.size(); end++) {
    const std::string* best = nullptr;
    for (const std::string& s : stops)
      if (!s.empty() && s.size() <= end && text.compare(end - s.size(), s.size(), s) == 0 &&
          (best == nullptr || s.size() > best->size()))
        best = &s;
    if (best != nullptr) return {text.substr(0, end - best->size()), true, *best};
  }
  return {text, false, ""};
}

TEST(StopMatcher, EqualsNaiveSearchForRandomSplits) {
  Rng rng(7);
  int stopped = 0;
  for (int round = 0; round < 20000; round++) {
    const size_t letters = 1 + Below(rng, 3);
    const auto word = [&](size_t n) {
      std::string s;
      for (size_t i = 0; i < n; i++) s += static_cast<char>('a' + Below(rng, letters));
      return s;
    };
    std::vector<std::string> stops;
    for (size_t i = Below(rng, 4); i-- > 0;) stops.push_back(word(Below(rng, 7)));
    const std::string text = word(Below(rng, 40));
    const Outcome want = Naive(stops, text), got = Stream(stops, text, rng, 1 + Below(rng, 9));
    ASSERT_EQ(got.text, want.text) << text;
    ASSERT_EQ(got.stopped, want.stopped);
    ASSERT_EQ(got.match, want.match);
    stopped += got.stopped;
  }
  EXPECT_GT(stopped, 5000);
  EXPECT_LT(stopped, 15000);
}

TEST(StopMatcher, HoldsBackExactlyWhatMayBecomeAStop) {
  const std::vector<std::string> stops = {"</s>", "User:", "aab"};
  Rng rng(3);
  for (int round = 0; round < 2000; round++) {
    StopMatcher matcher(stops);
    std::string all, shown;
    for (int i = 0; i < 30; i++) {
      const std::string piece(1, "</s>User:aab x"[Below(rng, 14)]);
      all += piece;
      const StopMatcher::Output out = matcher.Push(piece);
      shown += out.text;
      if (out.stopped) break;
      size_t held = 0;
      for (const std::string& s : stops)
        for (size_t n = 1; n < s.size() && n <= all.size(); n++)
          if (all.compare(all.size() - n, n, s, 0, n) == 0) held = std::max(held, n);
      ASSERT_EQ(shown, all.substr(0, all.size() - held));
    }
  }
}

TEST(StopMatcher, FirstCompleteWinsThenLongest) {
  const auto push = [](std::vector<std::string> stops, std::string_view text) { return StopMatcher(stops).Push(text); };
  EXPECT_EQ(push({"abcd", "bc"}, "xabcd").match, "bc");
  EXPECT_EQ(push({"abcd", "bc"}, "xabcd").text, "xa");
  EXPECT_EQ(push({"bc", "abc"}, "xabc").match, "abc");
  EXPECT_EQ(push({"bc", "abc"}, "xabc").text, "x");
  EXPECT_FALSE(push({"", ""}, "abc").stopped);
  EXPECT_EQ(push({}, "abc").text, "abc");
}

TEST(StopMatcher, FinishGivesWhatWasHeld) {
  StopMatcher matcher({"stop"});
  EXPECT_EQ(matcher.Push("it is a sto").text, "it is a ");
  EXPECT_EQ(matcher.Push("").text, "");
  EXPECT_EQ(matcher.Finish(), "sto");
  EXPECT_EQ(matcher.Finish(), "");
}

TEST(StopMatcher, KeepsCharactersWhole) {
  // è and é share their first byte, 日 and 本 theirs: a matcher of bytes must still never hand out half of one.
  const std::vector<std::string> stops = {"é日", "日本", "😀!"};
  const std::vector<std::string> characters = {"è", "é", "日", "本", "🙂", "😀", "!", "a"};
  Rng rng(11);
  for (int round = 0; round < 5000; round++) {
    StopMatcher matcher(stops);
    std::string all, shown;
    bool stopped = false;
    for (int i = 0; i < 12 && !stopped; i++) {
      const std::string& c = characters[Below(rng, characters.size())];
      all += c;
      const StopMatcher::Output out = matcher.Push(c);
      ASSERT_TRUE(IsUtf8(out.text)) << all;
      shown += out.text;
      stopped = out.stopped;
    }
    if (!stopped) shown += matcher.Finish();
    ASSERT_EQ(shown, Naive(stops, all).text);
  }
}

TEST(StopMatcher, HostileStopsStayLinear) {
  // 10^6 bytes against stops of 10^5: 10^11 steps if anything were quadratic, more than the test's time limit of 300 s.
  const std::string as(100000, 'a');
  StopMatcher matcher({as + "b", as.substr(1) + "c", "b" + as});
  size_t shown = 0;
  for (int i = 0; i < 1000000; i++) shown += matcher.Push(i % 150000 == 149999 ? "d" : "a").text.size();
  EXPECT_EQ(shown + matcher.Finish().size(), 1000000u);
}

/// Pushes until the guard fires; the number of tokens pushed, or -1 when it never does within `limit`.
template <class F>
int FiresAfter(LoopGuard& guard, int limit, F token) {
  for (int i = 0; i < limit; i++)
    if (guard.Push(token(i))) return i + 1;
  return -1;
}

TEST(LoopGuard, FiresOnEveryPeriodAsSoonAsItMay) {
  for (int p = 1; p <= LoopGuard::kMaxPeriod; p++) {
    LoopGuard guard;
    EXPECT_EQ(FiresAfter(guard, 1000, [&](int i) { return i % p; }), std::max(LoopGuard::kMinTokens, 4 * p)) << p;
    EXPECT_EQ(guard.period(), p);
    // After a beginning that does not repeat (negative ids): 120 tokens or four copies.
    LoopGuard late;
    EXPECT_EQ(FiresAfter(late, 1000, [&](int i) { return i < 300 ? -i - 1 : i % p; }), 300 + std::max(120, 4 * p)) << p;
    EXPECT_EQ(late.period(), p);
  }
}

TEST(LoopGuard, NeverFiresBeforeTwoHundredTokens) {
  LoopGuard guard;
  for (int i = 0; i < 199; i++) EXPECT_FALSE(guard.Push(5));
  EXPECT_EQ(guard.period(), 0);
  EXPECT_TRUE(guard.Push(5));
}

TEST(LoopGuard, LongerPeriodsAreNotLoops) {
  LoopGuard guard;
  EXPECT_EQ(FiresAfter(guard, 5000, [](int i) { return i % (LoopGuard::kMaxPeriod + 1); }), -1);
}

TEST(LoopGuard, TextThatDoesNotRepeatPasses) {
  // Token ids with the frequencies of words (Zipf's law: id n with probability about 1/n), where short accidental
  // repetitions are common.
  Rng rng(5);
  LoopGuard guard;
  EXPECT_EQ(FiresAfter(guard, 200000, [&](int) { return static_cast<int>(std::exp(9 * rng.Uniform())); }), -1);
}

TEST(LoopGuard, NearRepetitionPasses) {
  // A numbered list: twenty tokens a line, one of them new each time.
  LoopGuard list;
  EXPECT_EQ(FiresAfter(list, 5000, [](int i) { return i % 20 == 0 ? 1000 + i / 20 : i % 20; }), -1);
  // One token repeated 119 times and then another: one short of the minimum, for ever.
  LoopGuard almost;
  EXPECT_EQ(FiresAfter(almost, 5000, [](int i) { return i % 120 == 119 ? i : 7; }), -1);
  LoopGuard enough;
  EXPECT_EQ(FiresAfter(enough, 5000, [](int i) { return i % 121 == 120 ? i : 7; }), 241);
}

}  // namespace
}  // namespace bonsai::sampling
