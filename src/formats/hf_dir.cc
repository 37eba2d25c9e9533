#include "formats/hf_dir.h"

#include "formats/hf_weights.h"

namespace bonsai::formats {

Result<std::unique_ptr<ModelFile>> OpenHfDir(const std::string& path, std::string_view file, const OpenOptions&) {
  BONSAI_ASSIGN(const ModelDir dir, ModelDir::Open(path));
  BONSAI_ASSIGN(HfWeights weights, OpenHfWeights(dir, file));
  return Error(ErrorCode::kUnsupported, "{}: not yet", path);
}

}  // namespace bonsai::formats
