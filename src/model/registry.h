// The table of architectures: add a file in model/arch/, declare its row here, list it in registry.cc.
#pragma once

#include <string>
#include <string_view>

#include "model/arch.h"

namespace bonsai::model {

extern const Arch kQwen3;

/// The architecture of this `general.architecture`, or null.
const Arch* FindArch(std::string_view name);
/// "qwen3, …", for messages.
std::string ArchNames();

}  // namespace bonsai::model
