#include "engine/model_drafter.h"

#include <algorithm>

namespace bonsai::engine {

ModelDrafter::ModelDrafter(LoadedModel& model, int32_t vocab)
    : model_(model),
      pool_(model.pool()),
      vocab_(static_cast<size_t>(std::min(vocab, model.config().vocab))),
      max_rows_(static_cast<size_t>(model.model().max_rows())) {}

void ModelDrafter::Guess(std::span<DraftWish> wishes) {
  std::vector<Turn> turns;
  for (DraftWish& wish : wishes) {
    Text& text = texts_[wish.id];
    Follow(wish, text);
    if (!text.given_up) turns.push_back({&wish, &text});
  }
  // Whoever has much to read must not keep the others from their rows.
  std::stable_sort(turns.begin(), turns.end(),
                   [](const Turn& a, const Turn& b) { return a.text->pending() < b.text->pending(); });
  for (PlanPass(turns); !turns.empty(); PlanPass(turns)) {
    RunPass(turns);
    if (!Choose(turns)) return;
    std::erase_if(turns, [&](const Turn& t) {
      const std::vector<int32_t>& draft = t.wish->draft;
      return draft.empty() || draft.size() == t.wish->most || model_.tokenizer().IsEndOfGeneration(draft.back());
    });
  }
}

/// Brings a text up to date. What a request has never changes, so that only guesses can be wrong: their keys and values
/// lie behind the blocks that others may see. The last token always is to run: its logits are wanted.
void ModelDrafter::Follow(const DraftWish& wish, Text& text) {
  if (text.given_up) return;
  const size_t both = std::min(text.tokens.size(), wish.tokens.size());
  size_t same = text.known;
  while (same < both && text.tokens[same] == wish.tokens[same]) same++;
  text.tokens.resize(same);
  const std::span<const int32_t> more = wish.tokens.subspan(same);
  if (std::any_of(more.begin(), more.end(), [&](int32_t id) { return static_cast<size_t>(id) >= vocab_; }))
    return GiveUp(text);
  text.tokens.insert(text.tokens.end(), more.begin(), more.end());
  text.known = text.tokens.size();
  text.cache.computed = std::min({text.cache.computed, same, text.known - 1});
  text.cache.TakeOver(pool_, wish.salt, text.tokens);
}

void ModelDrafter::GiveUp(Text& text) {
  text.cache.Release(pool_);
  text.tokens.clear();
  text.known = 0;
  text.given_up = true;
}

void ModelDrafter::Forget(uint64_t id) {
  const auto text = texts_.find(id);
  if (text == texts_.end()) return;
  text->second.cache.Release(pool_);
  texts_.erase(text);
}

/// Shares out the rows of a pass; whoever gets none has no more turns.
void ModelDrafter::PlanPass(std::vector<Turn>& turns) {
  size_t left = max_rows_;
  for (Turn& turn : turns) {
    Text& text = *turn.text;
    turn.rows = std::min(left, text.pending());
    if (turn.rows == 0) continue;
    if (!text.cache.Reserve(pool_, text.cache.computed + turn.rows)) {
      turn.rows = 0;
      GiveUp(text);
    }
    left -= turn.rows;
  }
  std::erase_if(turns, [](const Turn& t) { return t.rows == 0; });
}

void ModelDrafter::RunPass(std::span<const Turn> turns) {
  std::vector<int32_t> tokens;
  std::vector<kernels::SequenceRows> sequences;
  for (const Turn& turn : turns) {
    const KvChain& cache = turn.text->cache;
    const auto pending = std::span(turn.text->tokens).subspan(cache.computed, turn.rows);
    sequences.push_back({.first_row = static_cast<int32_t>(tokens.size()),
                         .rows = static_cast<int32_t>(turn.rows),
                         .pos = static_cast<int32_t>(cache.computed),
                         .blocks = cache.blocks});
    tokens.insert(tokens.end(), pending.begin(), pending.end());
  }
  model_.model().Forward({.tokens = tokens, .sequences = sequences}, model_.kv());
  for (const Turn& turn : turns) {
    Text& text = *turn.text;
    text.cache.computed += turn.rows;
    // Not the last token, which Follow may want to run again.
    text.cache.Publish(pool_, turn.wish->salt, std::span(text.tokens).first(text.known - 1));
  }
}

/// Appends the most likely token, the lowest of equals, to the texts that were run to their end.
Status ModelDrafter::Choose(std::span<const Turn> turns) {
  std::vector<int32_t> rows;
  std::vector<const Turn*> ends;
  int32_t row = -1;
  for (const Turn& turn : turns) {
    row += static_cast<int32_t>(turn.rows);
    if (turn.text->pending() == 0) rows.push_back(row), ends.push_back(&turn);
  }
  const auto stride = static_cast<size_t>(model_.config().vocab), step = static_cast<size_t>(model::kMaxLogitRows);
  for (size_t i = 0; i < rows.size(); i += step) {
    const size_t n = std::min(step, rows.size() - i);
    logits_.resize(std::max(logits_.size(), n * stride));
    BONSAI_RETURN_IF_ERROR(model_.model().Logits(std::span(rows).subspan(i, n), std::span(logits_).first(n * stride)));
    for (size_t j = 0; j < n; j++) {
      const auto first = logits_.begin() + static_cast<ptrdiff_t>(j * stride);
      const auto best = std::max_element(first, first + static_cast<ptrdiff_t>(vocab_));
      const auto id = static_cast<int32_t>(best - first);
      ends[i + j]->text->tokens.push_back(id);
      ends[i + j]->wish->draft.push_back(id);
    }
  }
  return {};
}

Status ModelDrafter::Audit() const {
  std::vector<std::span<const int32_t>> chains;
  for (const auto& [id, text] : texts_) {
    const KvChain& c = text.cache;
    chains.push_back(c.blocks);
    if (c.computed > text.tokens.size() || text.known > text.tokens.size() || c.blocks.size() < BlocksFor(c.computed))
      return Error(ErrorCode::kCorrupt, "the draft of request {} has too few tokens or KV blocks", id);
    if (c.published * kBlock > std::min(c.computed, text.known))
      return Error(ErrorCode::kCorrupt, "of the draft of request {} guesses are published", id);
  }
  return pool_.Audit(chains);
}

}  // namespace bonsai::engine
