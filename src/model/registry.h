// The table of architectures: add a file in model/arch/, declare its row here, list it in registry.cc.
#pragma once

#include <string>
#include <string_view>

#include "model/arch.h"

namespace bonsai::model {

extern const Arch kQwen3;
extern const Arch kQwen2;
extern const Arch kLlama;
extern const Arch kBitnet;
extern const Arch kBitnetB158;
extern const Arch kBitnet25;

/// The architecture of this `general.architecture`, or null.
const Arch* FindArch(std::string_view name);
/// What a well-known architecture that we do not run is, in a few words; empty when we do not know it.
std::string_view WhatIsRefused(std::string_view name);
/// "qwen3, …", for messages.
std::string ArchNames();

}  // namespace bonsai::model
