#include "engine/generation.h"

#include <cmath>

namespace bonsai::engine {

std::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
    case FinishReason::kStopText:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kLoop:
      return "loop";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kDeadline:
      return "deadline";
    case FinishReason::kError:
      return "error";
  }
  return "unknown";
}

Status Validate(const GenerateOptions& options, int32_t vocab_size) {
  BONSAI_RETURN_IF_ERROR(sampling::Validate(options.sampling));
  if (options.logprobs < -1 || options.logprobs > kMaxLogprobs)
    return Error(ErrorCode::kInvalidArgument, "logprobs of {} tokens were asked for; at most {} are given",
                 options.logprobs, kMaxLogprobs);
  for (const auto& [id, bias] : options.logit_bias) {
    if (id < 0 || id >= vocab_size)
      return Error(ErrorCode::kInvalidArgument, "the logit bias of token {} is for none of the vocabulary (0..{})", id,
                   vocab_size - 1);
    if (!std::isfinite(bias))
      return Error(ErrorCode::kInvalidArgument, "the logit bias of token {} is {}, which is not finite", id, bias);
  }
  return {};
}

}  // namespace bonsai::engine
