// Errors as clients of OpenAI's API expect them: {"error": {"message", "type", "code", "param"}}.
#pragma once

#include <string>

#include "base/status.h"
#include "server/exchange.h"

namespace bonsai::server {

struct ApiError {
  int status = 400;
  std::string message;
  std::string param = {};  ///< The field, "messages[2].role"; empty: null.
  std::string code = {};   ///< For programs, "context_length_exceeded"; empty: by the status.
};
/// The type follows from the status: invalid_request_error, authentication_error, not_found_error, …
Response ToResponse(const ApiError& error);
/// kInvalidArgument, kUnsupported and kCorrupt (of JSON) are the client's: 400. kBusy: 429; kCancelled: 503 (the server
/// is going down); the rest 500.
ApiError ToApiError(const ErrorValue& error);

}  // namespace bonsai::server
