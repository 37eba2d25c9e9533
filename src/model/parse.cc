#include "model/parse.h"

#include <cstdint>

namespace bonsai::model {
namespace {

/// Largest head count, width or layer count taken seriously: far above any model, far below overflow of products.
constexpr uint32_t kMaxDimension = 1u << 20;
constexpr uint32_t kMaxContext = 1u << 27;

/// A positive number of at most `max`.
Result<int32_t> Dimension(const formats::Metadata& m, const std::string& key, uint32_t max = kMaxDimension) {
  BONSAI_ASSIGN(const uint32_t value, m.GetU32(key));
  if (value == 0 || value > max)
    return Error(ErrorCode::kCorrupt, "{}: key '{}' is {}, outside 1..{}", m.source(), key, value, max);
  return static_cast<int32_t>(value);
}

Status CheckHeads(const formats::Metadata& m, const std::string& arch, const Config& c) {
  if (c.heads % c.kv_heads != 0)
    return Error(ErrorCode::kCorrupt, "{}: {}.attention.head_count {} is not a multiple of head_count_kv {}",
                 m.source(), arch, c.heads, c.kv_heads);
  if (c.k_width % 2 != 0)
    return Error(ErrorCode::kCorrupt, "{}: {}.attention.key_length {} is odd, rotary embedding needs pairs", m.source(),
                 arch, c.k_width);
  const std::string rotated = arch + ".rope.dimension_count";
  BONSAI_ASSIGN(const uint32_t dims, m.GetU32Or(rotated, static_cast<uint32_t>(c.k_width)));
  if (dims != static_cast<uint32_t>(c.k_width))
    return Error(ErrorCode::kUnsupported, "{}: key '{}' is {}: rotating a part of the {} head columns is not supported",
                 m.source(), rotated, dims, c.k_width);
  return {};
}

/// Names of gate functions, as files write them.
struct GateName {
  std::string_view name;
  kernels::GateFn fn;
};
constexpr GateName kGateNames[] = {
    {"silu", kernels::GateFn::kSilu},   {"swish", kernels::GateFn::kSilu},     {"swiglu", kernels::GateFn::kSilu},
    {"relu2", kernels::GateFn::kRelu2}, {"relu_sqr", kernels::GateFn::kRelu2},
};

Result<kernels::GateFn> ParseGate(const formats::Metadata& m, const std::string& key) {
  BONSAI_ASSIGN(const std::string_view text, m.GetStringOr(key, "silu"));
  for (const GateName& gate : kGateNames)
    if (gate.name == text) return gate.fn;
  return Error(ErrorCode::kUnsupported, "{}: key '{}' is {}; supported are silu and relu2", m.source(), key,
               formats::Quote(text));
}

}  // namespace

Result<Config> ParseDecoder(const formats::ModelFile& file, const std::string& arch) {
  const formats::Metadata& m = file.metadata();
  const std::string a = arch + ".";
  BONSAI_ASSIGN(const uint32_t experts, m.GetU32Or(a + "expert_count", 0));
  if (experts > 0)
    return Error(ErrorCode::kUnsupported, "{}: key '{}expert_count' is {}: a mixture of experts is not supported",
                 m.source(), a, experts);
  Config c;
  c.architecture = arch;
  BONSAI_ASSIGN(const std::string_view name, m.GetStringOr("general.name", ""));
  c.name = name;
  BONSAI_ASSIGN(c.layers, Dimension(m, a + "block_count", 4096));
  BONSAI_ASSIGN(c.d_model, Dimension(m, a + "embedding_length"));
  BONSAI_ASSIGN(c.d_ff, Dimension(m, a + "feed_forward_length"));
  BONSAI_ASSIGN(c.heads, Dimension(m, a + "attention.head_count", 65536));
  c.kv_heads = c.heads;
  if (m.Has(a + "attention.head_count_kv")) {
    BONSAI_ASSIGN(c.kv_heads, Dimension(m, a + "attention.head_count_kv", 65536));
  }
  c.k_width = c.v_width = c.d_model / c.heads;
  if (m.Has(a + "attention.key_length")) {
    BONSAI_ASSIGN(c.k_width, Dimension(m, a + "attention.key_length", 65536));
  }
  if (m.Has(a + "attention.value_length")) {
    BONSAI_ASSIGN(c.v_width, Dimension(m, a + "attention.value_length", 65536));
  }
  if (c.k_width == 0 || c.v_width == 0)
    return Error(ErrorCode::kCorrupt, "{}: {}attention.head_count {} exceeds embedding_length {}", m.source(), a,
                 c.heads, c.d_model);
  BONSAI_ASSIGN(c.trained_context, Dimension(m, a + "context_length", kMaxContext));
  BONSAI_ASSIGN(c.rms_eps, m.GetF32(a + "attention.layer_norm_rms_epsilon"));
  if (!(c.rms_eps >= 0 && c.rms_eps < 1))
    return Error(ErrorCode::kCorrupt, "{}: key '{}attention.layer_norm_rms_epsilon' is {}, outside 0..1", m.source(), a,
                 c.rms_eps);
  BONSAI_ASSIGN(c.gate, ParseGate(m, a + "hidden_activation"));
  BONSAI_ASSIGN(c.rope, ParseRope(m, arch));
  BONSAI_RETURN_IF_ERROR(CheckHeads(m, arch, c));

  const formats::TensorInfo* embed = file.FindTensor("token_embd.weight");
  if (embed == nullptr) return Error(ErrorCode::kCorrupt, "{}: tensor 'token_embd.weight' is missing", file.name());
  if (embed->shape.size() != 2 || embed->rows() > (1u << 30))
    return Error(ErrorCode::kCorrupt, "{}: tensor 'token_embd.weight' is not a matrix of at most 2^30 rows",
                 file.name());
  c.vocab = static_cast<int32_t>(embed->rows());
  return c;
}

}  // namespace bonsai::model
