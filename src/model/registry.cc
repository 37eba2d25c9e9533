#include "model/registry.h"

#include <array>

namespace bonsai::model {
namespace {

constexpr std::array kArchs = {&kQwen3};

}  // namespace

const Arch* FindArch(std::string_view name) {
  for (const Arch* arch : kArchs)
    if (arch->name == name) return arch;
  return nullptr;
}

std::string ArchNames() {
  std::string names;
  for (const Arch* arch : kArchs) names += (names.empty() ? "" : ", ") + std::string(arch->name);
  return names;
}

}  // namespace bonsai::model
