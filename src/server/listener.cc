// Beast and Asio, on one thread with coroutines. A connection is one coroutine; while an answer is streamed a second
// one watches for the client's end. This file takes most of a minute to compile: nothing else belongs here.
#include "server/listener.h"

#include <sys/socket.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "base/ascii.h"

namespace bonsai::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using namespace asio::experimental::awaitable_operators;

auto Into(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

/// A connection, as long as it may be closed because nothing is being answered on it.
struct Waiting {
  virtual ~Waiting() = default;
  virtual void Close() = 0;
  bool idle = false;  ///< Not a byte of a request has come.
};

/// What connections share with the listener. Counts are atomic because other threads ask for them.
struct Shared {
  ListenOptions options;
  Handler handler;
  std::atomic<size_t> connections = 0, exchanges = 0, body_bytes = 0;
  std::atomic<uint64_t> refused = 0, gave_way = 0, requests = 0;
  std::map<uint64_t, Waiting*> waiting;  // the listener's thread only; the longest wait first
  uint64_t waits = 0;                    // so far
  std::atomic<bool> stopping = false;
  std::mutex mutex;
  std::condition_variable changed;  // an exchange ended
  std::mutex io_mutex;
  asio::io_context* io = nullptr;  // null as soon as the listener is being destroyed: handlers may outlive it

  /// Runs `f` on the listener's thread, if there still is one.
  template <class F>
  void Post(F f) {
    const std::lock_guard lock(io_mutex);
    if (io != nullptr) asio::post(*io, std::move(f));
  }
};

/// The share of a request's body in what all bodies may take.
class BodyShare {
 public:
  explicit BodyShare(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  BodyShare(BodyShare&& other) noexcept : shared_(other.shared_), bytes_(std::exchange(other.bytes_, 0)) {}
  ~BodyShare() { shared_->body_bytes -= bytes_; }
  /// False when there is no room for so many bytes.
  bool Grow(size_t bytes) {
    const size_t more = bytes - std::exchange(bytes_, bytes);
    return (shared_->body_bytes += more) <= shared_->options.max_bodies_bytes;
  }

 private:
  const std::shared_ptr<Shared> shared_;
  size_t bytes_ = 0;
};

/// An answer in the making. Handlers put bytes in from any thread; the connection's coroutine takes them out.
class HttpExchange final : public Exchange, public std::enable_shared_from_this<HttpExchange> {
 public:
  HttpExchange(Request request, BodyShare share, std::shared_ptr<Shared> shared)
      : request_(std::move(request)), share_(std::move(share)), shared_(std::move(shared)) {}

  const Request& request() const override { return request_; }

  void Respond(Response response) override {
    Change([&] {
      if (begun_) return;
      begun_ = ended_ = true;
      head_ = std::move(response);
    });
  }
  void Begin(Response head) override {
    Change([&] {
      if (begun_) return;
      begun_ = streamed_ = true;
      head_ = std::move(head);
    });
  }
  bool Write(std::string bytes) override {
    bool taken = false;
    Change([&] {
      if (!streamed_ || ended_ || cut_off_) return;
      cut_off_ = backlog_.size() + bytes.size() > shared_->options.max_backlog_bytes;
      if (!cut_off_) backlog_ += bytes;
      taken = !cut_off_;
    });
    return taken;
  }
  size_t Waiting() const override {
    const std::lock_guard lock(mutex_);
    return backlog_.size();
  }
  void End() override {
    Change([&] { ended_ = ended_ || streamed_; });
  }
  void OnGone(std::function<void()> gone) override {
    {
      const std::lock_guard lock(mutex_);
      if (!gone_) {
        on_gone_ = std::move(gone);
        return;
      }
    }
    gone();
  }

  /// The connection's side: what has come since the last Take.
  struct News {
    bool begun = false, streamed = false, ended = false, cut_off = false;
    std::string bytes;
  };
  News Take() {
    const std::lock_guard lock(mutex_);
    return {begun_, streamed_, ended_, cut_off_, std::exchange(backlog_, {})};
  }
  /// Does not change once the answer has begun.
  const Response& head() const { return head_; }
  /// What to wake when there is news: on the listener's thread, null for nothing.
  void SetTimer(asio::steady_timer* timer) { timer_ = timer; }
  /// The answer is out (nobody is told), or the client has gone.
  void Close(bool complete) {
    std::function<void()> call;
    {
      const std::lock_guard lock(mutex_);
      gone_ = true;
      if (!complete) call = std::move(on_gone_);
      on_gone_ = nullptr;
    }
    if (call) call();
  }

 private:
  template <class F>
  void Change(F f) {
    {
      const std::lock_guard lock(mutex_);
      if (gone_) return;
      f();
    }
    shared_->Post([weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self && self->timer_ != nullptr) self->timer_->expires_at(asio::steady_timer::time_point::min());
    });
  }

  const Request request_;
  const BodyShare share_;
  const std::shared_ptr<Shared> shared_;
  asio::steady_timer* timer_ = nullptr;  // the listener's thread only
  mutable std::mutex mutex_;             // of everything below
  bool begun_ = false, streamed_ = false, ended_ = false, gone_ = false, cut_off_ = false;
  Response head_;
  std::string backlog_;
  std::function<void()> on_gone_;
};

/// What a handler holds: when the last of them is dropped without an answer, the client gets one all the same.
class Handle final : public Exchange {
 public:
  explicit Handle(std::shared_ptr<HttpExchange> inner) : inner_(std::move(inner)) {}
  ~Handle() override {
    inner_->Respond(
        {.status = 500, .body = R"({"error":{"message":"the request was dropped","type":"server_error","code":500}})"});
    inner_->End();
  }
  const Request& request() const override { return inner_->request(); }
  void Respond(Response response) override { inner_->Respond(std::move(response)); }
  void Begin(Response head) override { inner_->Begin(std::move(head)); }
  bool Write(std::string bytes) override { return inner_->Write(std::move(bytes)); }
  size_t Waiting() const override { return inner_->Waiting(); }
  void End() override { inner_->End(); }
  void OnGone(std::function<void()> gone) override { inner_->OnGone(std::move(gone)); }

 private:
  const std::shared_ptr<HttpExchange> inner_;
};

std::string Text(const tcp::endpoint& e) {
  return e.address().is_v6() ? fmt::format("[{}]:{}", e.address().to_string(), e.port())
                             : fmt::format("{}:{}", e.address().to_string(), e.port());
}

/// All but the body.
Request HeadOf(const http::request<http::string_body>& message, const std::string& remote, uint64_t number) {
  Request r;
  r.method = message.method_string();
  const std::string_view target(message.target().data(), message.target().size());
  const size_t question = target.find('?');
  r.path = target.substr(0, question);
  if (question != std::string_view::npos) r.query = target.substr(question + 1);
  for (const auto& field : message) r.headers.emplace_back(ToLower(field.name_string()), std::string(field.value()));
  r.remote = remote;
  r.id = fmt::format("req-{}", number);
  return r;
}

/// One connection, plain or TLS.
template <class Stream>
class Connection final : public Waiting {
 public:
  Connection(Stream stream, std::shared_ptr<Shared> shared)
      : stream_(std::move(stream)), shared_(std::move(shared)), options_(shared_->options) {}

  asio::awaitable<void> Run() {
    error_code error;
    remote_ = Text(Lowest().socket().remote_endpoint(error));
    if (error || !co_await Handshake()) co_return;
    while (co_await OneExchange()) {
    }
    const GivesWay gives_way(*this);
    if constexpr (kTls) {
      Lowest().expires_after(options_.header_timeout);
      co_await stream_.async_shutdown(Into(error));
    }
    Lowest().socket().shutdown(tcp::socket::shutdown_send, error);
    if (unread_) co_await ReadAway();
  }
  void Close() override { Lowest().cancel(); }

 private:
  /// While it lives, the connection is closed when others need the room.
  class GivesWay {
   public:
    explicit GivesWay(Connection& c) : shared_(*c.shared_), key_(shared_.waits++) { shared_.waiting[key_] = &c; }
    ~GivesWay() { shared_.waiting.erase(key_); }
    GivesWay(const GivesWay&) = delete;
    GivesWay& operator=(const GivesWay&) = delete;

   private:
    Shared& shared_;
    const uint64_t key_;
  };

  static constexpr bool kTls = !std::is_same_v<Stream, beast::tcp_stream>;
  beast::tcp_stream& Lowest() { return beast::get_lowest_layer(stream_); }

  asio::awaitable<bool> Handshake() {
    if constexpr (kTls) {
      const GivesWay gives_way(*this);
      error_code error;
      Lowest().expires_after(options_.header_timeout);
      co_await stream_.async_handshake(asio::ssl::stream_base::server, Into(error));
      co_return !error;
    }
    co_return true;
  }

  /// Waits for the first byte of a request.
  asio::awaitable<bool> WaitForRequest() {
    if (buffer_.size() > 0) co_return true;
    if (shared_->stopping) co_return false;
    error_code error;
    Lowest().expires_after(options_.idle_timeout);
    idle = true;
    const size_t n = co_await stream_.async_read_some(buffer_.prepare(4096), Into(error));
    idle = false;
    buffer_.commit(n);
    co_return !error;
  }

  /// True when the connection stays open.
  asio::awaitable<bool> OneExchange() {
    http::request_parser<http::string_body> parser;
    parser.header_limit(static_cast<uint32_t>(options_.max_header_bytes));
    parser.body_limit(options_.max_body_bytes);
    error_code error;
    {
      const GivesWay gives_way(*this);
      if (!co_await WaitForRequest()) co_return false;
      Lowest().expires_after(options_.header_timeout);
      co_await http::async_read_header(stream_, buffer_, parser, Into(error));
    }
    if (error) co_return co_await Refuse(error);
    Request request = HeadOf(parser.get(), remote_, ++shared_->requests);
    const uint64_t length = parser.content_length().value_or(0);
    if ((parser.chunked() || length > buffer_.size()) && options_.screen)
      if (auto refusal = options_.screen(request)) {
        refusal->headers.emplace_back("X-Request-Id", request.id);
        co_return co_await Refuse(std::move(*refusal));
      }
    if (beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      http::response<http::empty_body> go(http::status::continue_, 11);
      co_await http::async_write(stream_, go, Into(error));
      if (error) co_return false;
    }
    BodyShare share(shared_);
    Lowest().expires_after(options_.body_timeout);
    parser.eager(true);
    while (!parser.is_done()) {
      co_await http::async_read_some(stream_, buffer_, parser, Into(error));
      if (error) co_return co_await Refuse(error);
      if (!share.Grow(parser.get().body().size())) co_return co_await Refuse(NoRoom());
    }
    const bool keep_alive = parser.get().keep_alive(), head_only = parser.get().method() == http::verb::head;
    const unsigned version = parser.get().version();
    request.body = std::move(parser.get().body());
    auto exchange = std::make_shared<HttpExchange>(std::move(request), std::move(share), shared_);
    co_return co_await Answer(exchange, keep_alive, head_only, version);
  }

  // (Not where it is used: g++ 12 cannot compile initializer lists inside of co_await.)
  static Response NoRoom() {
    return {.status = 503,
            .body = ErrorBody(503, "unavailable_error", "too many long requests at a time"),
            .headers = {{"Retry-After", "1"}}};
  }
  static std::string ErrorBody(unsigned status, std::string_view type, std::string_view text) {
    return fmt::format(R"({{"error":{{"message":"{}","type":"{}","code":{}}}}})", text, type, status);
  }

  /// What could not be read is answered where that makes sense, and the connection ends. (After a timeout there is
  /// nothing to answer on: Beast has closed the socket.)
  asio::awaitable<bool> Refuse(error_code error) {
    http::status status = http::status::bad_request;
    const char* text = "the request is not HTTP/1.1";
    if (error == http::error::body_limit) {
      status = http::status::payload_too_large, text = "the body is too large";
    } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      status = http::status::request_header_fields_too_large, text = "the header is too large";
    } else if (error.category() != make_error_code(http::error::bad_method).category() ||
               error == http::error::end_of_stream || error == http::error::partial_message) {
      co_return false;  // the connection broke
    }
    const auto number = static_cast<unsigned>(status);
    Response refusal{.status = static_cast<int>(number), .body = ErrorBody(number, "invalid_request_error", text)};
    co_return co_await Refuse(std::move(refusal));
  }

  /// An answer to a request that has not come to its end.
  asio::awaitable<bool> Refuse(Response refusal) {
    http::response<http::string_body> answer(static_cast<http::status>(refusal.status), 11);
    answer.set(http::field::content_type, refusal.content_type);
    for (const auto& [name, value] : refusal.headers) answer.set(name, value);
    answer.keep_alive(false);
    answer.body() = std::move(refusal.body);
    answer.prepare_payload();
    error_code error;
    Lowest().expires_after(options_.write_timeout);
    co_await http::async_write(stream_, answer, Into(error));
    unread_ = !error;
    co_return false;
  }

  /// Closing a socket with bytes in it resets the connection, and the client may lose the answer that it should read.
  asio::awaitable<void> ReadAway() {
    error_code error;
    Lowest().expires_after(std::chrono::seconds(2));
    while (!error) {
      buffer_.clear();
      co_await Lowest().async_read_some(buffer_.prepare(size_t{64} << 10), Into(error));
    }
  }

  asio::awaitable<bool> Answer(const std::shared_ptr<HttpExchange>& exchange, bool keep_alive, bool head_only,
                               unsigned version) {
    shared_->exchanges++;
    shared_->handler(std::make_shared<Handle>(exchange));
    Lowest().expires_never();
    bool complete = false;
    co_await (WriteAnswer(*exchange, keep_alive, head_only, version, complete) || WatchClient());
    exchange->Close(complete);
    {
      const std::lock_guard lock(shared_->mutex);
      shared_->exchanges--;
    }
    shared_->changed.notify_all();
    co_return complete&& keep_alive && !shared_->stopping;
  }

  /// Ends when the client has closed its side. What it sends meanwhile (the next request) stays where it is. With TLS
  /// the end comes inside a record, which only reading would tell: there a failing write has to do.
  asio::awaitable<void> WatchClient() {
    error_code error;
    auto& socket = Lowest().socket();
    for (;;) {
      co_await socket.async_wait(tcp::socket::wait_read, Into(error));
      char byte;
      const ssize_t n = error ? 0 : ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) co_return;
      if (n > 0) break;
    }
    asio::steady_timer forever(socket.get_executor(), asio::steady_timer::time_point::max());
    co_await forever.async_wait(Into(error));
  }

  template <class Message>
  asio::awaitable<bool> Send(Message& message) {
    error_code error;
    Lowest().expires_after(options_.write_timeout);
    co_await http::async_write(stream_, message, Into(error));
    Lowest().expires_never();
    co_return !error;
  }

  /// The timer is the exchange's for as long as this lives.
  struct Waker {
    Waker(HttpExchange& e, asio::steady_timer& timer) : exchange(e) { exchange.SetTimer(&timer); }
    ~Waker() { exchange.SetTimer(nullptr); }
    Waker(const Waker&) = delete;
    Waker& operator=(const Waker&) = delete;
    HttpExchange& exchange;
  };
  /// Until there is news; at once when it came since the last sleep. True when it was the time that was up.
  static asio::awaitable<bool> Sleep(asio::steady_timer& timer) {
    error_code error;
    co_await timer.async_wait(Into(error));
    timer.expires_at(asio::steady_timer::time_point::max());
    co_return !error;
  }

  asio::awaitable<void> WriteAnswer(HttpExchange& exchange, bool keep_alive, bool head_only, unsigned version,
                                    bool& complete) {
    asio::steady_timer timer(stream_.get_executor(), asio::steady_timer::time_point::max());
    const Waker waker(exchange, timer);
    HttpExchange::News news = exchange.Take();
    for (; !news.begun; news = exchange.Take()) co_await Sleep(timer);
    const Response& head = exchange.head();
    const auto fill = [&](auto& message) {
      message.version(version);
      message.result(static_cast<unsigned>(head.status));
      message.set(http::field::content_type, head.content_type);
      message.set("X-Request-Id", exchange.request().id);
      for (const auto& [name, value] : head.headers) message.set(name, value);
      message.keep_alive(keep_alive && !shared_->stopping);
    };
    if (!news.streamed) {
      http::response<http::string_body> message;
      fill(message);
      message.body() = head.body;
      message.prepare_payload();
      if (head_only) message.body().clear();
      complete = co_await Send(message);
      co_return;
    }
    http::response<http::empty_body> message;
    fill(message);
    message.chunked(true);
    http::response_serializer<http::empty_body> serializer(message);
    error_code error;
    Lowest().expires_after(options_.write_timeout);
    co_await http::async_write_header(stream_, serializer, Into(error));
    while (!error && !news.cut_off) {
      if (!news.bytes.empty()) {
        Lowest().expires_after(options_.write_timeout);
        co_await asio::async_write(stream_, http::make_chunk(asio::buffer(news.bytes)), Into(error));
        if (error) co_return;
      } else if (news.ended) {
        co_await asio::async_write(stream_, http::make_chunk_last(), Into(error));
        Lowest().expires_never();
        complete = !error;
        co_return;
      } else {
        Lowest().expires_never();
        // No news is lost: it wakes through this thread, which does nothing else between Take and Sleep.
        if (!head.heartbeat.empty()) timer.expires_after(options_.heartbeat);
        const bool quiet = co_await Sleep(timer);
        news = exchange.Take();
        if (quiet && news.bytes.empty()) news.bytes = head.heartbeat;
        continue;
      }
      news = exchange.Take();
    }
  }

  Stream stream_;
  std::shared_ptr<Shared> shared_;
  const ListenOptions& options_;
  beast::flat_buffer buffer_;
  std::string remote_;
  bool unread_ = false;  // it ends in the middle of a request
};

