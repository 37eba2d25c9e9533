#include "grammar/state_masks.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <unordered_map>
#include <utility>

namespace bonsai::grammar {
namespace {

/// An automaton's edges by byte, for the states that a walk comes through.
class Rows {
 public:
  explicit Rows(const Automaton& automaton) : automaton_(automaton), rows_(automaton.states()) {}
  uint32_t Next(uint32_t state, uint8_t byte) {
    auto& row = rows_[state];
    if (!row) {
      row = std::make_unique<std::array<uint32_t, 256>>();
      row->fill(kNoState);
      for (const auto& e : automaton_.EdgesOf(state)) {
        for (uint32_t b = e.first; b <= e.last; b++) (*row)[b] = e.target;
      }
    }
    return (*row)[byte];
  }

 private:
  const Automaton& automaton_;
  std::vector<std::unique_ptr<std::array<uint32_t, 256>>> rows_;
};

/// Collects a state's mask on a walk through the vocabulary.
class Collector {
 public:
  Collector(const Automaton& automaton, const ByteTrie& trie, size_t words)
      : a_(automaton),
        trie_(trie),
        words_(words),
        rows_(automaton),
        end_of_(automaton.states(), kNoState),
        path_(trie.max_depth() + 1) {}

  std::unique_ptr<StateMask> Run(uint32_t start) {
    path_[0] = {start, 0, 0};
    bytes_.assign(trie_.max_depth(), '\0');
    for (uint32_t i = 0; i < trie_.size();) {
      const ByteTrie::Node& node = trie_.node(i);
      bytes_[node.depth - 1u] = static_cast<char>(node.byte);
      if (Enter(node)) {
        Inside(trie_.items(i), path_[node.depth]);
        i++;
      } else {
        if (path_[node.depth - 1u].exit > 0) Leave(i);
        i = node.end;
      }
    }
    return Finish();
  }

 private:
  struct Place {
    uint32_t state;
    uint32_t bodies;  ///< That have ended on the way.
    uint32_t exit;    ///< Depth of the last accepting state on the way, this place too; 0: none.
  };
  struct Remainder {
    std::string bytes;
    ByteTrie::Item item;
  };

  bool Enter(const ByteTrie::Node& node) {
    const Place& from = path_[node.depth - 1u];
    const uint32_t state = rows_.Next(from.state, node.byte);
    if (state == kNoState) return false;
    Place& to = path_[node.depth];
    to = {state, from.bodies + (state == a_.boundary ? 1 : 0), a_.accepting[state] != 0 ? node.depth : from.exit};
    return true;
  }

  void Inside(std::span<const ByteTrie::Item> items, const Place& place) {
    if (items.empty()) return;
    uint32_t& end = end_of_[place.state];
    if (end == kNoState) {
      end = static_cast<uint32_t>(ids_.size());
      ids_.emplace_back();
      mask_->ends.push_back({place.state, {}});
    }
    for (const auto& item : items) {
      ids_[end].push_back(static_cast<uint32_t>(item.token));
      if (!a_.counted()) continue;
      mask_->needs.push_back({place.bodies + (place.state == a_.boundary ? 0 : 1), static_cast<uint32_t>(item.token)});
    }
  }

  /// The tokens of the subtree at i, whose first byte has no way, through all exits before it.
  void Leave(uint32_t i) {
    const uint32_t last_exit = path_[trie_.node(i).depth - 1u].exit, end = trie_.node(i).end;
    for (uint32_t n = i; n < end; n++) {
      const uint32_t depth = trie_.node(n).depth;
      bytes_[depth - 1] = static_cast<char>(trie_.node(n).byte);
      for (const auto& item : trie_.items(n)) {
        for (uint32_t from = 1; from <= last_exit; from++) {
          if (a_.accepting[path_[from].state] == 0) continue;
          remainders_.push_back({bytes_.substr(from, depth - from), {item.token, path_[from].bodies}});
        }
      }
    }
  }

  std::unique_ptr<StateMask> Finish() {
    for (size_t i = 0; i < ids_.size(); i++) mask_->ends[i].tokens = TokenSet(std::move(ids_[i]), words_);
    std::sort(mask_->needs.begin(), mask_->needs.end(),
              [](const StateMask::Need& a, const StateMask::Need& b) { return a.bodies > b.bodies; });
    std::vector<ByteTrie::Entry> entries;
    entries.reserve(remainders_.size());
    for (const Remainder& r : remainders_) entries.push_back({r.bytes, r.item});
    mask_->behind = ByteTrie(std::move(entries));
    return std::move(mask_);
  }

  const Automaton& a_;
  const ByteTrie& trie_;
  size_t words_;
  Rows rows_;
  std::vector<uint32_t> end_of_;            ///< By state: its place in mask_->ends.
  std::vector<Place> path_;                 ///< By depth.
  std::string bytes_;                       ///< Of the node at hand.
  std::vector<std::vector<uint32_t>> ids_;  ///< By end.
  std::vector<Remainder> remainders_;
  std::unique_ptr<StateMask> mask_ = std::make_unique<StateMask>();
};

}  // namespace

TokenSet::TokenSet(std::vector<uint32_t> ids, size_t words) {
  if (ids.size() * sizeof(uint32_t) <= words * sizeof(uint64_t)) {
    ids_ = std::move(ids);
    ids_.shrink_to_fit();
    return;
  }
  words_.resize(words);
  for (const uint32_t id : ids) SetBit(words_, static_cast<int32_t>(id));
}

TokenSet::TokenSet(std::span<const uint64_t> mask) {
  size_t count = 0;
  for (const uint64_t word : mask) count += static_cast<size_t>(std::popcount(word));
  if (count * sizeof(uint32_t) > mask.size() * sizeof(uint64_t)) {
    words_.assign(mask.begin(), mask.end());
    return;
  }
  ids_.reserve(count);
  for (size_t i = 0; i < mask.size(); i++) {
    for (uint64_t word = mask[i]; word != 0; word &= word - 1) {
      ids_.push_back(static_cast<uint32_t>(i * 64 + static_cast<size_t>(std::countr_zero(word))));
    }
  }
}

void TokenSet::AddTo(std::span<uint64_t> mask) const {
  for (size_t i = 0; i < words_.size(); i++) mask[i] |= words_[i];
  for (const uint32_t id : ids_) SetBit(mask, static_cast<int32_t>(id));
}

StateMasks::StateMasks(std::shared_ptr<const Automaton> automaton, const ByteTrie& trie, size_t words)
    : automaton_(std::move(automaton)),
      trie_(trie),
      words_(words),
      same_(automaton_->states()),
      masks_(automaton_->states()) {
  std::unordered_map<std::string, uint32_t> first;
  for (uint32_t s = 0; s < automaton_->states(); s++) {
    std::string key;
    const auto add = [&](uint32_t word) { key.append(reinterpret_cast<const char*>(&word), sizeof(word)); };
    for (const auto& e : automaton_->EdgesOf(s)) add(uint32_t{e.first} << 8 | e.last), add(e.target);
    same_[s] = first.try_emplace(std::move(key), s).first->second;
  }
}

const StateMask& StateMasks::Of(uint32_t state) const {
  state = same_[state];
  const std::lock_guard lock(mutex_);
  if (!masks_[state]) masks_[state] = Make(state);
  return *masks_[state];
}

std::unique_ptr<StateMask> StateMasks::Make(uint32_t state) const {
  return Collector(*automaton_, trie_, words_).Run(state);
}

}  // namespace bonsai::grammar
