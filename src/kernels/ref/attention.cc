// Softmax attention of queries over one KV block, as ref.h defines it.
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "kernels/lanes.h"
#include "kernels/math.h"
#include "kernels/ref/ref.h"

namespace bonsai::kernels::ref {
namespace {

/// Queries that share one conversion of keys and values.
constexpr int32_t kQueries = 8;
using Scores = float[kQueries][kKvBlock];

bool Quantised(KvType type) { return type == KvType::kQ8_0 || type == KvType::kQ4_0; }

void FloatScores(const KvRows& kv, const AttendQuery* queries, int32_t count, Scores& s) {
  std::vector<float> keys(static_cast<size_t>(kKvBlock * kv.k_width));
  DecodeKeys(kv.k_type, kv.k, kv.k_width, keys.data());
  for (int32_t q = 0; q < count; ++q) {
    for (int64_t d = 0; d < kv.k_width; ++d) {
      const float* key = keys.data() + d * kKvBlock;
      for (int32_t p = 0; p < queries[q].visible; ++p) s[q][p] = std::fma(queries[q].q[d], key[p], s[q][p]);
    }
  }
}

void I8Scores(const KvRows& kv, const AttendQuery* queries, int32_t count, Scores& s) {
  int8_t codes[kKvGroup][kKvBlock];
  float scales[kKvBlock];
  for (int64_t b = 0; b < kv.k_width / kKvGroup; ++b) {
    KeyCodes(kv.k_type, kv.k, b, codes[0], scales);
    for (int32_t q = 0; q < count; ++q) {
      int32_t sums[kKvBlock] = {};
      for (int64_t i = 0; i < kKvGroup; ++i) {
        for (int32_t p = 0; p < kKvBlock; ++p) sums[p] += codes[i][p] * queries[q].codes[b * kKvGroup + i];
      }
      for (int32_t p = 0; p < queries[q].visible; ++p) {
        s[q][p] = std::fma(scales[p] * queries[q].scales[b], static_cast<float>(sums[p]), s[q][p]);
      }
    }
  }
}

/// Scores → weights; updates the maximum and the sum, and rescales what is there.
void Softmax(const KvRows& kv, float scale, AttendQuery& query, float* p) {
  float max = query.max;
  for (int32_t j = 0; j < query.visible; ++j) {
    p[j] *= scale;
    max = p[j] > max ? p[j] : max;
  }
  for (int32_t j = 0; j < query.visible; ++j) p[j] = Exp(p[j] - max);
  const float keep = Exp(query.max - max);  // 0 for the first block: exp(-inf)
  query.max = max;
  query.sum = query.sum * keep + LaneSum(p, query.visible);
  for (int64_t d = 0; d < kv.v_width; ++d) query.out[d] *= keep;
}

void AddValues(const KvRows& kv, const AttendQuery* queries, int32_t count, const Scores& p) {
  std::vector<float> v(static_cast<size_t>(kv.v_width)), scales(v.size() / kKvGroup + 1);
  for (int32_t j = 0; j < kKvBlock; ++j) {
    if (std::none_of(queries, queries + count, [j](const AttendQuery& query) { return j < query.visible; })) return;
    ValueCodes(kv.v_type, kv.v, kv.v_width, j, v.data(), scales.data());
    for (int32_t q = 0; q < count; ++q) {
      if (j >= queries[q].visible) continue;
      float* out = queries[q].out;
      for (int64_t d = 0; d < kv.v_width; ++d) {
        const float w = Quantised(kv.v_type) ? p[q][j] * scales[static_cast<size_t>(d / kKvGroup)] : p[q][j];
        out[d] = std::fma(w, v[static_cast<size_t>(d)], out[d]);
      }
    }
  }
}

}  // namespace

void AttendBlock(const KvRows& kv, float scale, AttendQuery* queries, int32_t count) {
  for (int32_t first = 0; first < count; first += kQueries) {
    AttendQuery* some = queries + first;
    const int32_t n = std::min(kQueries, count - first);
    Scores p = {};
    Quantised(kv.k_type) ? I8Scores(kv, some, n, p) : FloatScores(kv, some, n, p);
    for (int32_t q = 0; q < n; ++q) {
      if (some[q].visible > 0) Softmax(kv, scale, some[q], p[q]);
    }
    AddValues(kv, some, n, p);
  }
}

}  // namespace bonsai::kernels::ref
