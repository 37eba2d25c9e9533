#include "grammar/vocabulary.h"

#include <algorithm>
#include <list>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace bonsai::grammar {
namespace {

/// Automata over large sets that are kept although no grammar uses them now. Each knows two or three masks of 20 KB and
/// some lists: about 1 MB with Qwen's vocabulary.
constexpr size_t kKept = 32;

/// Small, without calls: what the compiler makes for repetitions over large sets, the same in many grammars.
bool WorthKeeping(const Automaton& a) { return a.calls.empty() && a.states() <= 64; }

ByteTrie MakeTrie(const std::vector<std::string>& pieces) {
  std::vector<ByteTrie::Entry> entries;
  entries.reserve(pieces.size());
  for (size_t id = 0; id < pieces.size(); id++) entries.push_back({pieces[id], {static_cast<int32_t>(id), 0}});
  return ByteTrie(std::move(entries));
}

}  // namespace

struct Vocabulary::Cache {
  std::mutex mutex;
  std::unordered_map<std::string, std::weak_ptr<const StateMasks>> all;
  std::list<std::shared_ptr<const StateMasks>> kept;  ///< The last used first.
  size_t swept = 64;
};

Vocabulary::~Vocabulary() = default;

Vocabulary::Vocabulary(std::vector<std::string> pieces, std::vector<int32_t> ends)
    : pieces_(std::move(pieces)), ends_(std::move(ends)), cache_(std::make_unique<Cache>()) {
  std::sort(ends_.begin(), ends_.end());
  for (const int32_t id : ends_) {
    if (id >= 0 && id < size()) pieces_[static_cast<size_t>(id)].clear();
  }
  trie_ = MakeTrie(pieces_);
  complete_ = true;
  for (int b = 0; b < 256; b++) {
    const char byte = static_cast<char>(b);
    complete_ = complete_ && trie_.LongestPrefix({&byte, 1}) == 1;
  }
}

std::shared_ptr<const Vocabulary> Vocabulary::FromTokenizer(const text::Tokenizer& tokenizer) {
  std::vector<std::string> pieces(static_cast<size_t>(tokenizer.vocab_size()));
  for (int32_t id = 0; id < tokenizer.vocab_size(); id++) {
    if (!tokenizer.IsControl(id)) pieces[static_cast<size_t>(id)] = tokenizer.Piece(id);
  }
  const auto ends = tokenizer.EndOfGeneration();
  return std::make_shared<const Vocabulary>(std::move(pieces), std::vector<int32_t>(ends.begin(), ends.end()));
}

std::string_view Vocabulary::piece(int32_t id) const {
  return id >= 0 && id < size() ? std::string_view(pieces_[static_cast<size_t>(id)]) : std::string_view();
}

bool Vocabulary::IsEnd(int32_t id) const { return std::binary_search(ends_.begin(), ends_.end(), id); }

uint32_t Vocabulary::CountTokens(std::string_view bytes) const {
  uint32_t count = 0;
  while (!bytes.empty()) {
    const size_t n = trie_.LongestPrefix(bytes);
    if (n == 0) return kUnspellable;
    bytes.remove_prefix(n);
    count++;
  }
  return count;
}

std::shared_ptr<const StateMasks> Vocabulary::MasksOf(const std::shared_ptr<const Automaton>& automaton) const {
  std::string key = automaton->Key();
  const std::lock_guard lock(cache_->mutex);
  std::weak_ptr<const StateMasks>& slot = cache_->all[std::move(key)];
  std::shared_ptr<const StateMasks> masks = slot.lock();
  if (!masks) slot = masks = std::make_shared<const StateMasks>(automaton, trie_, words());
  if (WorthKeeping(*automaton)) {
    cache_->kept.remove(masks);
    cache_->kept.push_front(masks);
    if (cache_->kept.size() > kKept) cache_->kept.pop_back();
  }
  if (cache_->all.size() > cache_->swept) {
    std::erase_if(cache_->all, [](const auto& entry) { return entry.second.expired(); });
    cache_->swept = std::max<size_t>(64, 2 * cache_->all.size());
  }
  return masks;
}

}  // namespace bonsai::grammar
