#include "cli/model_tables.h"

#include <algorithm>

namespace bonsai::cli {

std::string LayerPattern(const std::string& name) {
  std::string out;
  for (size_t i = 0; i < name.size();) {
    const size_t end = std::min(name.find('.', i), name.size());
    const bool number =
        i > 0 && end < name.size() && end > i &&
        std::all_of(name.begin() + static_cast<std::ptrdiff_t>(i), name.begin() + static_cast<std::ptrdiff_t>(end),
                    [](char c) { return c >= '0' && c <= '9'; });
    out += number ? "*" : name.substr(i, end - i);
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
