#include "compress/check.h"

#include <algorithm>
#include <cmath>

#include "compress/encode.h"
#include "quant/act_i8.h"

namespace bonsai::compress {
namespace {

using formats::TensorInfo;

/// Blocks of one format, from stored bytes. Not thread safe: one for each piece in flight.
class Checker {
 public:
  explicit Checker(const quant::Type& type)
      : type_(type), ternary_(IsTernary(type)), binary_or_ternary_(ternary_ || type.bits_per_weight() < 2) {}

  TensorCheck Check(std::span<const std::byte> stored) {
    TensorCheck c;
    const auto block_bytes = static_cast<size_t>(type_.block_bytes);
    c.blocks = stored.size() / block_bytes;
    const int64_t n = static_cast<int64_t>(c.blocks) * type_.block_weights;
    c.weights = static_cast<uint64_t>(n);
    if (type_.unpack == nullptr) {
      values_.resize(c.weights);
      type_.decode(stored.data(), values_.data(), n);
      for (uint64_t b = 0; b < c.blocks; b++) CheckValues(b, c);
      return c;
    }
    codes_.resize(c.weights), scales_.resize(c.weights / quant::kScaleRun);
    type_.unpack(stored.data(), codes_.data(), scales_.data(), n);
    for (uint64_t b = 0; b < c.blocks; b++) CheckCodes(b, c);
    return c;
  }

 private:
  void CheckValues(uint64_t block, TensorCheck& c) const {
    const auto n = static_cast<size_t>(type_.block_weights);
    const float* x = values_.data() + block * n;
    const uint32_t most = quant::MaxMagnitudeBits(x, type_.block_weights);
    c.not_finite += most > 0x7f7fffffu ? 1 : 0;
    c.zero_blocks += most == 0 ? 1 : 0;
    c.zeros += static_cast<uint64_t>(std::count(x, x + n, 0.0f));
  }

  void CheckCodes(uint64_t block, TensorCheck& c) const {
    const auto n = static_cast<size_t>(type_.block_weights), runs = n / quant::kScaleRun;
    const int8_t* codes = codes_.data() + block * n;
    const float* scales = scales_.data() + block * runs;
    const auto zeros = static_cast<uint64_t>(std::count(codes, codes + n, int8_t{0}));
    c.not_finite += std::all_of(scales, scales + runs, [](float d) { return std::isfinite(d); }) ? 0 : 1;
    if (binary_or_ternary_)
      c.negative_scales += std::any_of(scales, scales + runs, [](float d) { return d < 0; }) ? 1 : 0;
    if (ternary_) c.twos += static_cast<uint64_t>(std::count(codes, codes + n, int8_t{2}));
    c.zero_blocks += zeros == n || std::all_of(scales, scales + runs, [](float d) { return d == 0; }) ? 1 : 0;
    c.zeros += zeros;
  }

  const quant::Type& type_;
  const bool ternary_, binary_or_ternary_;
  std::vector<float> values_, scales_;
  std::vector<int8_t> codes_;
};

void Add(const TensorCheck& more, TensorCheck& sum) {
  sum.blocks += more.blocks, sum.not_finite += more.not_finite, sum.negative_scales += more.negative_scales;
  sum.twos += more.twos, sum.zero_blocks += more.zero_blocks;
  sum.weights += more.weights, sum.zeros += more.zeros;
}

}  // namespace

bool TensorCheck::suspicious() const {
  const bool matrix = tensor != nullptr && tensor->shape.size() > 1;
  return not_finite > 0 || negative_scales > 0 || twos > 0 || (matrix && zero_blocks > blocks / 2);
}

std::string TensorCheck::Text() const {
  std::string text;
  const auto say = [&](uint64_t count, uint64_t of, std::string_view what) {
    if (count > 0) text += fmt::format("{}{} of {} {}", text.empty() ? "" : "; ", count, of, what);
  };
  const bool floats = tensor->type->block_weights == 1;
  say(not_finite, blocks, floats ? "values are infinite or NaN" : "scales are infinite or NaN");
  say(negative_scales, blocks, "scales are negative");
  say(twos, weights, "weights have code 3 (+2), which ternary models do not have");
  if (!floats) say(zero_blocks, blocks, "blocks are all zero");
  return text;
}

Result<std::vector<TensorCheck>> CheckTensors(const formats::ModelFile& file, const RunOptions& options) {
  RowStreamer streamer(file, options, "the check was cancelled");
  std::vector<TensorCheck> checks;
  for (const TensorInfo& t : file.tensors()) {
    TensorCheck sum;
    sum.tensor = &t;
    std::vector<Checker> checkers(kPiecesInFlight, Checker(*t.type));
    std::vector<TensorCheck> found(kPiecesInFlight);
    BONSAI_RETURN_IF_ERROR(streamer.Stream(
        t, [&](Piece& piece, size_t i) -> Status { return found[i] = checkers[i].Check(piece.stored), Status(); },
        [&](const Piece&, size_t i) -> Status { return Add(found[i], sum), Status(); }));
    checks.push_back(sum);
  }
  return checks;
}

}  // namespace bonsai::compress
