#include "engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/model_drafter.h"

namespace bonsai::engine {
namespace {

/// Blocks that a sequence still needs to run all its tokens and one more.
int64_t Missing(const Sequence& s) {
  return static_cast<int64_t>(BlocksFor(s.tokens().size() + 1)) - static_cast<int64_t>(s.cache.blocks.size());
}

/// Whether `other` computes the block that `s` wants next. Equal published blocks mean equal tokens before them, and
/// the same salt.
bool Computes(const Sequence& other, const Sequence& s) {
  const size_t n = s.cache.blocks.size();
  if (other.done() || other.cache.published < n || other.tokens().size() < (n + 1) * kBlock) return false;
  if (n == 0 ? other.request().cache_salt != s.request().cache_salt
             : other.cache.blocks[n - 1] != s.cache.blocks[n - 1])
    return false;
  const auto theirs = other.tokens().subspan(n * kBlock, kBlock), ours = s.tokens().subspan(n * kBlock, kBlock);
  return std::equal(theirs.begin(), theirs.end(), ours.begin());
}

std::unique_ptr<Drafter> NewDrafter(LoadedModel& model) {
  if (model.draft() == nullptr) return std::make_unique<NgramDrafter>();
  return std::make_unique<ModelDrafter>(*model.draft(), model.config().vocab);
}

}  // namespace

Scheduler::Scheduler(LoadedModel& model, const SchedulerOptions& options, std::unique_ptr<Drafter> drafter)
    : model_(model),
      pool_(model.pool()),
      options_(options),
      batch_rows_(static_cast<size_t>(model.model().max_rows())),
      logit_rows_(static_cast<size_t>(LogitRows(options.slots, model.draft_max()))),
      limit_(
          static_cast<int32_t>(std::min<int64_t>(model.plan().context, int64_t{pool_.capacity()} * kernels::kKvBlock))),
      drafter_(drafter != nullptr ? std::move(drafter) : NewDrafter(model)) {
  BONSAI_CHECK(options.slots >= 1 && options.max_queue >= 0 && options.mixed_prompt_rows >= 1);
  UpdateStats();
}

Result<RequestId> Scheduler::Submit(Request request) {
  BONSAI_RETURN_IF_ERROR(model_.CheckTokens(request.prompt));
  BONSAI_RETURN_IF_ERROR(Validate(request.options, model_.config().vocab));
  if (request.prompt.size() >= static_cast<size_t>(limit_))
    return Error(ErrorCode::kInvalidArgument,
                 "the prompt has {} tokens, which leaves no room in a context of {}; use -c {}", request.prompt.size(),
                 limit_, request.prompt.size() + 256);
  // The sampler counts the prompt's tokens: here, so that the engine's thread need not.
  auto sequence = std::make_unique<Sequence>(std::move(request), model_.tokenizer(), model_.config().vocab, limit_,
                                             model_.draft_max());
  const std::lock_guard lock(mutex_);
  if (closed_) return Error(ErrorCode::kCancelled, "the engine is shutting down");
  if (live_ >= options_.slots + options_.max_queue) {
    refused_++;
    return Error(ErrorCode::kBusy, "{} requests run or wait already; try again later", live_);
  }
  live_++;
  const RequestId id = sequence->id = ++last_id_;
  inbox_.push_back(std::move(sequence));
  return id;
}

void Scheduler::Cancel(RequestId id) {
  const std::lock_guard lock(mutex_);
  cancels_.push_back(id);
}

void Scheduler::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

SchedulerStats Scheduler::stats() const {
  const std::lock_guard lock(mutex_);
  SchedulerStats s = stats_;
  s.waiting += static_cast<int32_t>(inbox_.size());
  s.requests_refused = refused_;
  return s;
}

bool Scheduler::Step() {
  TakeInbox();
  ExpireDeadlines();
  Sweep();
  Admit();
  PlanBatch();
  if (!work_.empty()) RunBatch();
  Sweep();
  UpdateStats();
  const std::lock_guard lock(mutex_);
  return !running_.empty() || !waiting_.empty() || !inbox_.empty();  // callbacks may have submitted
}

void Scheduler::CancelAll() {
  TakeInbox();
  for (const auto& s : running_) s->End(FinishReason::kCancelled);
  for (const auto& s : waiting_) s->End(FinishReason::kCancelled);
  Sweep();
  UpdateStats();
}

void Scheduler::TakeInbox() {
  std::vector<RequestId> cancels;
  {
    const std::lock_guard lock(mutex_);
    for (auto& s : inbox_) waiting_.push_back(std::move(s));
    inbox_.clear();
    cancels.swap(cancels_);
  }
  for (const RequestId id : cancels) {
    for (const auto& s : running_)
      if (s->id == id) s->End(FinishReason::kCancelled);
    for (const auto& s : waiting_)
      if (s->id == id) s->End(FinishReason::kCancelled);
  }
}

void Scheduler::ExpireDeadlines() {
  const Clock::time_point now = Clock::now();
  const auto check = [&](Sequence& s) {
    if (s.request().deadline && now >= *s.request().deadline) s.End(FinishReason::kDeadline);
  };
  for (const auto& s : running_) check(*s);
  for (const auto& s : waiting_) check(*s);
}

/// Starts those that waited longest, as long as there are slots and memory. What runs has the first claim to memory
/// that it will need soon, so that nothing is started only to be preempted. One alone always starts: Submit saw to its
/// size.
void Scheduler::Admit() {
  const size_t slots = std::min(static_cast<size_t>(options_.slots), batch_rows_);
  while (!waiting_.empty() && running_.size() < slots) {
    Sequence& s = *waiting_.front();
    TakeOver(s);
    if (!running_.empty() && !Fits(s)) return GiveBack(s);
    if (!s.admitted) s.admitted = Clock::now();
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

bool Scheduler::Fits(const Sequence& sequence) {
  int64_t need = Missing(sequence);
  for (const auto& s : running_) need += std::max<int64_t>(Missing(*s), 0);
  return need <= pool_.available();
}

/// Takes over the next blocks that another sequence has computed.
void Scheduler::TakeOver(Sequence& s) {
  const size_t tokens = s.cache.TakeOver(pool_, s.request().cache_salt, s.tokens());
  if (s.result().preemptions == 0) s.result().cached_tokens += static_cast<int32_t>(tokens);
}

void Scheduler::PlanBatch() {
  work_.clear();
  for (size_t i = 0; i < running_.size(); i++) TakeOver(*running_[i]);
  // By index: whoever finds no memory may preempt those behind it.
  for (size_t i = 0; i < running_.size(); i++)
    if (!running_[i]->done() && running_[i]->pending() == 1) AddWork(*running_[i], 1);
  // There are no more slots than rows: while a prompt waits, at least one row is left for it.
  size_t rows = batch_rows_ - work_.size();
  if (!work_.empty()) rows = std::min(rows, static_cast<size_t>(options_.mixed_prompt_rows));
  PlanPrompts(rows);
  size_t used = 0;
  for (const Work& w : work_) used += w.rows;
  PlanDrafts(batch_rows_ - used);
}

/// Whether a sequence lets an older one compute its next block, to take it over. Decided anew in each step, so that it
/// matters not what becomes of the other; and nobody waits for ever: each waits for somebody older, so in every step
/// there is one at the end of the chain who does not wait, has tokens to run and gets rows, at the latest in its turn.
/// Only younger ones can lose their place to it.
bool Scheduler::Waits(size_t index) const {
  const Sequence& s = *running_[index];
  return s.cache.WantsBlock(s.tokens().size()) &&
         std::any_of(running_.begin(), running_.begin() + static_cast<ptrdiff_t>(index),
                     [&](const auto& older) { return Computes(*older, s); });
}

/// Prompts get equal shares of the rows, and the oldest of them what others do not need. Where there are more prompts
/// than rows they take turns. What several begin with is computed once.
void Scheduler::PlanPrompts(size_t rows) {
  std::vector<std::pair<Sequence*, size_t>> prompts;
  for (size_t i = 0; i < running_.size(); i++)
    if (!running_[i]->done() && running_[i]->pending() > 1 && !Waits(i)) prompts.push_back({running_[i].get(), 0});
  if (prompts.empty()) return;
  auto next = std::find_if(prompts.begin(), prompts.end(), [&](const auto& p) { return p.first->id > last_prompt_; });
  if (next == prompts.end()) next = prompts.begin();
  if (prompts.size() > rows) std::rotate(prompts.begin(), next, prompts.end());
  size_t left = rows;
  for (const size_t most : {std::max<size_t>(1, rows / prompts.size()), rows})
    for (auto& [s, given] : prompts) {
      const size_t more = std::min({s->pending() - given, most, left});
      if (more > 0 && given == 0) last_prompt_ = s->id;
      given += more;
      left -= more;
    }
  std::sort(prompts.begin(), prompts.end(), [](const auto& a, const auto& b) { return a.first->id < b.first->id; });
  for (const auto& [s, given] : prompts) {
    const auto running = [&, wanted = s](const auto& r) { return r.get() == wanted; };
    if (std::none_of(running_.begin(), running_.end(), running)) break;  // preempted, as all younger ones
    if (given > 0) AddWork(*s, given);
  }
}

/// Guesses take rows and blocks that nobody else wants.
void Scheduler::PlanDrafts(size_t rows) {
  std::vector<DraftWish> wishes;
  std::vector<Work*> works;
  for (Work& w : work_) {
    Sequence& s = *w.sequence;
    if (w.rows != s.pending() || s.room() < 2) continue;
    const size_t most = std::min({s.NextDraft(), rows, s.room() - 1});
    if (most == 0) continue;
    rows -= most;
    wishes.push_back({.id = s.id, .salt = s.request().cache_salt, .tokens = s.tokens(), .most = most});
    works.push_back(&w);
  }
  if (wishes.empty()) return;
  drafter_->Guess(wishes);
  for (size_t i = 0; i < wishes.size(); i++) {
    Sequence& s = *works[i]->sequence;
    std::vector<int32_t>& draft = works[i]->draft = std::move(wishes[i].draft);
    BONSAI_CHECK(draft.size() <= wishes[i].most);
    if (!s.cache.Reserve(pool_, s.tokens().size() + draft.size()))
      draft.resize(s.cache.blocks.size() * kBlock - s.tokens().size());
  }
}

void Scheduler::AddWork(Sequence& sequence, size_t rows) {
  if (Reserve(sequence, sequence.cache.computed + rows)) work_.push_back({.sequence = &sequence, .rows = rows});
}

/// Blocks for so many positions, if need be those of younger sequences. False when the sequence itself was the youngest
/// and was preempted, or there is nobody left.
bool Scheduler::Reserve(Sequence& sequence, size_t positions) {
  while (!sequence.cache.Reserve(pool_, positions)) {
    if (running_.size() == 1) {
      sequence.Fail(Error(ErrorCode::kOutOfMemory,
                          "the system gave memory for {} tokens of the KV cache, too little for this sequence",
                          int64_t{pool_.capacity()} * kernels::kKvBlock));
      return false;
    }
    const bool itself = running_.back().get() == &sequence;
    Preempt();
    if (itself) return false;
  }
  return true;
}

/// The youngest goes back to the front of the queue, where it is the oldest.
void Scheduler::Preempt() {
  Sequence& s = *running_.back();
  std::erase_if(work_, [&](const Work& w) { return w.sequence == &s; });
  GiveBack(s);
  s.result().preemptions++;
  counts_.preemptions++;
  waiting_.push_front(std::move(running_.back()));
  running_.pop_back();
}

void Scheduler::GiveBack(Sequence& s) {
  s.cache.Release(pool_);
  drafter_->Forget(s.id);
  if (!s.admitted) s.result().cached_tokens = 0;
}

void Scheduler::RunBatch() {
  std::vector<int32_t> tokens;
  std::vector<kernels::SequenceRows> sequences;
  for (Work& w : work_) {
    const Sequence& s = *w.sequence;
    w.first_row = tokens.size();
    const auto pending = s.tokens().subspan(s.cache.computed, w.rows);
    tokens.insert(tokens.end(), pending.begin(), pending.end());
    tokens.insert(tokens.end(), w.draft.begin(), w.draft.end());
    sequences.push_back({.first_row = static_cast<int32_t>(w.first_row),
                         .rows = static_cast<int32_t>(tokens.size() - w.first_row),
                         .pos = static_cast<int32_t>(s.cache.computed),
                         .blocks = s.cache.blocks});
  }
  counts_.rows += static_cast<int64_t>(tokens.size());
  model_.model().Forward({.tokens = tokens, .sequences = sequences}, model_.kv());
  for (Work& w : work_) {
    w.sequence->cache.computed += w.rows;
    w.base = w.sequence->tokens().size();
    w.settled = w.sequence->cache.computed < w.base;
  }
  if (const Status status = Choose(); !status)
    for (Work& w : work_) w.sequence->Fail(status.error());
  for (Work& w : work_) {
    w.sequence->LearnDraft(w.draft.size(), w.accepted);
    w.sequence->cache.Publish(pool_, w.sequence->request().cache_salt, w.sequence->tokens());
  }
}

/// Computes the logits of each sequence's last token and of its guesses, and lets it go on.
Status Scheduler::Choose() {
  std::vector<std::pair<Work*, size_t>> wanted;  // and which of the work's logits it is
  for (Work& w : work_)
    for (size_t i = 0; !w.settled && i <= w.draft.size(); i++) wanted.push_back({&w, i});
  const auto vocab = static_cast<size_t>(model_.config().vocab);
  std::vector<int32_t> rows;
  for (size_t i = 0; i < wanted.size(); i += rows.size()) {
    rows.clear();
    for (size_t j = i; j < std::min(wanted.size(), i + logit_rows_); j++)
      rows.push_back(static_cast<int32_t>(wanted[j].first->first_row + wanted[j].first->rows - 1 + wanted[j].second));
    if (logits_.size() < rows.size() * vocab) logits_.resize(rows.size() * vocab);
    const std::span<float> out(logits_.data(), rows.size() * vocab);
    BONSAI_RETURN_IF_ERROR(model_.model().Logits(rows, out));
    for (size_t j = 0; j < rows.size(); j++)
      TakeLogits(*wanted[i + j].first, wanted[i + j].second, out.subspan(j * vocab, vocab));
  }
  return {};
}

/// `logits` say what follows the first `row` guesses, which were right so far. The next token is chosen as without
/// guesses; when the next guess is the same token, its keys and values are right, and its logits are the next ones
/// wanted.
void Scheduler::TakeLogits(Work& w, size_t row, std::span<const float> logits) {
  if (w.settled) return;
  Sequence& s = *w.sequence;
  if (s.tokens().size() == w.base + row) s.Advance(logits);
  w.settled = s.done() || row == w.draft.size() || s.tokens()[w.base + row] != w.draft[row];
  if (w.settled) return;
  s.cache.computed++;
  w.accepted++;
}

/// Lets go of those that are done.
void Scheduler::Sweep() {
  const auto sweep = [&](auto& list) {
    std::vector<std::unique_ptr<Sequence>> done;
    for (auto& s : list)
      if (s->done()) done.push_back(std::move(s));
    std::erase(list, nullptr);
    for (auto& s : done) Finish(std::move(s));
  };
  sweep(running_);
  sweep(waiting_);
}

void Scheduler::Finish(std::unique_ptr<Sequence> s) {
  GiveBack(*s);
  const GenerateResult& r = s->result();
  counts_.requests_finished++;
  counts_.drafted_tokens += r.drafted_tokens;
  counts_.accepted_tokens += r.accepted_tokens;
  if (s->admitted) counts_.prompt_tokens += r.prompt_tokens;
  counts_.cached_tokens += r.cached_tokens;
  counts_.generated_tokens += static_cast<int64_t>(r.tokens.size());
  {
    const std::lock_guard lock(mutex_);
    live_--;
  }
  s->Close();
}

void Scheduler::UpdateStats() {
  SchedulerStats s = counts_;
  s.running = static_cast<int32_t>(running_.size());
  s.waiting = static_cast<int32_t>(waiting_.size());
  s.kv_blocks_total = pool_.capacity();
  s.kv_blocks_used = pool_.used();
  s.kv_blocks_cached = pool_.cached();
  s.kv_block_bytes = pool_.block_bytes();
  s.kv_evictions = pool_.evictions();
  const std::lock_guard lock(mutex_);
  stats_ = s;
}

Status Scheduler::Audit() const {
  std::vector<std::span<const int32_t>> chains;
  for (const auto& s : running_) chains.push_back(s->cache.blocks);
  for (const auto& s : waiting_)
    if (!s->cache.blocks.empty()) return Error(ErrorCode::kCorrupt, "request {} waits and owns KV blocks", s->id);
  for (const auto& s : running_) {
    if (s->done() || s->cache.computed >= s->tokens().size() || s->cache.blocks.size() < BlocksFor(s->cache.computed))
      return Error(ErrorCode::kCorrupt, "request {} is done, or has no token to run, or too few KV blocks", s->id);
    if (s->cache.published > s->cache.blocks.size() || s->cache.published != s->cache.computed / kBlock)
      return Error(ErrorCode::kCorrupt, "request {} has {} full KV blocks, {} are known", s->id,
                   s->cache.computed / kBlock, s->cache.published);
    if (!waiting_.empty() && s->id >= waiting_.front()->id)
      return Error(ErrorCode::kCorrupt, "request {} overtook request {}", s->id, waiting_.front()->id);
  }
  BONSAI_RETURN_IF_ERROR(drafter_->Audit());
  return pool_.Audit(chains);
}

}  // namespace bonsai::engine
