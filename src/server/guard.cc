#include "server/guard.h"

#include <openssl/crypto.h>

#include <algorithm>

#include "base/ascii.h"
#include "base/sha256.h"
#include "server/api_error.h"

namespace bonsai::server {
namespace {

std::string Digest(std::string_view key) {
  Sha256 hash;
  hash.Update(std::as_bytes(std::span(key)));
  return hash.HexDigest();
}

bool IsPort(std::string_view s) { return !s.empty() && s.size() <= 5 && AllDigits(s); }

/// "example.org:8080" → "example.org", "[::1]:8080" → "[::1]"; nothing when it is no host.
std::optional<std::string> HostName(std::string_view host) {
  size_t end = host.starts_with('[') ? host.find(']') : host.find(':');
  if (host.starts_with('[')) {
    if (end == std::string_view::npos) return std::nullopt;
    end++;
  }
  const std::string_view name = host.substr(0, end), rest = end < host.size() ? host.substr(end) : std::string_view();
  if (name.empty() || (!rest.empty() && (rest[0] != ':' || !IsPort(rest.substr(1))))) return std::nullopt;
  return ToLower(name);
}

/// Browsers resolve no name for these, so no foreign name can be made to mean us.
bool IsIpLiteral(std::string_view name) {
  if (name.starts_with('['))
    return name.size() > 2 && std::all_of(name.begin() + 1, name.end() - 1, [](char c) {
             return IsDigit(c) || (c >= 'a' && c <= 'f') || c == ':' || c == '.';
           });
  int dots = 0, digits = 0, value = 0;
  for (const char c : name) {
    if (c == '.') {
      if (digits == 0) return false;
      dots++, digits = 0, value = 0;
    } else if (IsDigit(c)) {
      value = value * 10 + (c - '0');
      if (++digits > 3 || value > 255) return false;
    } else {
      return false;
    }
  }
  return dots == 3 && digits > 0;
}

bool HostAllowed(std::string_view name, const std::vector<std::string>& allowed) {
  return IsIpLiteral(name) || name == "localhost" ||
         std::any_of(allowed.begin(), allowed.end(), [&](const std::string& a) { return EqualIgnoringCase(a, name); });
}

/// Does an Origin ("http://127.0.0.1:8080") name the Host that was asked for?
bool SameOrigin(std::string_view origin, std::string_view host) {
  for (const std::string_view scheme : {"http://", "https://"})
    if (origin.starts_with(scheme)) return EqualIgnoringCase(origin.substr(scheme.size()), host);
  return false;
}

bool FromAllowedOrigin(const Request& request, const GuardOptions& options) {
  const std::string_view origin = request.Header("origin");
  return !origin.empty() && !request.Repeats("origin") &&
         std::any_of(options.allowed_origins.begin(), options.allowed_origins.end(),
                     [&](const std::string& allowed) { return EqualIgnoringCase(allowed, origin); });
}

/// What a browser may put into a header list; anything else is not repeated in an answer.
bool IsHeaderList(std::string_view s) {
  return s.size() <= 2048 && std::all_of(s.begin(), s.end(), [](char c) {
           return IsDigit(c) || (ToLower(c) >= 'a' && ToLower(c) <= 'z') || c == '-' || c == '_' || c == ',' ||
                  c == ' ';
         });
}

std::string_view KeyOf(const Request& request) {
  const std::string_view authorization = request.Header("authorization");
  constexpr std::string_view kBearer = "bearer ";
  if (authorization.size() > kBearer.size() && EqualIgnoringCase(authorization.substr(0, kBearer.size()), kBearer))
    return authorization.substr(kBearer.size());
  return request.Header("x-api-key");
}

}  // namespace

ApiKeys::ApiKeys(const std::vector<std::string>& keys) {
  for (const std::string& key : keys)
    if (!key.empty()) digests_.push_back(Digest(key));
}

bool ApiKeys::Has(std::string_view key) const {
  const std::string digest = Digest(key);
  unsigned found = 0;
  for (const std::string& d : digests_) found |= CRYPTO_memcmp(d.data(), digest.data(), digest.size()) == 0 ? 1u : 0u;
  return found != 0;
}

Headers CorsHeaders(const Request& request, const GuardOptions& options) {
  if (!FromAllowedOrigin(request, options)) return {};
  Headers headers = {{"Access-Control-Allow-Origin", std::string(request.Header("origin"))}, {"Vary", "Origin"}};
  if (!IsPreflight(request, options)) return headers;
  headers.emplace_back("Access-Control-Allow-Methods", "GET, POST");
  headers.emplace_back("Access-Control-Max-Age", "86400");
  // All that it asks for: what counts is the key. "*" would leave out Authorization.
  if (const auto wanted = request.Header("access-control-request-headers"); !wanted.empty() && IsHeaderList(wanted))
    headers.emplace_back("Access-Control-Allow-Headers", std::string(wanted));
  return headers;
}

bool IsPreflight(const Request& request, const GuardOptions& options) {
  return request.method == "OPTIONS" && !request.Header("access-control-request-method").empty() &&
         FromAllowedOrigin(request, options);
}

std::string CallerOf(const Request& request) {
  const std::string_view key = KeyOf(request);
  return key.empty() ? "" : Digest(key);
}

std::optional<Response> Refuse(const Request& request, const GuardOptions& options, bool open) {
  const std::string_view host = request.Header("host");
  const std::optional<std::string> name = request.Repeats("host") ? std::nullopt : HostName(host);
  if (!name || !HostAllowed(*name, options.allowed_hosts))
    return ToResponse({.status = 403,
                       .message = "this Host is not served here; use an IP address or localhost, or start the server "
                                  "with --allowed-host NAME"});
  const std::string_view origin = request.Header("origin");
  const bool foreign = !origin.empty() && !SameOrigin(origin, host) && !FromAllowedOrigin(request, options);
  if (request.Repeats("origin") || foreign)
    return ToResponse({.status = 403, .message = "requests from other web pages are refused"});
  if (open || options.keys.empty() || options.keys.Has(KeyOf(request))) return std::nullopt;
  Response refusal = ToResponse({.status = 401, .message = "an API key is needed: send 'Authorization: Bearer KEY'"});
  refusal.headers.emplace_back("WWW-Authenticate", "Bearer");
  return refusal;
}

}  // namespace bonsai::server
