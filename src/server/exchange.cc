#include "server/exchange.h"

#include <algorithm>

namespace bonsai::server {

std::string_view Request::Header(std::string_view name) const {
  const auto at = std::find_if(headers.begin(), headers.end(), [&](const auto& h) { return h.first == name; });
  return at == headers.end() ? std::string_view() : std::string_view(at->second);
}

bool Request::Repeats(std::string_view name) const {
  return std::count_if(headers.begin(), headers.end(), [&](const auto& h) { return h.first == name; }) > 1;
}

}  // namespace bonsai::server
