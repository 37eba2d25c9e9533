#include "text/added_tokens.h"

#include "base/check.h"

namespace bonsai::text {
namespace {

uint64_t Edge(uint32_t node, char c) { return static_cast<uint64_t>(node) << 8 | static_cast<uint8_t>(c); }

}  // namespace

void AddedTokens::Add(std::string_view text, int32_t id) {
  BONSAI_CHECK(!text.empty() && text.size() <= kMaxLength);
  first_byte_[static_cast<uint8_t>(text[0])] = true;
  uint32_t node = 0;
  for (const char c : text) {
    const auto [it, is_new] = children_.try_emplace(Edge(node, c), static_cast<uint32_t>(nodes_.size()));
    if (is_new) nodes_.push_back(-1);
    node = it->second;
  }
  nodes_[node] = id;
}

uint32_t AddedTokens::Child(uint32_t node, char c) const {
  const auto it = children_.find(Edge(node, c));
  return it == children_.end() ? 0 : it->second;
}

int32_t AddedTokens::Find(std::string_view text) const {
  uint32_t node = 0;
  for (const char c : text) {
    node = Child(node, c);
    if (node == 0) return -1;
  }
  return nodes_[node];
}

AddedTokens::Match AddedTokens::LongestAt(std::string_view text, size_t begin) const {
  Match best;
  uint32_t node = 0;
  for (size_t i = begin; i < text.size(); i++) {
    node = Child(node, text[i]);
    if (node == 0) break;
    if (nodes_[node] >= 0) best = {begin, i + 1 - begin, nodes_[node]};
  }
  return best;
}

AddedTokens::Match AddedTokens::Next(std::string_view text, size_t from) const {
  for (size_t i = from; i < text.size(); i++) {
    if (!first_byte_[static_cast<uint8_t>(text[i])]) continue;
    if (const Match match = LongestAt(text, i); match.length != 0) return match;
  }
  return {};
}

}  // namespace bonsai::text
