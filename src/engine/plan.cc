#include "engine/plan.h"

#include <algorithm>
#include <limits>
#include <string>

#include "engine/draft.h"

namespace bonsai::engine {
namespace {

std::string Mib(uint64_t bytes) { return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20)); }

/// Largest context whose cache takes at most `budget` bytes, in whole blocks.
int32_t FittingContext(const kernels::KvSpec& spec, uint64_t budget, int32_t most) {
  const uint64_t blocks = budget / spec.BlockBytes();
  return static_cast<int32_t>(std::min<uint64_t>(blocks * kernels::kKvBlock, static_cast<uint64_t>(most)));
}

/// Sets plan.context and plan.kv; `left` are the bytes beside weights and scratch, of which `r.available` are known.
Status PlanKv(const kernels::KvSpec& spec, int32_t trained_context, const PlanRequest& r, uint64_t left,
              MemoryPlan& plan) {
  plan.context = r.context != 0 ? r.context : std::min(trained_context, kDefaultContext);
  if (r.kv_memory != 0) {
    const int32_t fits = FittingContext(spec, r.kv_memory, std::numeric_limits<int32_t>::max() / 2);
    if (fits == 0 || r.context > fits)
      return Error(ErrorCode::kInvalidArgument, "{} of KV memory hold {} tokens, but {} need {}: --kv-memory or -c",
                   Mib(r.kv_memory), fits, r.context == 0 ? kernels::kKvBlock : r.context,
                   Mib(KvCacheBytes(spec, r.context == 0 ? kernels::kKvBlock : r.context)));
    plan.context = std::min(plan.context, fits);
    // No machine has 2^60 bytes: sums with them do not overflow.
    plan.kv = std::min(r.kv_memory, uint64_t{1} << 60) / spec.BlockBytes() * spec.BlockBytes();
    return {};
  }
  if (r.context == 0 && r.available != 0)
    plan.context = std::min(plan.context, std::max(FittingContext(spec, left / 2, plan.context), kernels::kKvBlock));
  const uint64_t one = KvCacheBytes(spec, plan.context);
  plan.kv = one * static_cast<uint64_t>(r.parallel);
  if (r.available != 0) plan.kv = std::min(plan.kv, std::max(one, left / 2 / spec.BlockBytes() * spec.BlockBytes()));
  return {};
}

}  // namespace

static_assert(1 + kMaxDraft <= model::kMaxLogitRows);

int32_t LogitRows(int32_t parallel, int32_t draft_max) {
  const int64_t rows = parallel * (1 + static_cast<int64_t>(draft_max));
  return static_cast<int32_t>(std::min(rows, model::kMaxLogitRows));
}

uint64_t KvCacheBytes(const kernels::KvSpec& spec, int32_t context) {
  const uint64_t blocks = (static_cast<uint64_t>(context) + kernels::kKvBlock - 1) / kernels::kKvBlock;
  return blocks * spec.BlockBytes();
}

Result<MemoryPlan> MakePlan(const formats::ModelFile& file, const model::Description& d, const kernels::Device& device,
                            const PlanRequest& r) {
  if (r.parallel < 1) return Error(ErrorCode::kInvalidArgument, "{} sequences at a time; at least 1", r.parallel);
  const model::MemoryUse use = model::PlanMemory(file, d, device, r.batch_rows);
  const kernels::KvSpec spec = model::KvSpecOf(d.config, r.k_type, r.v_type);
  BONSAI_RETURN_IF_ERROR(spec.Check());
  MemoryPlan plan{.weights = use.weights, .draft = r.draft, .available = r.available};
  plan.scratch = use.scratch + static_cast<uint64_t>(LogitRows(r.parallel, r.draft_max)) *
                                   static_cast<uint64_t>(d.config.vocab) * sizeof(float);
  const uint64_t fixed = plan.weights + plan.scratch + plan.draft;
  const uint64_t left = r.available > fixed ? r.available - fixed : 0;
  BONSAI_RETURN_IF_ERROR(PlanKv(spec, d.config.trained_context, r, left, plan));
  if (r.available == 0 || plan.total() <= r.available) return plan;

  const uint64_t missing = plan.total() - r.available;
  const int32_t fits = FittingContext(spec, left, plan.context);
  const std::string advice = fits > 0
                                 ? fmt::format("-c {} would fit", fits)
                                 : std::string("no context would fit; close other programs or use a smaller model");
  return Error(
      ErrorCode::kOutOfMemory,
      "{}: needs {} (weights {}, KV cache {} for {} tokens, scratch {}{}), but {} are available: {} are missing; {}",
      file.name(), Mib(plan.total()), Mib(plan.weights), Mib(plan.kv), plan.context, Mib(plan.scratch),
      plan.draft == 0 ? "" : ", draft model " + Mib(plan.draft), Mib(r.available), Mib(missing), advice);
}

void PlanDraftKv(const kernels::KvSpec& main_spec, const kernels::KvSpec& draft_spec, MemoryPlan& main,
                 MemoryPlan& draft) {
  constexpr uint64_t kMostBlocks = std::numeric_limits<int32_t>::max();
  uint64_t blocks = std::min(main.kv / main_spec.BlockBytes(), kMostBlocks);
  if (main.available != 0) {
    const uint64_t left = main.available > main.total() ? main.available - main.total() : 0;
    blocks = std::min(blocks, std::max<uint64_t>(left / 2 / draft_spec.BlockBytes(), 1));
  }
  draft.context = main.context;
  draft.available = main.available;
  draft.kv = blocks * draft_spec.BlockBytes();
  main.draft = draft.total();
}

}  // namespace bonsai::engine
