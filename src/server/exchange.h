// One HTTP request and the way to answer it: what handlers see. No transport, no Boost.
//
//   void Hello(const std::shared_ptr<Exchange>& x) { x->Respond({.body = R"({"hello":"world"})"}); }
//
//   void Count(const std::shared_ptr<Exchange>& x) {      // a stream, from any thread
//     x->Begin({.content_type = "text/event-stream"});
//     for (int i = 0; i < 3 && x->Write(Line(i)); i++) {}
//     x->End();
//   }
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bonsai::server {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method;  ///< "GET"
  std::string path;    ///< "/v1/models", without the query. As sent: nothing is decoded.
  std::string query;   ///< What follows '?', or empty.
  Headers headers;     ///< Names in lower case, in the order of the request.
  std::string body;
  std::string remote;  ///< "127.0.0.1:50312"
  std::string id;      ///< Ours, unique in this process: for logs and the header X-Request-Id.
  /// The value of the first header of this name (in lower case); empty when there is none.
  std::string_view Header(std::string_view name) const;
  /// Whether a header occurs more than once.
  bool Repeats(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body = {};  ///< Of Respond only.
  Headers headers = {};   ///< Besides those of the transport (length, connection, date).
  /// Of Begin only: bytes to send when there was nothing else for ListenOptions::heartbeat, so that nobody between here
  /// and the client takes the connection for dead. Empty: nothing.
  std::string heartbeat = {};
};

/// Made by the transport for each request. Every function may be called from any thread. A handler must end each
/// exchange, with Respond or with End; one that is dropped without is answered with status 500.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const Request& request() const = 0;

  /// Answers. Ignored when the client has gone or an answer has begun.
  virtual void Respond(Response response) = 0;
  /// Begins a streamed answer.
  virtual void Begin(Response head) = 0;
  /// Queues bytes of it. False when the client has gone, or reads so slowly that more than the transport's limit waits:
  /// then it has been cut off, and nothing more needs to be made for it.
  virtual bool Write(std::string bytes) = 0;
  /// Bytes of it that the client has not taken yet: whoever can put more into fewer bytes by waiting, should.
  virtual size_t Waiting() const = 0;
  /// Ends a streamed answer.
  virtual void End() = 0;
  /// Calls `gone` once, on the transport's thread, if the client goes before the answer has ended; at once, on this
  /// thread, if it has gone already. Replaces what was set before.
  virtual void OnGone(std::function<void()> gone) = 0;
};

/// Answers a request, now or later. Called on the transport's thread: must not block.
using Handler = std::function<void(const std::shared_ptr<Exchange>& exchange)>;

}  // namespace bonsai::server
