// Who may ask: API keys, and protection of a server on this machine from web pages that its user happens to visit.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/exchange.h"

namespace bonsai::server {

/// Keys that open the server. Compared in constant time: neither how many there are nor how much of one was right
/// shows.
class ApiKeys {
 public:
  ApiKeys() = default;
  explicit ApiKeys(const std::vector<std::string>& keys);
  bool empty() const { return digests_.empty(); }
  bool Has(std::string_view key) const;

 private:
  std::vector<std::string> digests_;  // SHA-256: equal lengths
};

struct GuardOptions {
  ApiKeys keys;
  /// Names, besides IP literals and localhost, under which the server may be reached.
  std::vector<std::string> allowed_hosts;
  /// Origins of other web pages that may use the server ("https://app.example").
  std::vector<std::string> allowed_origins = {};
};

/// The refusal of a request, or nothing when it may pass. `open`: paths that need no key.
///   403  Host is missing, repeated, or neither an IP literal, localhost nor an allowed name (DNS rebinding), or an
///        Origin is present that is neither this Host nor an allowed one (another web page).
///   401  a key is needed, and neither "Authorization: Bearer KEY" nor "X-Api-Key: KEY" holds one.
std::optional<Response> Refuse(const Request& request, const GuardOptions& options, bool open);

/// The headers that let a web page from an allowed origin read the answer (CORS; WHATWG Fetch, 3.2); none for others.
Headers CorsHeaders(const Request& request, const GuardOptions& options);
/// Whether this is such a page's browser asking beforehand whether it may (OPTIONS, a preflight).
bool IsPreflight(const Request& request, const GuardOptions& options);

/// Tells callers apart without keeping their keys: a digest of the key that the request came with, empty for none.
std::string CallerOf(const Request& request);

}  // namespace bonsai::server
