// Attention over the KV cache, divided over threads by sequence, row tile and head.
#include <algorithm>
#include <atomic>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "kernels/cpu/cpu_device.h"
#include "kernels/lanes.h"
#include "kernels/ref/ref.h"

namespace bonsai::kernels::cpu {
namespace {

// Rows and query heads that pass over a KV block together.
constexpr int32_t kRowsATile = 8;
constexpr int32_t kHeadsATile = 8;
constexpr int64_t kQueriesATile = kRowsATile * kHeadsATile;

bool Quantised(KvType type) { return KvBlockWidth(type) > 1; }

/// Query heads as int8 in `scratch`: scales and sums of all, then codes.
void QuantizeQueries(const TokenKernels& kernels, AttendQuery* queries, int32_t count, int64_t width, float* scratch) {
  const int64_t groups = width / kKvGroup;
  auto* sums = reinterpret_cast<int32_t*>(scratch + kQueriesATile * groups);
  auto* codes = reinterpret_cast<int8_t*>(sums + kQueriesATile * groups);
  for (int32_t i = 0; i < count; ++i, scratch += groups, sums += groups, codes += width) {
    for (int64_t b = 0; b < groups; ++b) {
      int8_t* group = codes + b * kKvGroup;
      kernels.quantize(queries[i].q + b * kKvGroup, kKvGroup, group, scratch + b);
      sums[b] = std::accumulate(group, group + kKvGroup, 0);
    }
    queries[i].codes = codes, queries[i].scales = scratch, queries[i].sums = sums;
  }
}

}  // namespace

int64_t CpuDevice::AttendScratchFloats(int64_t k_width) {
  const int64_t queries = kQueriesATile * (k_width / kKvGroup * 2 + k_width / 4 + 1);
  return std::max(queries, kKvBlock * k_width);  // int8 queries, or with float activations a block of keys as floats
}

/// An item is one tile of rows of a sequence × some query heads of one KV head.
struct CpuDevice::AttendJob {
  const QkvSpec& spec;
  float scale;
  const CpuTensor& q;
  CpuKvStore& store;
  int32_t layer;
  CpuAct& out;
  int32_t group;            // query heads a KV head
  int32_t heads_a_tile;     // of those, how many an item takes
  int32_t tiles_a_kv_head;  // items a KV head and row tile
};

void CpuDevice::Attend(const QkvSpec& spec, float scale, const Tensor& q, const KvView& kv, Act& out) {
  BONSAI_CHECK(spec.kv_heads > 0 && spec.heads % spec.kv_heads == 0);
  BONSAI_CHECK(q.cols() == int64_t{spec.heads} * spec.k_width && out.cols() == int64_t{spec.heads} * spec.v_width);
  BONSAI_CHECK(kv.store->spec().kv_heads == spec.kv_heads && kv.store->spec().k_width == spec.k_width &&
               kv.store->spec().v_width == spec.v_width);
  tiles_.clear();
  for (const SequenceRows& s : kv.sequences) {
    BONSAI_CHECK(s.first_row >= 0 && s.pos >= 0 && int64_t{s.first_row} + s.rows <= out.max_rows());
    for (int32_t r = 0; r < s.rows; r += kRowsATile) {
      tiles_.push_back({s.first_row + r, std::min(kRowsATile, s.rows - r), s.pos + r, s.blocks});
    }
  }
  const int32_t group = spec.heads / spec.kv_heads;
  const auto row_tiles = static_cast<int64_t>(tiles_.size());
  // Few rows and many threads: give up sharing conversions, so that one row keeps every thread busy.
  int32_t heads_a_tile = std::min(group, kHeadsATile);
  const auto tiles_a_kv_head = [&] { return (group + heads_a_tile - 1) / heads_a_tile; };
  while (heads_a_tile > 1 && row_tiles * spec.kv_heads * tiles_a_kv_head() < pool_.threads()) heads_a_tile /= 2;

  AttendJob job = {spec,
                   scale,
                   static_cast<const CpuTensor&>(q),
                   static_cast<CpuKvStore&>(*kv.store),
                   kv.layer,
                   static_cast<CpuAct&>(out),
                   group,
                   heads_a_tile,
                   tiles_a_kv_head()};
  const int64_t items = row_tiles * spec.kv_heads * job.tiles_a_kv_head;
  // Items take unequal time (later rows see more keys), so threads draw them; who computes one changes no bit.
  std::atomic<int64_t> next = 0;
  Parallel([&](int thread, int) {
    float* scratch = kv_scratch_.as<float>() + thread * kv_scratch_floats_;
    for (int64_t i = next.fetch_add(1); i < items; i = next.fetch_add(1)) AttendTile(job, i, scratch);
  });
  if (spec.out_norm == nullptr && !job.out.has_i8()) return;
  const auto finish = [&](size_t tile) {
    for (int32_t r = 0; r < tiles_[tile].rows; ++r) {
      FinishRow(spec.out_norm, spec.eps, tiles_[tile].first_row + r, job.out);
    }
  };
  if (tiles_.size() == 1) return finish(0);  // one token: less work than waking threads
  Parallel([&](int thread, int threads) {
    const Slice slice = SliceOf(tiles_.size(), thread, threads);
    for (size_t i = slice.begin; i < slice.end; ++i) finish(i);
  });
}

void CpuDevice::AttendTile(const AttendJob& job, int64_t item, float* scratch) const {
  const QkvSpec& spec = job.spec;
  const KvSpec& stored = job.store.spec();
  const SequenceRows& tile = tiles_[static_cast<size_t>(item / (spec.kv_heads * job.tiles_a_kv_head))];
  const auto within = static_cast<int32_t>(item % (spec.kv_heads * job.tiles_a_kv_head));
  const int32_t kv_head = within / job.tiles_a_kv_head;
  const int32_t first = within % job.tiles_a_kv_head * job.heads_a_tile;
  const int32_t heads = std::min(job.heads_a_tile, job.group - first);
  const int64_t first_head = kv_head * job.group + first, dk = spec.k_width, dv = spec.v_width;

  // The output rows themselves collect the weighted values.
  AttendQuery queries[kQueriesATile];
  int32_t count = 0;
  for (int32_t r = 0; r < tile.rows; ++r) {
    float* out = job.out.row(tile.first_row + r) + first_head * dv;
    const float* q = job.q.row(tile.first_row + r) + first_head * dk;
    std::fill_n(out, heads * dv, 0.0f);
    for (int32_t h = 0; h < heads; ++h) {
      queries[count++] = {.q = q + h * dk, .out = out + h * dv, .max = -std::numeric_limits<float>::infinity()};
    }
  }
  const bool decode = Quantised(stored.k_type) && act_ == ActType::kF32;
  if (Quantised(stored.k_type) && !decode) QuantizeQueries(token_, queries, count, dk, scratch);
  const auto attend = dv % kLanes == 0 ? token_.attend : kPortableTokenKernels.attend;
  const auto keys = [&](int32_t block) {
    return job.store.keys(tile.blocks[static_cast<size_t>(block)], job.layer, kv_head);
  };
  const int32_t end = tile.pos + tile.rows, blocks = (end + kKvBlock - 1) / kKvBlock;
  for (int32_t b = 0; b < blocks; ++b) {
    for (int32_t i = 0; i < count; ++i) {
      queries[i].visible = std::clamp(tile.pos + i / heads + 1 - b * kKvBlock, 0, kKvBlock);
    }
    KvRows kv = {stored.k_type,
                 stored.v_type,
                 keys(b),
                 job.store.values(tile.blocks[static_cast<size_t>(b)], job.layer, kv_head),
                 dk,
                 dv,
                 b + 1 < blocks ? keys(b + 1) : nullptr};
    if (decode) {
      ref::DecodeKeys(kv.k_type, kv.k, dk, scratch);
      kv.k_type = KvType::kF32, kv.k = reinterpret_cast<const std::byte*>(scratch);
    }
    attend(kv, job.scale, queries, count);
  }
  for (int32_t i = 0; i < count; ++i) {
    const float inverse = 1.0f / queries[i].sum;
    for (int64_t d = 0; d < dv; ++d) queries[i].out[d] *= inverse;
  }
}

}  // namespace bonsai::kernels::cpu
