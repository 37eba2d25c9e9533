// A client for tests over real sockets, good or bad.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace bonsai::server::testing {

/// A client that sends bytes as they are. Reads time out after ten seconds, so that a hanging server fails a test.
class Client {
 public:
  /// `receive_bytes`: of the kernel's buffer; 0: as it is.
  explicit Client(uint16_t port, int receive_bytes = 0) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_bytes > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    const timeval limit = {10, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in to = {};
    to.sin_family = AF_INET, to.sin_port = htons(port), to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  }
  ~Client() { Close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  void Send(std::string_view bytes) const { (void)!::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  /// Ends with a reset, not a goodbye.
  void Abort() {
    const linger now = {1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    Close();
  }
  /// Up to and including `mark`; everything up to the end when it does not come.
  std::string ReadUntil(std::string_view mark) {
    for (;;) {
      if (const size_t at = mark.empty() ? std::string::npos : seen_.find(mark); at != std::string::npos) {
        std::string out = seen_.substr(0, at + mark.size());
        seen_.erase(0, out.size());
        return out;
      }
      char piece[4096];
      const ssize_t n = ::recv(fd_, piece, sizeof piece, 0);
      if (n <= 0) return std::exchange(seen_, {});
      seen_.append(piece, static_cast<size_t>(n));
    }
  }
  std::string ReadAll() { return ReadUntil(""); }

 private:
  int fd_;
  bool connected_ = false;
  std::string seen_;
};

}  // namespace bonsai::server::testing
