#include "engine/builtin.h"

extern "C" {
extern const std::byte bonsai_builtin_model_begin[] __attribute__((visibility("hidden")));
extern const std::byte bonsai_builtin_model_end[] __attribute__((visibility("hidden")));
}

namespace bonsai::engine {

std::unique_ptr<ByteSource> BuiltinModel() {
  return MemorySource("built-in model", {bonsai_builtin_model_begin, bonsai_builtin_model_end});
}

}  // namespace bonsai::engine
