// libFuzzer: any bytes are an error or a model whose tensors can be read. The corpus is tests/corpus/gguf_fuzz, the
// dictionary tests/corpus/gguf_fuzz.dict.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "formats/gguf_testing.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using bonsai::formats::OpenModel;
  const std::span input(reinterpret_cast<const std::byte*>(data), size);
  const auto file = OpenModel(bonsai::MemorySource("fuzz", input));
  if (!file.ok()) {
    // One line that names the file, whatever the bytes were.
    const std::string& message = file.error().message();
    if (!message.starts_with("fuzz: ") || message.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  for (const auto& [key, value] : (*file)->metadata().entries())
    if ((*file)->metadata().Find(key) != &value) std::abort();
  for (const auto& tensor : (*file)->tensors())
    if ((*file)->FindTensor(tensor.name) != &tensor) std::abort();
  if (!bonsai::formats::testing::ReadAllTensors(**file, 1 << 20).ok()) std::abort();
  return 0;
}
