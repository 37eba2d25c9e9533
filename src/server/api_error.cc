#include "server/api_error.h"

#include <nlohmann/json.hpp>

#include "server/fields.h"

namespace bonsai::server {
namespace {

using Json = nlohmann::json;

struct StatusName {
  int status;
  const char *type, *code;
};
constexpr StatusName kStatusNames[] = {
    {400, "invalid_request_error", "invalid_request"},
    {401, "authentication_error", "invalid_api_key"},
    {403, "permission_error", "forbidden"},
    {404, "not_found_error", "not_found"},
    {405, "invalid_request_error", "method_not_allowed"},
    {413, "invalid_request_error", "too_large"},
    {429, "rate_limit_error", "too_many_requests"},
    {501, "not_supported_error", "not_supported"},
    {503, "unavailable_error", "unavailable"},
    {504, "timeout_error", "timeout"},
};

StatusName NameOf(int status) {
  for (const StatusName& name : kStatusNames)
    if (name.status == status) return name;
  return {status, "server_error", "server_error"};
}

}  // namespace

Response ToResponse(const ApiError& e) {
  const StatusName name = NameOf(e.status);
  const Json param = e.param.empty() ? Json(nullptr) : Json(e.param);
  Response r = JsonResponse({{"error",
                              {{"message", e.message},
                               {"type", name.type},
                               {"code", e.code.empty() ? name.code : e.code},
                               {"param", param}}}});
  r.status = e.status;
  return r;
}

ApiError ToApiError(const ErrorValue& e) {
  int status = 500;
  switch (e.code()) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnsupported:
    case ErrorCode::kCorrupt:
      status = 400;
      break;
    case ErrorCode::kNotFound:
      status = 404;
      break;
    case ErrorCode::kBusy:
      status = 429;
      break;
    case ErrorCode::kCancelled:
      status = 503;
      break;
    case ErrorCode::kOutOfMemory:
    case ErrorCode::kIo:
      break;
  }
  return {.status = status, .message = e.message()};
}

}  // namespace bonsai::server
