// The model that ships inside the program, so that it works with no file and no network.
#pragma once

#include <memory>

#include "base/byte_source.h"

namespace bonsai::engine {

/// models/tiny-q1.gguf as it was when the program was built. Named "built-in model" in messages.
std::unique_ptr<ByteSource> BuiltinModel();

}  // namespace bonsai::engine
