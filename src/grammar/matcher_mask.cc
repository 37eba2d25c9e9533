// Matcher::Mask: what tokens do inside automata is known (state_masks.h), what leaves them is tried on the stacks.
// Where that would not be exact, all of the vocabulary is tried (AddAll): always right, and milliseconds if the state
// allows much.
#include <algorithm>
#include <utility>

#include "grammar/matcher.h"

namespace bonsai::grammar {

Status Matcher::Mask(std::span<uint64_t> mask, uint32_t budget) {
  std::fill(mask.begin(), mask.end(), 0);
  if (ended_) return Error(ErrorCode::kInvalidArgument, "the text has ended already");
  uint32_t most = kNoBudget;  // tokens that may still come
  if (budget != kNoBudget) {
    const uint32_t needed = TokensToEnd(set_);
    if (needed != Vocabulary::kUnspellable) most = std::max(budget, needed);
  }
  const uint32_t limit = most == kNoBudget ? kNoBudget : most - 1;
  if (most > 0 && !AddKnown(mask, limit)) {
    Job job{mask, limit};
    Collect(job);
  }
  const Vocabulary& vocabulary = constraint_->vocabulary();
  bool any = std::any_of(mask.begin(), mask.end(), [](uint64_t word) { return word != 0; });
  if (CanEnd()) {
    for (const int32_t id : vocabulary.ends()) {
      if (id >= 0 && id < vocabulary.size()) SetBit(mask, id), any = true;
    }
    any = true;  // a vocabulary without ends: the caller stops
  }
  if (any) return {};
  return Error(
      ErrorCode::kInvalidArgument,
      "no token continues the text: the vocabulary cannot spell what the grammar wants next, or there are over "
      "{} ways to read the text",
      constraint_->limits().stacks);
}

/// Adds the mask without a limit, from memory or made now, unless it may hold tokens beyond the limit. A byte is at
/// most a token where every byte is one.
bool Matcher::AddKnown(std::span<uint64_t> mask, uint32_t limit) {
  auto it = known_.find(set_);
  if (it == known_.end()) {
    Job job{mask};
    Collect(job);
    it = known_.emplace(set_, Known{TokenSet(std::span<const uint64_t>(mask)), job.farthest}).first;
    known_bytes_ += it->second.tokens.MemoryBytes() + 64;
    std::fill(mask.begin(), mask.end(), 0);
  }
  if (limit != kNoBudget && (!constraint_->vocabulary().complete() || it->second.farthest > limit)) return false;
  it->second.tokens.AddTo(mask);
  return true;
}

void Matcher::Collect(Job& job) {
  const auto span = stacks_->NodesOf(set_);
  const std::vector<NodeId> nodes(span.begin(), span.end());  // a copy: there will be more sets
  for (const NodeId node : nodes) AddNode(node, job);
}

void Matcher::AddNode(NodeId node, Job& job) {
  const Stacks::Node n = stacks_->node(node);
  const Automaton& automaton = constraint_->program().automaton(n.automaton);
  if (!automaton.calls.empty()) return AddAll(node, job);
  const StateMask& known = constraint_->MaskOf(n.automaton, n.state);
  const bool counts_bind = !known.needs.empty() && known.needs[0].bodies > BodiesLeft(node);
  const std::vector<const TokenSet*> fit = EndsThatFit(node, known, job);
  const bool all_fit = fit.size() == known.ends.size();
  // Of a token that can stay inside or leave, only the former is known. What follows may leave it no other reading;
  // else that matters where it cannot stay inside after all, or where leaving is nearer to the end.
  if ((counts_bind || !all_fit) && ExitsMatter(node)) return AddAll(node, job);
  const bool far_from_least = automaton.counted() && n.count + 1 < automaton.count_min;
  if (job.limit != kNoBudget && (far_from_least || (counts_bind && !all_fit))) {
    AddInsideOneByOne(node, job);
  } else if (counts_bind) {
    AddWithinCount(node, known, job);
  } else {
    for (const TokenSet* tokens : fit) tokens->AddTo(job.mask);
  }
  if (!known.behind.empty()) AddBehind(node, known.behind, job);
}

/// Whether text may follow the node's automaton that could also go on in it, so that tokens inside have other readings.
bool Matcher::ExitsMatter(NodeId node) {
  const Automaton& a = constraint_->program().automaton(stacks_->node(node).automaton);
  const ByteSet outside = stacks_->FirstBytes(stacks_->Return(node));
  for (uint32_t s = 0; s < a.states(); s++) {
    if (a.accepting[s] == 0) continue;
    for (const auto& e : a.EdgesOf(s)) {
      for (uint32_t b = e.first; b <= e.last; b++) {
        if (outside[b]) return true;
      }
    }
  }
  return false;
}

/// How many more bodies a counted automaton may begin or end.
uint32_t Matcher::BodiesLeft(NodeId node) const {
  const Stacks::Node& n = stacks_->node(node);
  const Automaton& a = constraint_->program().automaton(n.automaton);
  return a.counted() && a.count_max != kUnbounded ? a.count_max - n.count : kUnbounded;
}

/// The tokens inside that keep to the limit, if one more body is enough for a counted automaton's smallest count.
std::vector<const TokenSet*> Matcher::EndsThatFit(NodeId node, const StateMask& known, Job& job) {
  const Stacks::Node n = stacks_->node(node);
  const Automaton& a = constraint_->program().automaton(n.automaton);
  std::vector<const TokenSet*> fit;
  for (const StateMask::End& end : known.ends) {
    const bool ended_one = end.state == a.boundary && n.count < a.count_min;
    const NodeId behind = stacks_->Sibling(node, end.state, n.count + (ended_one ? 1 : 0));
    if (NodeFits(behind, job)) fit.push_back(&end.tokens);
  }
  return fit;
}

bool Matcher::NodeFits(NodeId node, Job& job) {
  const uint64_t distance = stacks_->node(node).distance;
  if (job.limit == kNoBudget) {
    job.farthest = std::max(job.farthest, distance);
    return true;
  }
  // A byte is at most a token, where every byte is one.
  return (constraint_->vocabulary().complete() && distance <= job.limit) || TokensFrom(node) <= job.limit;
}

/// The tokens inside that need no more bodies than are left.
void Matcher::AddWithinCount(NodeId node, const StateMask& known, Job& job) {
  const auto by_need = [](const StateMask::Need& need, uint32_t left) { return need.bodies > left; };
  const auto fit = std::lower_bound(known.needs.begin(), known.needs.end(), BodiesLeft(node), by_need);
  if (known.needs.end() - fit < fit - known.needs.begin()) {
    for (auto it = fit; it != known.needs.end(); ++it) SetBit(job.mask, static_cast<int32_t>(it->token));
    return;
  }
  std::vector<uint64_t> all(job.mask.size());
  for (const StateMask::End& end : known.ends) end.tokens.AddTo(all);
  for (auto it = known.needs.begin(); it != fit; ++it) all[it->token / 64] &= ~(uint64_t{1} << it->token % 64);
  for (size_t i = 0; i < all.size(); i++) job.mask[i] |= all[i];
}

void Matcher::AddInsideOneByOne(NodeId node, Job& job) {
  const Stacks::Node n = stacks_->node(node);
  const Automaton& a = constraint_->program().automaton(n.automaton);
  struct Place {
    uint32_t state, count;
  };
  const auto step = [&](Place from, uint8_t byte) -> Place {
    if (a.counted() && from.state == a.boundary && from.count >= a.count_max) return {kNoState, 0};
    const uint32_t next = a.Next(from.state, byte);
    return {next, next != kNoState && next == a.boundary ? from.count + 1 : from.count};
  };
  constraint_->vocabulary().trie().Walk(
      Place{n.state, n.count}, step, [](Place p) { return p.state != kNoState; },
      [&](Place p, std::span<const ByteTrie::Item> items) {
        // Counts from the smallest on are all the same to what is left.
        const uint32_t count = std::min(p.count, std::max(n.count, a.count_min));
        if (!NodeFits(stacks_->Sibling(node, p.state, count), job)) return;
        for (const auto& item : items) SetBit(job.mask, item.token);
      });
}

bool Matcher::Fits(SetId set, Job& job) {
  if (job.limit == kNoBudget) {
    job.farthest = std::max(job.farthest, stacks_->Distance(set));
    return true;
  }
  return (constraint_->vocabulary().complete() && stacks_->Distance(set) <= job.limit) || TokensToEnd(set) <= job.limit;
}

/// Tokens that leave the node's automaton, on the stacks behind it.
void Matcher::AddBehind(NodeId node, const ByteTrie& trie, Job& job) {
  const Stacks::Node n = stacks_->node(node);
  const Automaton& a = constraint_->program().automaton(n.automaton);
  const uint32_t fewest = a.counted() && a.count_min > n.count ? a.count_min - n.count : 0, most = BodiesLeft(node);
  trie.Walk(
      stacks_->Return(node), [&](SetId set, uint8_t byte) { return stacks_->Step(set, byte); },
      [&](SetId set) { return stacks_->alive(set); },
      [&](SetId set, std::span<const ByteTrie::Item> items) {
        if (!Fits(set, job)) return;
        for (const auto& item : items) {
          if (item.count >= fewest && item.count <= most) SetBit(job.mask, item.token);
        }
      });
}

/// Every token that begins with a byte that the node reads, on the stacks.
void Matcher::AddAll(NodeId node, Job& job) {
  constraint_->vocabulary().trie().Walk(
      stacks_->Alone(node), [&](SetId set, uint8_t byte) { return stacks_->Step(set, byte); },
      [&](SetId set) { return stacks_->alive(set); },
      [&](SetId set, std::span<const ByteTrie::Item> items) {
        if (!Fits(set, job)) return;
        for (const auto& item : items) SetBit(job.mask, item.token);
      });
}

}  // namespace bonsai::grammar
