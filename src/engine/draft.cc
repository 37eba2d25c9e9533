#include "engine/draft.h"

#include <algorithm>

#include "base/check.h"

namespace bonsai::engine {

void NgramDrafter::Guess(std::span<DraftWish> wishes) {
  for (DraftWish& wish : wishes) {
    const std::span<const int32_t> draft = FindDraft(wish.tokens, wish.most);
    wish.draft.assign(draft.begin(), draft.end());
  }
}

std::span<const int32_t> FindDraft(std::span<const int32_t> tokens, size_t most) {
  const size_t n = tokens.size();
  if (most == 0 || n <= kMinGram) return {};
  size_t best = kMinGram - 1, begin = 0;
  // `end`: just past an earlier occurrence, so that tokens[end] is what followed it.
  for (size_t end = n - 1; end >= kMinGram && best < kMaxGram; end--) {
    size_t same = 0;
    while (same < kMaxGram && same < end && tokens[end - 1 - same] == tokens[n - 1 - same]) same++;
    if (same > best) best = same, begin = end;
  }
  if (begin == 0) return {};
  return tokens.subspan(begin, std::min(most, n - begin));
}

DraftLength::DraftLength(int32_t most) : most_(static_cast<size_t>(most)), length_(std::min<size_t>(most_, 4)) {
  BONSAI_CHECK(most >= 1 && most <= kMaxDraft);
}

size_t DraftLength::Next() {
  if (pause_ == 0) return length_;
  pause_--;
  return 0;
}

void DraftLength::Learn(size_t drafted, size_t accepted) {
  if (drafted == 0) return;
  if (accepted == 0) {
    length_ = 1;
    pause_ = next_pause_;
    next_pause_ = std::min(2 * next_pause_, kMaxPause);
    return;
  }
  next_pause_ = 1;
  length_ = accepted == drafted ? std::min(std::max(length_, 2 * accepted), most_) : accepted;
}

}  // namespace bonsai::engine
