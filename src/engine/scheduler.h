// Continuous batching: many generations share each pass over the weights.
//
//   Scheduler scheduler(model, {.slots = 8});
//   scheduler.Submit({.prompt = ids, .on_token = ..., .on_finish = ...});   // from any thread
//   while (scheduler.Step()) {}                                              // from one thread
//
// A step runs one batch: the next token of every generation, then pieces of the prompts, in equal shares, then guesses
// (draft.h) as far as rows are left. A prompt therefore never stalls the others for longer than a batch takes, and the
// others never stall it (Yu et al. 2022, Orca; Agrawal et al. 2024, chunked prefill, arXiv 2308.16369).
//
// Requests start in the order in which they came, as soon as there is a slot and KV memory for their tokens. Should
// memory run out later, the youngest gives its blocks back and computes them anew when there is room: the oldest can
// always go on, so everything finishes. What a request answers depends on nothing but itself: kernels give the same
// bits in every batch, and every request draws with its own random numbers.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "engine/loaded_model.h"
#include "engine/sequence.h"

namespace bonsai::engine {

struct SchedulerOptions {
  int32_t slots = 1;       ///< Most sequences in a batch; at most the model's max_rows count.
  int32_t max_queue = 64;  ///< Requests that may wait for a slot.
  /// Most prompt tokens in a batch in which others generate: what bounds the time between two of their tokens. Kernels
  /// gain little beyond 16 rows (docs/benchmarks.md), so few cost the prompt little; 32 itself is not measured.
  int32_t mixed_prompt_rows = 32;
};

/// Counts since the start, except where it says "now". No content of any request.
struct SchedulerStats {
  int32_t running = 0, waiting = 0;                                       ///< Now.
  int32_t kv_blocks_total = 0, kv_blocks_used = 0, kv_blocks_cached = 0;  ///< Now; used: owned by a sequence.
  uint64_t kv_block_bytes = 0;
  int64_t requests_finished = 0, requests_refused = 0;  ///< Refused: too many waited.
  int64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0, drafted_tokens = 0, accepted_tokens = 0;
  int64_t preemptions = 0, kv_evictions = 0;
  int64_t rows =
      0;  ///< That the model ran: tokens that were in no cache, once or, after a preemption, again, and guesses.
};

/// Submit, Cancel, Close and stats: any thread, callbacks of requests included. The rest: one thread at a time.
class Scheduler {
 public:
  /// `model` outlives it. Nobody else runs the model during a step. Guesses are those of `drafter`; null: of the
  /// model's draft model when it has one, else from earlier text.
  Scheduler(LoadedModel& model, const SchedulerOptions& options, std::unique_ptr<Drafter> drafter = nullptr);

  /// Queues a request; its callbacks are called from Step(). Errors, after which no callback comes: kBusy (too many
  /// wait), kCancelled (closed), kInvalidArgument (an empty prompt, ids outside the vocabulary, a prompt that fills the
  /// context or all KV memory, options out of range).
  Result<RequestId> Submit(Request request);
  /// Ends a request with kCancelled at the next step, if it still runs. Unknown ids are ignored.
  void Cancel(RequestId id);
  /// From now on Submit refuses.
  void Close();
  /// As of the last step, but for requests that just came.
  SchedulerStats stats() const;

  /// Runs one batch. False when nothing was left to do.
  bool Step();
  /// Ends everything that runs or waits with kCancelled.
  void CancelAll();
  /// Checks what should hold between steps: for tests.
  Status Audit() const;

 private:
  /// A sequence's part of the batch.
  struct Work {
    Sequence* sequence;
    size_t rows;                 // of its pending tokens
    std::vector<int32_t> draft;  // more rows
    size_t first_row = 0;
    size_t base = 0;  // tokens that it had
    size_t accepted = 0;
    bool settled = false;  // the rest of its rows does not matter any more
  };

  void TakeInbox();
  void ExpireDeadlines();
  void Admit();
  bool Fits(const Sequence& sequence);
  void TakeOver(Sequence& sequence);
  void PlanBatch();
  bool Waits(size_t index) const;
  void PlanPrompts(size_t rows);
  void PlanDrafts(size_t rows);
  void AddWork(Sequence& sequence, size_t rows);
  bool Reserve(Sequence& sequence, size_t positions);
  void Preempt();
  void GiveBack(Sequence& sequence);
  void RunBatch();
  Status Choose();
  void TakeLogits(Work& work, size_t row, std::span<const float> logits);
  void Sweep();
  void Finish(std::unique_ptr<Sequence> sequence);
  void UpdateStats();

  LoadedModel& model_;
  BlockPool& pool_;
  const SchedulerOptions options_;
  const size_t batch_rows_, logit_rows_;
  const int32_t limit_;  // most tokens of a sequence: the context, or all KV memory
  const std::unique_ptr<Drafter> drafter_;

  std::deque<std::unique_ptr<Sequence>> waiting_;   // all of them younger than those that run
  std::vector<std::unique_ptr<Sequence>> running_;  // by age, the oldest first
  RequestId last_prompt_ = 0;                       // which prompt got the first rows in the last batch
  std::vector<Work> work_;
  std::vector<float> logits_;
  SchedulerStats counts_;  // the running totals

  mutable std::mutex mutex_;  // of everything below
  std::vector<std::unique_ptr<Sequence>> inbox_;
  std::vector<RequestId> cancels_;
  bool closed_ = false;
  RequestId last_id_ = 0;
  int32_t live_ = 0;  // submitted and not finished
  int64_t refused_ = 0;
  SchedulerStats stats_;
};

}  // namespace bonsai::engine
