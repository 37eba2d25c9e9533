// The chat page, web/dist/index.html as it was when the program was built: one file that loads nothing else.
// web/README.md says how it is made and which requests it sends.
//
//   response.set("Content-Encoding", "gzip");
//   response.set("Content-Security-Policy", ChatPagePolicy());
//   response.body = ChatPageGzip();
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace bonsai::server {

/// The page, UTF-8 HTML, as gzip (RFC 1952). Lives as long as the program; any thread may read it.
std::span<const std::byte> ChatPageGzip();

/// The value of the header Content-Security-Policy (W3C CSP3) under which the page works, with the SHA-256 of its
/// script and of its style sheet: one line. Send it with the page; anything looser gives away what it protects.
std::string_view ChatPagePolicy();

}  // namespace bonsai::server
