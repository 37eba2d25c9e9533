// Will it fit? Answered before anything is allocated.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "engine/draft.h"
#include "formats/model_file.h"
#include "kernels/ops.h"
#include "model/model.h"

namespace bonsai::engine {

/// Longest context taken by default; longer ones must be asked for.
inline constexpr int32_t kDefaultContext = 8192;

struct PlanRequest {
  /// Tokens of one sequence; 0 = the smallest of the trained context, kDefaultContext and what fits (below).
  int32_t context = 0;
  int64_t batch_rows = 512;
  kernels::KvType k_type = kernels::KvType::kF16;
  kernels::KvType v_type = kernels::KvType::kF16;
  int32_t parallel = 1;    ///< Sequences at a time, at least 1.
  uint64_t kv_memory = 0;  ///< Bytes for keys and values of all sequences; 0 = by `parallel` (below).
  uint64_t available = 0;  ///< Bytes that may be taken (base/machine.h AvailableMemory()); 0 = unknown, no limit.
  int32_t draft_max = kDefaultDraft;  ///< Tokens of one guess (draft.h); 0: none are checked.
  uint64_t draft = 0;                 ///< Bytes that a draft model takes beside its keys and values.
};

/// All sizes in bytes.
struct MemoryPlan {
  int32_t context = 0;
  uint64_t weights = 0;
  uint64_t kv = 0;       ///< The most that keys and values may take, in whole blocks; they are taken as they are used.
  uint64_t scratch = 0;  ///< Activations and logits.
  uint64_t draft = 0;    ///< Everything of a draft model.
  uint64_t available = 0;
  uint64_t total() const { return weights + kv + scratch + draft; }
};

/// Rows of logits that a scheduler keeps at a time: of each sequence its last token's and those of its guesses, as far
/// as one product of the LM head computes them.
int32_t LogitRows(int32_t parallel, int32_t draft_max);

/// Bytes of KV cache for a context (whole blocks of kernels::kKvBlock positions).
uint64_t KvCacheBytes(const kernels::KvSpec& spec, int32_t context);

/// Keys and values get what `context` needs for each of `parallel` sequences, but for sequences after the first, and
/// for a context that was not asked for, at most half of the memory that weights and scratch leave: many share what
/// there is (scheduler.h). kv_memory, when given, is the size instead, and a context that was not asked for fits it.
/// kOutOfMemory when the request cannot fit: the message says how much is missing and which context would fit.
/// kInvalidArgument when kv_memory does not hold `context` tokens, or one block.
Result<MemoryPlan> MakePlan(const formats::ModelFile& file, const model::Description& description,
                            const kernels::Device& device, const PlanRequest& request);

/// Adds a draft model's keys and values to its plan and to that of the model that it guesses for: as many positions as
/// `main` has, but at most what half of the remaining memory holds, and one block at least. Less means fewer guesses,
/// so this is never an error. The specs are those of the two caches.
void PlanDraftKv(const kernels::KvSpec& main_spec, const kernels::KvSpec& draft_spec, MemoryPlan& main,
                 MemoryPlan& draft);

}  // namespace bonsai::engine
