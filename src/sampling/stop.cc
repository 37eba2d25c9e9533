#include "sampling/stop.h"

#include <algorithm>

namespace bonsai::sampling {

StopMatcher::StopMatcher(const std::vector<std::string>& stops) {
  for (const std::string& text : stops) {
    if (text.empty()) continue;
    Stop stop{text, std::vector<size_t>(text.size(), 0)};
    for (size_t i = 1, border = 0; i < text.size(); i++) {
      while (border > 0 && text[i] != text[border]) border = stop.border[border - 1];
      if (text[i] == text[border]) border++;
      stop.border[i] = border;
    }
    stops_.push_back(std::move(stop));
  }
}

/// Requires matched < text.size(). Amortised constant: each call adds at most one to `matched`, each loop takes away.
void StopMatcher::Stop::Advance(char c) {
  while (matched > 0 && c != text[matched]) matched = border[matched - 1];
  if (c == text[matched]) matched++;
}

StopMatcher::Output StopMatcher::Push(std::string_view text) {
  size_t position = pending_.size();
  pending_ += text;
  size_t held = 0;
  for (const char c : text) {
    position++;
    const Stop* hit = nullptr;
    held = 0;
    for (Stop& stop : stops_) {
      stop.Advance(c);
      held = std::max(held, stop.matched);
      if (stop.matched == stop.text.size() && (hit == nullptr || stop.matched > hit->matched)) hit = &stop;
    }
    if (hit == nullptr) continue;
    Output out{Take(position - hit->matched), true, hit->text};
    pending_.clear(), begin_ = 0;
    for (Stop& stop : stops_) stop.matched = 0;
    return out;
  }
  if (text.empty()) return {};
  return {Take(position - held), false, {}};
}

std::string StopMatcher::Finish() { return Take(pending_.size()); }

/// Hands out what is held back up to `end` of pending_.
std::string StopMatcher::Take(size_t end) {
  std::string out = pending_.substr(begin_, end - begin_);
  begin_ = end;
  // Moved down only when at least half is dead, so that long stop strings cost constant time a byte.
  if (begin_ >= pending_.size() - begin_) {
    pending_.erase(0, begin_);
    begin_ = 0;
  }
  return out;
}

bool LoopGuard::Push(int32_t id) {
  bool fired = false;
  for (int32_t p = 1; p <= kMaxPeriod; p++) {
    int64_t& run = runs_[static_cast<size_t>(p)];
    if (pushed_ >= p && last_[static_cast<size_t>((pushed_ - p) % kMaxPeriod)] == id)
      run++;
    else
      run = 0;
    // The first block has nothing before it to equal, so the repetition is p tokens longer than the run.
    if (fired || run == 0 || run + p < std::max(kMinRepeated, kMinCopies * p) || pushed_ + 1 < kMinTokens) continue;
    fired = true;
    period_ = p;
  }
  last_[static_cast<size_t>(pushed_ % kMaxPeriod)] = id;
  pushed_++;
  return fired;
}

}  // namespace bonsai::sampling
