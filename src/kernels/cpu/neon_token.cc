// NEON: norm, gated units and quantiser (token.inc) on four registers of 4 floats. Attention is still the portable one.
#include "kernels/cpu/isa.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace bonsai::kernels {
namespace {

/// Lanes 4i to 4i + 3 in q[i].
struct V16 {
  float32x4_t q[4];
};

inline V16 Set(float x) {
  const float32x4_t v = vdupq_n_f32(x);
  return {{v, v, v, v}};
}
inline V16 Load(const float* p) { return {{vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}}; }
inline void Store(float* p, V16 v) {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, v.q[i]);
}
/// n of 1..15 floats, then zeros.
inline V16 LoadPart(const float* p, int64_t n) {
  float part[16] = {};
  __builtin_memcpy(part, p, static_cast<size_t>(n) * sizeof(float));
  return Load(part);
}
inline void StorePart(float* p, int64_t n, V16 v) {
  float part[16];
  Store(part, v);
  __builtin_memcpy(p, part, static_cast<size_t>(n) * sizeof(float));
}

inline float32x4_t Larger(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
inline float32x4_t Smaller(float32x4_t a, float32x4_t b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
template <float32x4_t (*kOp)(float32x4_t, float32x4_t)>
inline V16 Each(V16 a, V16 b) {
  return {{kOp(a.q[0], b.q[0]), kOp(a.q[1], b.q[1]), kOp(a.q[2], b.q[2]), kOp(a.q[3], b.q[3])}};
}
inline V16 Add(V16 a, V16 b) { return Each<vaddq_f32>(a, b); }
inline V16 Sub(V16 a, V16 b) { return Each<vsubq_f32>(a, b); }
inline V16 Mul(V16 a, V16 b) { return Each<vmulq_f32>(a, b); }
inline V16 Div(V16 a, V16 b) { return Each<vdivq_f32>(a, b); }
/// a > b ? a : b and a < b ? a : b: the second one for a NaN, where fmax and fmin give the NaN.
inline V16 Max(V16 a, V16 b) { return Each<Larger>(a, b); }
inline V16 Min(V16 a, V16 b) { return Each<Smaller>(a, b); }
inline V16 Negate(V16 v) { return {{vnegq_f32(v.q[0]), vnegq_f32(v.q[1]), vnegq_f32(v.q[2]), vnegq_f32(v.q[3])}}; }
inline float SquareRoot(float x) { return vgetq_lane_f32(vsqrtq_f32(vdupq_n_f32(x)), 0); }

inline float32x4_t TimesPowerOfTwo(float32x4_t p, float32x4_t shifted) {
  const int32x4_t e = vsubq_s32(vreinterpretq_s32_f32(shifted), vreinterpretq_s32_f32(vdupq_n_f32(0x1.8p23f)));
  const int32x4_t half = vshrq_n_s32(e, 1), bias = vdupq_n_s32(127);
  const int32x4_t a = vshlq_n_s32(vaddq_s32(half, bias), 23);
  const int32x4_t b = vshlq_n_s32(vaddq_s32(vsubq_s32(e, half), bias), 23);
  return vmulq_f32(vmulq_f32(p, vreinterpretq_f32_s32(a)), vreinterpretq_f32_s32(b));
}
/// p · 2^n in two factors, n from the low bits of `shifted`: the end of Exp.
inline V16 TimesPowerOfTwo(V16 p, V16 shifted) { return Each<TimesPowerOfTwo>(p, shifted); }

/// The tree of lanes.h.
inline float Tree(V16 v) {
  const float32x4_t four = vaddq_f32(vaddq_f32(v.q[0], v.q[2]), vaddq_f32(v.q[1], v.q[3]));
  return vpadds_f32(vadd_f32(vget_low_f32(four), vget_high_f32(four)));
}

/// Magnitudes order like their bits, infinity and NaN last (quant/act_i8.h).
inline float32x4_t LargerMagnitude(float32x4_t a, float32x4_t v) {
  return vreinterpretq_f32_u32(vmaxq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(vabsq_f32(v))));
}
inline V16 MaxMagnitude(V16 a, V16 v) { return Each<LargerMagnitude>(a, v); }
inline float LargestMagnitude(V16 v) {
  const float32x4_t four = LargerMagnitude(LargerMagnitude(v.q[0], v.q[1]), LargerMagnitude(v.q[2], v.q[3]));
  const uint32_t bits = vmaxvq_u32(vreinterpretq_u32_f32(four));
  float largest;
  __builtin_memcpy(&largest, &bits, sizeof(largest));
  return largest;
}
inline void StoreI8(int8_t* p, V16 v) {
  const int16x8_t low = vcombine_s16(vmovn_s32(vcvtnq_s32_f32(v.q[0])), vmovn_s32(vcvtnq_s32_f32(v.q[1])));
  const int16x8_t high = vcombine_s16(vmovn_s32(vcvtnq_s32_f32(v.q[2])), vmovn_s32(vcvtnq_s32_f32(v.q[3])));
  vst1q_s8(p, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}

#include "kernels/cpu/token.inc"

/// Called, not copied: what another object's table holds is no constant to the compiler, and there are no static
/// constructors.
void Attend(const KvRows& kv, float scale, AttendQuery* queries, int32_t count) {
  kPortableTokenKernels.attend(kv, scale, queries, count);
}

}  // namespace

const TokenKernels kNeonTokenKernels = {kCpuNeon, Attend, RmsNorm, Glu<SiluTimes>, Glu<Relu2Times>, Quantize};

}  // namespace bonsai::kernels
#endif
