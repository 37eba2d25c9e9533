// libFuzzer: any text is an error in one line or an index, and the same for config.json and generation_config.json. The
// corpus is tests/corpus/hf_json_fuzz.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "formats/hf_config.h"
#include "formats/hf_storage.h"
#include "formats/hf_tensors.h"
#include "formats/hf_weights.h"

namespace {

template <class T>
bool IsGood(const bonsai::Result<T>& result) {
  if (result.ok()) return true;
  const std::string& message = result.error().message();
  if (!message.starts_with("fuzz: ") || message.find('\n') != std::string::npos) std::abort();
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bonsai::formats;  // NOLINT(google-build-using-namespace)
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto index = ParseHfIndex("fuzz", text);
  if (IsGood(index) && index->empty()) std::abort();
  const auto storage = ReadHfStorage("fuzz", text);
  if (IsGood(storage) && storage->mlx && MlxType(*storage->mlx) == nullptr) std::abort();
  Metadata metadata("fuzz"), sampling("fuzz");
  const auto model = AddHfConfig("fuzz", text, metadata);
  if (IsGood(model)) {
    IsGood(HeadWidthOf(metadata, model->arch));
    IsGood(WriteHfConfig(metadata, *model));
  }
  IsGood(AddHfGenerationConfig("fuzz", text, sampling));
  return 0;
}
