#include "server/routes.h"

namespace bonsai::server {
namespace {

constexpr Route kRoutes[] = {
    {.method = "GET", .path = "/", .open = true, .handle = routes::Page},
    {.method = "GET", .path = "/health", .open = true, .needs_model = true, .handle = routes::Health},
    {.method = "GET", .path = "/v1/models", .needs_model = true, .handle = routes::Models},
    {.method = "GET", .path = "/v1/models/", .needs_model = true, .handle = routes::OneModel},
    {.method = "POST",
     .path = "/v1/chat/completions",
     .needs_model = true,
     .slow = true,
     .handle = routes::ChatCompletions},
    {.method = "POST", .path = "/v1/completions", .needs_model = true, .slow = true, .handle = routes::Completions},
    {.method = "POST", .path = "/tokenize", .needs_model = true, .slow = true, .handle = routes::Tokenize},
    {.method = "POST", .path = "/detokenize", .needs_model = true, .slow = true, .handle = routes::Detokenize},
    {.method = "POST", .path = "/apply-template", .needs_model = true, .slow = true, .handle = routes::ApplyTemplate},
    {.method = "GET", .path = "/props", .needs_model = true, .handle = routes::Props},
    {.method = "GET", .path = "/slots", .needs_model = true, .handle = routes::Slots},
    {.method = "GET", .path = "/metrics", .needs_model = true, .handle = routes::MetricsPage},
};

bool Matches(const Route& route, std::string_view path) {
  if (route.path.size() > 1 && route.path.ends_with('/'))
    return path.size() > route.path.size() && path.starts_with(route.path);
  return path == route.path;
}

}  // namespace

const Route* FindRoute(std::string_view method, std::string_view path, std::string& allowed) {
  for (const Route& route : kRoutes) {
    if (!Matches(route, path)) continue;
    if (method == route.method || (method == "HEAD" && route.method == "GET")) return &route;
    allowed += (allowed.empty() ? "" : ", ") + std::string(route.method) + (route.method == "GET" ? ", HEAD" : "");
  }
  return nullptr;
}

}  // namespace bonsai::server
