#include "grammar/byte_trie.h"

#include <algorithm>

namespace bonsai::grammar {

ByteTrie::ByteTrie(std::vector<Entry> entries) {
  std::erase_if(entries, [](const Entry& e) { return e.bytes.empty() || e.bytes.size() > kMaxLength; });
  if (entries.empty()) return;
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    const int order = a.bytes.compare(b.bytes);
    return order != 0 ? order < 0 : a.item < b.item;
  });
  std::vector<uint32_t> open;  // the nodes of the entry before
  const auto close = [&](size_t depth) {
    for (; open.size() > depth; open.pop_back()) nodes_[open.back()].end = static_cast<uint32_t>(nodes_.size());
  };
  std::string_view before;
  for (const Entry& e : entries) {
    if (e.bytes == before) {
      if (!(items_.back() == e.item)) items_.push_back(e.item);
      continue;
    }
    size_t same = 0;
    while (same < before.size() && same < e.bytes.size() && before[same] == e.bytes[same]) same++;
    close(same);
    for (size_t i = same; i < e.bytes.size(); i++) {
      open.push_back(static_cast<uint32_t>(nodes_.size()));
      nodes_.push_back(
          {0, static_cast<uint32_t>(items_.size()), static_cast<uint16_t>(i + 1), static_cast<uint8_t>(e.bytes[i])});
    }
    items_.push_back(e.item);
    max_depth_ = std::max(max_depth_, e.bytes.size());
    before = e.bytes;
  }
  close(0);
  nodes_.push_back({0, static_cast<uint32_t>(items_.size()), 0, 0});
  for (uint32_t byte = 0, i = 0; byte <= 256; byte++) {
    while (i < size() && nodes_[i].byte < byte) i = nodes_[i].end;
    roots_[byte] = i;
  }
  nodes_.shrink_to_fit();
  items_.shrink_to_fit();
}

size_t ByteTrie::LongestPrefix(std::string_view bytes) const {
  size_t longest = 0, depth = 0;
  if (bytes.empty()) return 0;
  const auto first = static_cast<uint8_t>(bytes[0]);
  uint32_t i = roots_[first], end = roots_[first + 1u];
  while (depth < bytes.size() && i < end) {
    const Node& n = nodes_[i];
    if (n.byte != static_cast<uint8_t>(bytes[depth])) {
      i = n.end;
      continue;
    }
    depth++;
    if (!items(i).empty()) longest = depth;
    end = n.end;
    i++;
  }
  return longest;
}

}  // namespace bonsai::grammar
