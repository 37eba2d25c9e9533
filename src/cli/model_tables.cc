#include "cli/model_tables.h"

#include <algorithm>
#include <string_view>

#include "base/ascii.h"

namespace bonsai::cli {

std::string LayerPattern(const std::string& name) {
  std::string out;
  for (size_t i = 0; i < name.size();) {
    const size_t end = std::min(name.find('.', i), name.size());
    const std::string_view part = std::string_view(name).substr(i, end - i);
    const bool number = i > 0 && end < name.size() && !part.empty() && AllDigits(part);
    out += number ? "*" : part;
    if (end < name.size()) out += '.';
    i = end + 1;
  }
  return out;
}

std::string PathText(kernels::KernelPath path, const std::string& isa) {
  switch (path) {
    case kernels::KernelPath::kTiles:
    case kernels::KernelPath::kRows:
      return fmt::format("{} ({})", kernels::KernelPathName(path), isa);
    case kernels::KernelPath::kPortable:
      return "rows (portable)";
    case kernels::KernelPath::kReference:
      return "reference (slow)";
    case kernels::KernelPath::kFloat:
      return "as with --act f32";
  }
  return "";
}

}  // namespace bonsai::cli
