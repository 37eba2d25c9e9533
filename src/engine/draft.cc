#include "engine/draft.h"

#include <algorithm>

namespace bonsai::engine {

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
  length_ = accepted == drafted ? std::min(std::max(length_, 2 * accepted), kMaxDraft) : accepted;
}

}  // namespace bonsai::engine
