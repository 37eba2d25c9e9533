#include "engine/plan.h"

#include <algorithm>
#include <string>

namespace bonsai::engine {
namespace {

std::string Mib(uint64_t bytes) { return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20)); }

/// Largest context whose cache takes at most `budget` bytes, in whole blocks.
int32_t FittingContext(const kernels::KvSpec& spec, uint64_t budget, int32_t most) {
  const uint64_t blocks = budget / spec.BlockBytes();
  return static_cast<int32_t>(std::min<uint64_t>(blocks * kernels::kKvBlock, static_cast<uint64_t>(most)));
}

}  // namespace

uint64_t KvCacheBytes(const kernels::KvSpec& spec, int32_t context) {
  const uint64_t blocks = (static_cast<uint64_t>(context) + kernels::kKvBlock - 1) / kernels::kKvBlock;
  return blocks * spec.BlockBytes();
}

Result<MemoryPlan> MakePlan(const formats::ModelFile& file, const model::Description& d, const kernels::Device& device,
                            const PlanRequest& r) {
  const model::MemoryUse use = model::PlanMemory(file, d, device, r.batch_rows);
  const kernels::KvSpec spec = model::KvSpecOf(d.config, r.k_type, r.v_type);
  BONSAI_RETURN_IF_ERROR(spec.Check());
  MemoryPlan plan{.weights = use.weights, .available = r.available};
  plan.scratch = use.scratch + static_cast<uint64_t>(d.config.vocab) * sizeof(float);
  const uint64_t fixed = plan.weights + plan.scratch;
  const uint64_t left = r.available > fixed ? r.available - fixed : 0;

  plan.context = r.context != 0 ? r.context : std::min(d.config.trained_context, kDefaultContext);
  if (r.context == 0 && r.available != 0)
    plan.context = std::min(plan.context, std::max(FittingContext(spec, left / 2, plan.context), kernels::kKvBlock));
  plan.kv = KvCacheBytes(spec, plan.context);
  if (r.available == 0 || plan.total() <= r.available) return plan;

  const uint64_t missing = plan.total() - r.available;
  const int32_t fits = FittingContext(spec, left, plan.context);
  const std::string advice = fits > 0
                                 ? fmt::format("-c {} would fit", fits)
                                 : std::string("no context would fit; close other programs or use a smaller model");
  return Error(
      ErrorCode::kOutOfMemory,
      "{}: needs {} (weights {}, KV cache {} for {} tokens, scratch {}), but {} are available: {} are missing; {}",
      file.name(), Mib(plan.total()), Mib(plan.weights), Mib(plan.kv), plan.context, Mib(plan.scratch),
      Mib(r.available), Mib(missing), advice);
}

}  // namespace bonsai::engine
