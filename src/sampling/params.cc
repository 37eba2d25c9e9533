// What each sampling parameter may be: one table for flags and for the keys of files.
#include <cmath>
#include <limits>
#include <string_view>

#include "sampling/sampler.h"

namespace bonsai::sampling {
namespace {

constexpr double kMaxFloat = std::numeric_limits<float>::max();
constexpr double kMinInt = std::numeric_limits<int32_t>::min(), kMaxInt = std::numeric_limits<int32_t>::max();

struct Field {
  std::string_view flag;
  std::string_view key;  // in GGUF metadata; empty: none is defined
  std::string_view range;
  double low, high;  // inclusive
  float Params::*real;
  int32_t Params::*integer;  // exactly one of the two is set

  double Get(const Params& p) const { return real != nullptr ? double{p.*real} : static_cast<double>(p.*integer); }
  bool Allows(double x) const {
    return x >= low && x <= high && (integer == nullptr || x == std::floor(x));  // NaN fails both comparisons
  }
};

// The smallest positive normal float is the least repeat penalty: dividing by less could only overflow.
constexpr Field kFields[] = {
    {"--temp", "general.sampling.temp", "a finite number, 0 or more", 0, kMaxFloat, &Params::temperature, nullptr},
    {"--top-k", "general.sampling.top_k", "a 32-bit integer", kMinInt, kMaxInt, nullptr, &Params::top_k},
    {"--top-p", "general.sampling.top_p", "from 0 to 1", 0, 1, &Params::top_p, nullptr},
    {"--min-p", "general.sampling.min_p", "from 0 to 1", 0, 1, &Params::min_p, nullptr},
    {"--repeat-penalty", "general.sampling.penalty_repeat", "a finite number above 0",
     std::numeric_limits<float>::min(), kMaxFloat, &Params::repeat_penalty, nullptr},
    {"--repeat-last-n", "general.sampling.penalty_last_n", "an integer, -1 or more", -1, kMaxInt, nullptr,
     &Params::repeat_last_n},
    {"--presence-penalty", "", "a finite number", -kMaxFloat, kMaxFloat, &Params::presence_penalty, nullptr},
    {"--frequency-penalty", "", "a finite number", -kMaxFloat, kMaxFloat, &Params::frequency_penalty, nullptr},
};

}  // namespace

Status Validate(const Params& params) {
  for (const Field& f : kFields)
    if (const double x = f.Get(params); !f.Allows(x))
      return Error(ErrorCode::kInvalidArgument, "{} must be {}, not {}", f.flag, f.range, x);
  return {};
}

Result<Params> ParamsFromMetadata(const formats::Metadata& metadata) {
  Params params;
  for (const Field& f : kFields) {
    if (f.key.empty() || !metadata.Has(f.key)) continue;
    BONSAI_ASSIGN(const float x, metadata.GetF32(f.key));
    if (!f.Allows(double{x}))
      return Error(ErrorCode::kCorrupt, "{}: {} must be {}, not {}", metadata.source(), f.key, f.range, x);
    if (f.real != nullptr)
      params.*f.real = x;
    else
      params.*f.integer = static_cast<int32_t>(x);
  }
  return params;
}

}  // namespace bonsai::sampling