class AsioListener final : public Listener {
 public:
  AsioListener(const ListenOptions& options, Handler handler) : shared_(std::make_shared<Shared>()) {
    shared_->options = options;
    shared_->handler = std::move(handler);
    shared_->io = &io_;
  }
  ~AsioListener() override {
    io_.stop();
    if (thread_.joinable()) thread_.join();
    const std::lock_guard lock(shared_->io_mutex);
    shared_->io = nullptr;
  }

  Status Open() {
    BONSAI_RETURN_IF_ERROR(LoadCertificate());
    uint16_t port = shared_->options.port;
    for (const std::string& address : shared_->options.addresses) {
      error_code error;
      const auto ip = asio::ip::make_address(address, error);
      if (error) return Error(ErrorCode::kInvalidArgument, "'{}' is not an IP address to listen on", address);
      Status opened = OpenOne({ip, port});
      if (!opened && acceptors_.empty()) return opened;  // the rest may be missing: a machine without IPv6
      if (opened && port == 0) port = acceptors_.back().local_endpoint().port();
    }
    return {};
  }

  void Run() {
    for (tcp::acceptor& acceptor : acceptors_) asio::co_spawn(io_, Accept(acceptor), asio::detached);
    thread_ = std::thread([this] { io_.run(); });
  }

