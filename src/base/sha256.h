// SHA-256 (FIPS 180-4) of a stream.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace bonsai {

/// Feed bytes, then take the digest once. Not thread safe.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void Update(std::span<const std::byte> bytes);
  /// 64 lower-case hexadecimal digits. The object must not be used afterwards.
  std::string HexDigest();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bonsai
