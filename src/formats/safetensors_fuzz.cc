// libFuzzer: any bytes are an error or a header whose tensors share the data among them, and which is written again as
// it was read. The corpus is tests/corpus/safetensors_fuzz.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "formats/safetensors.h"

namespace {
void Require(bool holds) {
  if (!holds) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bonsai;           // NOLINT(google-build-using-namespace)
  using namespace bonsai::formats;  // NOLINT(google-build-using-namespace)
  const auto source = MemorySource("fuzz", std::span(reinterpret_cast<const std::byte*>(data), size));
  const auto tensors = safetensors::ReadHeader(*source);
  if (!tensors.ok()) {
    // One line that names the file, whatever the bytes were.
    const std::string& message = tensors.error().message();
    Require(message.starts_with("fuzz: ") && message.find('\n') == std::string::npos);
    return 0;
  }
  uint64_t at = tensors->empty() ? 0 : tensors->front().offset;
  for (const auto& t : *tensors) {
    Require(t.offset == at && safetensors::BytesOf(*t.dtype, t.shape) == t.bytes);
    at += t.bytes;
  }
  Require(tensors->empty() || at == size);
  uint64_t written = 0;
  const auto fill = [&](size_t i, const GgufSink& emit) {
    return emit(std::as_bytes(std::span(data, size)).subspan((*tensors)[i].offset, (*tensors)[i].bytes));
  };
  const Status status = safetensors::Write(
      *tensors, fill, [&](std::span<const std::byte> bytes) -> Status { return written += bytes.size(), Status(); });
  Require(status.ok() && safetensors::FileBytes(*tensors).value() == written);
  return 0;
}
