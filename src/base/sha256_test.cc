#include "base/sha256.h"

#include <gtest/gtest.h>

#include <span>
#include <string>
#include <string_view>

namespace bonsai {
namespace {

void Update(Sha256& hash, std::string_view text) { hash.Update(std::as_bytes(std::span(text.data(), text.size()))); }

std::string Digest(std::string_view text) {
  Sha256 hash;
  Update(hash, text);
  return hash.HexDigest();
}

// The examples that NIST publishes for FIPS 180-4.
TEST(Sha256, NistExamples) {
  EXPECT_EQ(Digest(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Sha256, AMillionLettersInOddPieces) {
  const std::string text(1000000, 'a');
  for (const size_t step : {size_t{1}, size_t{63}, size_t{64}, size_t{4099}, size_t{1000000}}) {
    Sha256 hash;
    for (size_t i = 0; i < text.size(); i += step) Update(hash, std::string_view(text).substr(i, step));
    Update(hash, "");
    EXPECT_EQ(hash.HexDigest(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0") << step;
  }
}

}  // namespace
}  // namespace bonsai
