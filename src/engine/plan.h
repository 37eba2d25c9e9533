// Will it fit? Answered before anything is allocated.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "formats/model_file.h"
#include "kernels/ops.h"
#include "model/model.h"

namespace bonsai::engine {

/// Longest context taken by default; longer ones must be asked for.
inline constexpr int32_t kDefaultContext = 8192;

struct PlanRequest {
  int32_t context = 0;  ///< Tokens; 0 = the smallest of the trained context, kDefaultContext and what fits (below).
  int64_t batch_rows = 512;
  kernels::KvType k_type = kernels::KvType::kF16;
  kernels::KvType v_type = kernels::KvType::kF16;
  uint64_t available = 0;  ///< Bytes that may be taken (base/machine.h AvailableMemory()); 0 = unknown, no limit.
};

/// All sizes in bytes.
struct MemoryPlan {
  int32_t context = 0;
  uint64_t weights = 0;
  uint64_t kv = 0;       ///< When the context is full; blocks are taken as they are used.
  uint64_t scratch = 0;  ///< Activations and logits.
  uint64_t available = 0;
  uint64_t total() const { return weights + kv + scratch; }
};

/// Bytes of KV cache for a context (whole blocks of kernels::kKvBlock positions).
uint64_t KvCacheBytes(const kernels::KvSpec& spec, int32_t context);

/// By default the KV cache gets at most half of the memory that weights and scratch leave. kOutOfMemory when the
/// request cannot fit: the message says how much is missing and which context would fit.
Result<MemoryPlan> MakePlan(const formats::ModelFile& file, const model::Description& description,
                            const kernels::Device& device, const PlanRequest& request);

}  // namespace bonsai::engine
