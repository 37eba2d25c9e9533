// libFuzzer: any bytes are an error of one short line, or a document that the library itself parses to the same value.
// The corpus is tests/corpus/json_fuzz.
#include <cstdint>
#include <cstdlib>

#include "base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto doc = bonsai::ParseJson("fuzz", text, {.bytes = 1 << 16, .values = 4096, .depth = 16});
  if (doc.ok()) {
    if (*doc != nlohmann::json::parse(text)) std::abort();
    return 0;
  }
  const std::string& message = doc.error().message();
  if (!message.starts_with("fuzz: ") || message.size() > 400) std::abort();
  for (const char c : message)
    if (c < ' ' || c > '~') std::abort();
  return 0;
}
