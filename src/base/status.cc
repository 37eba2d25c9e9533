#include "base/status.h"

namespace bonsai {

std::string_view ErrorCodeName(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kCorrupt:
      return "corrupt";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kOutOfMemory:
      return "out_of_memory";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kBusy:
      return "busy";
  }
  return "unknown";
}

ErrorValue ErrorValue::WithPrefix(std::string_view prefix) const {
  return ErrorValue(code_, fmt::format("{}: {}", prefix, message_));
}

}  // namespace bonsai
