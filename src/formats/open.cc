// How a file tells us what it is. A new container is one row here and one file beside it.
#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/ascii.h"
#include "formats/gguf.h"
#include "formats/hf_dir.h"
#include "formats/i2s.h"
#include "formats/model_file.h"

namespace bonsai::formats {
namespace {

/// Where a model's first bytes were found. `path` is empty when they have no place among other files.
struct Opened {
  std::unique_ptr<ByteSource> source;
  std::string path;
};

struct Container {
  std::string_view name;
  bool (*matches)(std::string_view head, uint64_t size);
  Result<std::unique_ptr<ModelFile>> (*open)(Opened opened, const OpenOptions& options);
};

bool LooksLikeGguf(std::string_view head, uint64_t) { return head.starts_with("GGUF"); }

Result<std::unique_ptr<ModelFile>> OpenAnyGguf(Opened opened, const OpenOptions& options) {
  if (opened.path.empty()) return OpenGguf(std::move(opened.source), options);
  return OpenGgufPath(std::move(opened.source), opened.path, options);
}

/// The length of a JSON object in 64 bits, then the object.
bool LooksLikeSafetensors(std::string_view head, uint64_t size) {
  if (head.size() < 9 || head[8] != '{') return false;
  uint64_t length = 0;
  std::memcpy(&length, head.data(), sizeof length);
  return length >= 2 && length <= size - 8;
}

/// The weights alone say neither what model it is nor what its tokens are: the directory does.
Result<std::unique_ptr<ModelFile>> OpenSafetensors(Opened opened, const OpenOptions& options) {
  if (opened.path.empty())
    return Error(ErrorCode::kUnsupported,
                 "{}: a safetensors file without its directory; open it by its path, with config.json beside it",
                 opened.source->name());
  const std::filesystem::path path(opened.path);
  return OpenHfDir(path.parent_path().string(), path.filename().string(), options);
}

constexpr Container kContainers[] = {
    {"GGUF", LooksLikeGguf, OpenAnyGguf},
    {"safetensors", LooksLikeSafetensors, OpenSafetensors},
};

/// What people hand us by mistake, and what to do about it.
struct Foreign {
  std::string_view magic;
  std::string_view what;
};

constexpr std::string_view kOldGgml = "a GGML file from before GGUF; convert the original model again";
constexpr std::string_view kPage = "a web page, probably a failed download";

constexpr Foreign kForeign[] = {
    {"FUGG", "a byte-reversed (big-endian) GGUF file; convert it to little-endian"},
    {"lmgg", kOldGgml},
    {"fmgg", kOldGgml},
    {"tjgg", kOldGgml},
    {"algg", kOldGgml},
    {"PK\x03\x04", "a zip archive, perhaps a PyTorch checkpoint; convert it to GGUF or safetensors"},
    {"\x80\x02", "a Python pickle, perhaps a PyTorch checkpoint; convert it to GGUF or safetensors"},
    {"version https://git-lfs", "a Git LFS pointer, not the file itself; run 'git lfs pull'"},
    {"<!doctype", kPage},
    {"<html", kPage},
    {"<?xml", "an XML document, probably a failed download"},
    {"\x1f\x8b", "gzip data; decompress it first"},
    {"\xfd"
     "7zXZ",
     "xz data; decompress it first"},
    {"\x28\xb5\x2f\xfd", "zstd data; decompress it first"},
    {"\x89HDF", "an HDF5 file; convert it to GGUF or safetensors"},
    {"\x7f"
     "ELF",
     "a program"},
    {"{", "JSON text, perhaps the config.json beside the weights; name its directory"},
};

constexpr size_t kHead = 64;  // bytes looked at

/// ASCII letters in lower case, after leading white space: how web pages begin varies.
std::string Folded(std::string_view head) {
  const size_t begin = std::min(head.find_first_not_of(" \t\r\n"), head.size());
  return ToLower(head.substr(begin));
}

std::string Describe(std::string_view head) {
  if (head.empty()) return "an empty file";
  const std::string folded = Folded(head);
  for (const Foreign& f : kForeign)
    if (head.starts_with(f.magic) || folded.starts_with(f.magic)) return std::string(f.what);
  if (std::all_of(head.begin(), head.end(), [](char c) { return c == 0; }))
    return "zeros, probably an unfinished download";
  std::string hex;
  for (const char c : head.substr(0, 8)) hex += fmt::format(" {:02x}", static_cast<unsigned char>(c));
  return fmt::format("of an unknown kind (its first bytes are{})", hex);
}

/// What the reader had to assume.
void AddWarnings(ModelFile& file) {
  const auto i2s = [](const TensorInfo& t) { return t.stored == gguf::kI2sStored; };
  if (std::any_of(file.tensors().begin(), file.tensors().end(), i2s))
    file.AddWarning(
        fmt::format("{}: its I2_S weights are read in the order of BitNet's converter; builds for ARM and one "
                    "for x86 write others, and nothing in a file tells: if the output is nonsense, this is why",
                    file.name()));
}

Result<std::unique_ptr<ModelFile>> Open(Opened opened, const OpenOptions& options) {
  std::array<std::byte, kHead> bytes{};
  const uint64_t size = opened.source->size();
  const auto length = static_cast<size_t>(std::min<uint64_t>(bytes.size(), size));
  BONSAI_RETURN_IF_ERROR(opened.source->ReadAt(0, std::span(bytes).first(length)));
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()), length);
  std::string known;
  for (const Container& c : kContainers) {
    if (c.matches(head, size)) {
      BONSAI_ASSIGN(auto file, c.open(std::move(opened), options));
      AddWarnings(*file);
      return file;
    }
    known += known.empty() ? "" : ", ";
    known += c.name;
  }
  return Error(ErrorCode::kUnsupported, "{}: not a model (byte 0): it is {}; supported: {}", opened.source->name(),
               Describe(head), known);
}

}  // namespace

Result<std::unique_ptr<ModelFile>> OpenModel(std::unique_ptr<ByteSource> source, const OpenOptions& options) {
  return Open({std::move(source), {}}, options);
}

Result<std::unique_ptr<ModelFile>> OpenModelPath(const std::string& path, const OpenOptions& options) {
  std::error_code error;
  const std::filesystem::path file(path);
  if (std::filesystem::is_directory(file, error)) return OpenHfDir(path, {}, options);
  if (path.ends_with(kHfIndexSuffix)) return OpenHfDir(file.parent_path().string(), file.filename().string(), options);
  BONSAI_ASSIGN(auto source, OpenFile(path));
  return Open({std::move(source), path}, options);
}

}  // namespace bonsai::formats
