#include "formats/model_dir.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "formats/metadata.h"

namespace bonsai::formats {
namespace {

namespace fs = std::filesystem;

/// What is wrong with a name as a plain file name, or empty.
std::string_view NameProblem(std::string_view name) {
  if (name.empty()) return "an empty file name";
  if (name == "." || name == "..") return "a directory, not a file name";
  if (name.find('/') != std::string_view::npos || name.find('\\') != std::string_view::npos)
    return "a path, not a plain file name";
  if (name.find('\0') != std::string_view::npos) return "a file name with a zero byte";
  return {};
}

/// REPO/blobs for REPO/snapshots/REVISION, when it is there; else empty.
std::string BlobsOf(const fs::path& real) {
  if (real.parent_path().filename() != "snapshots") return {};
  std::error_code error;
  const fs::path blobs = fs::canonical(real.parent_path().parent_path() / "blobs", error);
  // A `blobs` that is a link to somewhere else would open everything there.
  return !error && blobs.parent_path() == real.parent_path().parent_path() ? blobs.string() : std::string();
}

}  // namespace

Result<ModelDir> ModelDir::Open(const std::string& path) {
  ModelDir dir;
  dir.path_ = path.empty() ? "." : path;
  while (dir.path_.size() > 1 && dir.path_.back() == '/') dir.path_.pop_back();
  std::error_code error;
  const fs::path real = fs::canonical(dir.path_, error);
  if (error)
    return Error(error == std::errc::no_such_file_or_directory ? ErrorCode::kNotFound : ErrorCode::kIo, "{}: {}",
                 dir.path_, error.message());
  if (!fs::is_directory(real, error)) return Error(ErrorCode::kInvalidArgument, "{}: not a directory", dir.path_);
  dir.real_ = real.string();
  dir.blobs_ = BlobsOf(real);
  for (fs::directory_iterator it(real, error), end; !error && it != end; it.increment(error))
    dir.names_.push_back(it->path().filename().string());
  if (error) return Error(ErrorCode::kIo, "{}: {}", dir.path_, error.message());
  std::sort(dir.names_.begin(), dir.names_.end());
  return dir;
}

bool ModelDir::Has(std::string_view name) const { return std::binary_search(names_.begin(), names_.end(), name); }

Result<std::unique_ptr<ByteSource>> ModelDir::OpenFile(std::string_view name) const {
  if (const std::string_view problem = NameProblem(name); !problem.empty())
    return Error(ErrorCode::kCorrupt, "{}: {} is {}", path_, Quote(name), problem);
  const std::string path = path_ + "/" + std::string(name);
  std::error_code error;
  const fs::path real = fs::canonical(path, error);
  if (error)
    return Error(error == std::errc::no_such_file_or_directory ? ErrorCode::kNotFound : ErrorCode::kIo, "{}: {}", path,
                 error.message());
  const std::string parent = real.parent_path().string();
  if (parent != real_ && (blobs_.empty() || parent != blobs_))
    return Error(ErrorCode::kCorrupt, "{}: a link that leads out of its directory, to {}; copy the file instead", path,
                 Quote(real.string()));
  return bonsai::OpenFile(path);
}

Result<std::string> ModelDir::ReadText(std::string_view name, uint64_t max) const {
  BONSAI_ASSIGN(const auto source, OpenFile(name));
  if (source->size() > max)
    return Error(ErrorCode::kUnsupported, "{}: has {} bytes, more than {} MiB", source->name(), source->size(),
                 max >> 20);
  std::string text(source->size(), '\0');
  BONSAI_RETURN_IF_ERROR(source->ReadAt(0, std::as_writable_bytes(std::span(text))));
  return text;
}

Result<std::optional<std::string>> ModelDir::ReadTextIfAny(std::string_view name, uint64_t max) const {
  if (!Has(name)) return std::optional<std::string>();
  BONSAI_ASSIGN(std::string text, ReadText(name, max));
  return std::optional(std::move(text));
}

}  // namespace bonsai::formats
