// What a token needs besides matrix products, in portable C++: the functions of ref/.
#include "kernels/cpu/isa.h"
#include "kernels/ref/ref.h"
#include "quant/act_i8.h"

namespace bonsai::kernels {
namespace {

void Attend(const KvRows& kv, float scale, AttendQuery* queries, int32_t count) {
  int64_t keys = 0;
  for (int32_t i = 0; i < count; ++i) keys = queries[i].visible > keys ? queries[i].visible : keys;
  float* k = kv.scratch;
  float* v = k + kKvBlock * kv.k_width;
  ref::KvToFloat(kv.k_type, kv.k, keys * kv.k_width, k);
  ref::KvToFloat(kv.v_type, kv.v, keys * kv.v_width, v);
  for (int32_t i = 0; i < count; ++i) {
    AttendQuery& query = queries[i];
    if (query.visible == 0) continue;
    ref::SoftmaxState state = {query.max, query.sum};
    ref::AttendBlock(query.q, k, v, query.visible, kv.k_width, kv.v_width, scale, state, query.out);
    query.max = state.max, query.sum = state.sum;
  }
}

}  // namespace

const TokenKernels kPortableTokenKernels = {0, Attend, ref::RmsNorm, ref::SwiGlu, quant::QuantizeRowI8};

}  // namespace bonsai::kernels
