#include "base/sha256.h"

// The one-shot SHA256_* calls are deprecated in favour of EVP, which drags OpenSSL's whole provider machinery
// (several MB) into a static program; these pull in the hash and its CPU-specific assembly only.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

namespace bonsai {

struct Sha256::State {
  SHA256_CTX ctx;
};

Sha256::Sha256() : state_(std::make_unique<State>()) { SHA256_Init(&state_->ctx); }
Sha256::~Sha256() = default;

void Sha256::Update(std::span<const std::byte> bytes) { SHA256_Update(&state_->ctx, bytes.data(), bytes.size()); }

std::string Sha256::HexDigest() {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256_Final(digest, &state_->ctx);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char b : digest) text += {kHex[b >> 4], kHex[b & 15]};
  return text;
}

}  // namespace bonsai