  uint16_t port() const override { return port_; }
  std::vector<std::string> endpoints() const override { return endpoints_; }
  ListenerStats stats() const override {
    return {shared_->connections, shared_->exchanges, shared_->refused, shared_->gave_way, shared_->body_bytes};
  }

  bool Stop(std::chrono::milliseconds grace) override {
    if (!shared_->stopping.exchange(true)) {
      shared_->Post([this] {
        error_code ignored;
        for (tcp::acceptor& acceptor : acceptors_) acceptor.close(ignored);
        for (const auto& [wait, connection] : shared_->waiting)
          if (connection->idle) connection->Close();
      });
    }
    std::unique_lock lock(shared_->mutex);
    return shared_->changed.wait_for(lock, grace, [this] { return shared_->exchanges == 0; });
  }

 private:
  Status LoadCertificate() {
    const ListenOptions& o = shared_->options;
    if (o.cert_file.empty() && o.key_file.empty()) return {};
    if (o.cert_file.empty() || o.key_file.empty())
      return Error(ErrorCode::kInvalidArgument, "TLS needs both a certificate and its key");
    error_code error;
    tls_.emplace(asio::ssl::context::tls_server);
    tls_->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                          asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1,
                      error);
    tls_->use_certificate_chain_file(o.cert_file, error);
    if (error) return Error(ErrorCode::kInvalidArgument, "{}: not a PEM certificate: {}", o.cert_file, error.message());
    tls_->use_private_key_file(o.key_file, asio::ssl::context::pem, error);
    if (error)
      return Error(ErrorCode::kInvalidArgument, "{}: not the certificate's PEM key: {}", o.key_file, error.message());
    return {};
  }

  Status OpenOne(const tcp::endpoint& endpoint) {
    error_code error;
    tcp::acceptor acceptor(io_);
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
    if (!error && endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error)
      return Error(ErrorCode::kIo, "cannot listen on {}: {}; --port chooses another", Text(endpoint), error.message());
    endpoints_.push_back(Text(acceptor.local_endpoint()));
    if (port_ == 0) port_ = acceptor.local_endpoint().port();
    acceptors_.push_back(std::move(acceptor));
    return {};
  }

  asio::awaitable<void> Accept(tcp::acceptor& acceptor) {
    while (!shared_->stopping) {
      error_code error;
      tcp::socket socket = co_await acceptor.async_accept(Into(error));
      if (error == asio::error::operation_aborted) co_return;
      if (error) {  // no descriptors left: wait until some connection has ended
        (void)MakeRoom();
        asio::steady_timer pause(io_, std::chrono::milliseconds(50));
        co_await pause.async_wait(Into(error));
        continue;
      }
      if (shared_->connections >= shared_->options.max_connections && !MakeRoom()) {
        shared_->refused++;
        continue;  // the socket closes
      }
      socket.set_option(tcp::no_delay(true), error);  // tokens are small and each one matters
      if (tls_)
        asio::co_spawn(io_, Serve(asio::ssl::stream<beast::tcp_stream>(beast::tcp_stream(std::move(socket)), *tls_)),
                       asio::detached);
      else
        asio::co_spawn(io_, Serve(beast::tcp_stream(std::move(socket))), asio::detached);
    }
  }

  /// Closes the connection that has waited longest without asking for anything. False when there is none.
  bool MakeRoom() {
    const auto longest = shared_->waiting.begin();
    if (longest == shared_->waiting.end()) return false;
    longest->second->Close();
    shared_->waiting.erase(longest);
    shared_->gave_way++;
    return true;
  }

  template <class Stream>
  asio::awaitable<void> Serve(Stream stream) {
    shared_->connections++;
    {
      Connection<Stream> connection(std::move(stream), shared_);
      co_await connection.Run();
    }
    shared_->connections--;
  }

  const std::shared_ptr<Shared> shared_;  // outlives the coroutines in io_
  asio::io_context io_{1};
  std::optional<asio::ssl::context> tls_;
  std::vector<tcp::acceptor> acceptors_;
  std::vector<std::string> endpoints_;
  uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Listener>> Listener::Start(const ListenOptions& options, Handler handler) {
  auto listener = std::make_unique<AsioListener>(options, std::move(handler));
  BONSAI_RETURN_IF_ERROR(listener->Open());
  listener->Run();
  return std::unique_ptr<Listener>(std::move(listener));
}

}  // namespace bonsai::server
