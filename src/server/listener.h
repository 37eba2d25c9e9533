// HTTP/1.1 over TCP, with or without TLS: connections, limits and timeouts. What is asked and answered is the handler's
// business. Boost.Beast stays in listener.cc.
//
//   BONSAI_ASSIGN(auto listener, Listener::Start({.port = 8080}, handler));
//   ... listener->Stop(std::chrono::seconds(10));
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "server/exchange.h"

namespace bonsai::server {

struct ListenOptions {
  std::vector<std::string> addresses = {"127.0.0.1", "::1"};  ///< IP literals; the first must work, others may fail.
  uint16_t port = 8080;                                       ///< 0: any free one, the same for all addresses.
  std::string cert_file = {}, key_file = {};                  ///< PEM; both or none: TLS 1.2 or newer.
  /// For more, the one that has waited longest without asking for anything gives way; while all ask, they are closed as
  /// they come.
  size_t max_connections = 1024;
  size_t max_header_bytes = size_t{32} << 10;
  size_t max_body_bytes = size_t{32} << 20;
  size_t max_bodies_bytes = size_t{256} << 20;  ///< Of all requests together; those beyond are answered 503.
  size_t max_backlog_bytes = size_t{1} << 20;   ///< Of a stream that its client does not read.
  std::chrono::milliseconds heartbeat{10'000};  ///< See Response::heartbeat.
  // Whoever exceeds one of these is disconnected.
  std::chrono::milliseconds idle_timeout{75'000};    ///< Between requests of a connection.
  std::chrono::milliseconds header_timeout{10'000};  ///< From its first byte to its last; the TLS handshake, too.
  std::chrono::milliseconds body_timeout{60'000};    ///< The same for a body.
  std::chrono::milliseconds write_timeout{30'000};   ///< For a piece of an answer to leave.
  /// Sees a request whose body has not come yet: an answer refuses it, unread, and ends the connection. So nobody sends
  /// us megabytes who may not ask at all. Called on the transport's thread; empty: all are read.
  std::function<std::optional<Response>(const Request& head)> screen = {};
};

struct ListenerStats {
  size_t connections = 0;  ///< Now.
  size_t exchanges = 0;    ///< Being answered now.
  uint64_t refused = 0;    ///< Connections above the limit that were closed as they came, since the start.
  uint64_t gave_way = 0;   ///< Connections that were closed to make room for others.
  size_t body_bytes = 0;   ///< Of requests that are being read or answered.
};

/// Owns its thread. Every function may be called from any thread but the handler's.
class Listener {
 public:
  /// kInvalidArgument for an address that is no IP literal or a certificate that cannot be used; kIo when the port is
  /// taken or may not be used, saying which.
  static Result<std::unique_ptr<Listener>> Start(const ListenOptions& options, Handler handler);
  /// Stops at once.
  virtual ~Listener() = default;

  virtual uint16_t port() const = 0;
  /// Addresses that are listened on: "127.0.0.1:8080".
  virtual std::vector<std::string> endpoints() const = 0;
  virtual ListenerStats stats() const = 0;
  /// Accepts nothing more and closes idle connections; waits for what is being answered, `grace` at most. True when all
  /// of it ended in time. Again: only waits.
  virtual bool Stop(std::chrono::milliseconds grace) = 0;
};

}  // namespace bonsai::server
