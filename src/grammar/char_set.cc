#include "grammar/char_set.h"

#include <algorithm>

#include "base/utf8.h"

namespace bonsai::grammar {
namespace {

constexpr uint32_t kSurrogates = 0xd800, kAfterSurrogates = 0xe000;

struct Encoded {
  std::array<uint8_t, 4> bytes;
  uint8_t length;
};

Encoded Encode(uint32_t c) {
  const auto tail = [&](int shift) { return static_cast<uint8_t>(0x80 | (c >> shift & 0x3f)); };
  const auto head = [&](uint32_t mark, int shift) { return static_cast<uint8_t>(mark | c >> shift); };
  if (c < 0x80) return {{head(0, 0)}, 1};
  if (c < 0x800) return {{head(0xc0, 6), tail(0)}, 2};
  if (c < 0x10000) return {{head(0xe0, 12), tail(6), tail(0)}, 3};
  return {{head(0xf0, 18), tail(12), tail(6), tail(0)}, 4};
}

/// Splits [first, last], whose ends have equally long encodings, until in each part only the last bytes run through all
/// their values; then the bytes of both ends are the ranges.
void Split(uint32_t first, uint32_t last, std::vector<Utf8Sequence>& out) {
  for (int i = 1; i < 4; i++) {
    const uint32_t low = (uint32_t{1} << (6 * i)) - 1;
    if ((first & ~low) == (last & ~low)) break;
    if ((first & low) != 0) {
      Split(first, first | low, out);
      return Split((first | low) + 1, last, out);
    }
    if ((last & low) != low) {
      Split(first, (last & ~low) - 1, out);
      return Split(last & ~low, last, out);
    }
  }
  const Encoded a = Encode(first), b = Encode(last);
  Utf8Sequence sequence{.bytes = {}, .length = a.length};
  for (size_t i = 0; i < a.length; i++) sequence.bytes[i] = {a.bytes[i], b.bytes[i]};
  out.push_back(sequence);
}

}  // namespace

CharSet& CharSet::Add(uint32_t first, uint32_t last) {
  last = std::min(last, kMaxChar);
  if (first < kSurrogates && last >= kSurrogates) {
    ranges_.push_back({first, kSurrogates - 1});
    first = kSurrogates;
  }
  if (first >= kSurrogates && first < kAfterSurrogates) first = kAfterSurrogates;
  if (first <= last) ranges_.push_back({first, last});
  sorted_ = false;
  return *this;
}

CharSet& CharSet::Add(const CharSet& other) {
  const auto ranges = other.ranges();
  ranges_.insert(ranges_.end(), ranges.begin(), ranges.end());
  sorted_ = false;
  return *this;
}

std::span<const CharRange> CharSet::ranges() const {
  if (sorted_) return ranges_;
  std::sort(ranges_.begin(), ranges_.end(), [](CharRange a, CharRange b) { return a.first < b.first; });
  size_t n = 0;
  for (const CharRange r : ranges_) {
    if (n > 0 && r.first <= ranges_[n - 1].last + 1) {
      ranges_[n - 1].last = std::max(ranges_[n - 1].last, r.last);
    } else {
      ranges_[n++] = r;
    }
  }
  ranges_.resize(n);
  sorted_ = true;
  return ranges_;
}

CharSet CharSet::Negated() const {
  CharSet out;
  uint32_t next = 0;
  for (const CharRange r : ranges()) {
    if (r.first > next) out.Add(next, r.first - 1);
    next = r.last + 1;
  }
  if (next <= kMaxChar) out.Add(next, kMaxChar);
  return out;
}

bool CharSet::Contains(uint32_t c) const {
  const auto all = ranges();
  const auto it = std::upper_bound(all.begin(), all.end(), c, [](uint32_t x, CharRange r) { return x < r.first; });
  return it != all.begin() && c <= (it - 1)->last;
}

std::vector<Utf8Sequence> Utf8Sequences(const CharSet& set) {
  constexpr std::array<CharRange, 4> kLengths = {{{0, 0x7f}, {0x80, 0x7ff}, {0x800, 0xffff}, {0x10000, kMaxChar}}};
  std::vector<Utf8Sequence> out;
  for (const CharRange r : set.ranges()) {
    for (const CharRange length : kLengths) {
      const uint32_t first = std::max(r.first, length.first), last = std::min(r.last, length.last);
      if (first <= last) Split(first, last, out);
    }
  }
  return out;
}

void AppendUtf8(uint32_t c, std::string& out) {
  const Encoded e = Encode(c);
  out.append(reinterpret_cast<const char*>(e.bytes.data()), e.length);
}

uint32_t TakeChar(std::string_view s, size_t& at) {
  if (at >= s.size()) return kNoChar;
  const size_t n = Utf8CharLength(s.substr(at));
  if (n == 0) return kNoChar;
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(s[at + i])); };
  uint32_t c = n == 1 ? byte(0) : byte(0) & (0x7fu >> n);
  for (size_t i = 1; i < n; i++) c = c << 6 | (byte(i) & 0x3f);
  at += n;
  return c;
}

}  // namespace bonsai::grammar
