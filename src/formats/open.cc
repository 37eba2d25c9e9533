// How a file tells us what it is. A new container is one row here and one file beside it.
#include <algorithm>
#include <array>
#include <cstring>

#include "formats/gguf.h"
#include "formats/model_file.h"

namespace bonsai::formats {
namespace {

struct Container {
  std::string_view name;
  bool (*matches)(std::string_view head);
  Result<std::unique_ptr<ModelFile>> (*open)(std::unique_ptr<ByteSource> source, const OpenOptions& options);
};

constexpr Container kContainers[] = {
    {"GGUF", [](std::string_view head) { return head.starts_with("GGUF"); }, OpenGguf},
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
    {"PK\x03\x04", "a zip archive, perhaps a PyTorch checkpoint; convert it to GGUF"},
    {"\x80\x02", "a Python pickle, perhaps a PyTorch checkpoint; convert it to GGUF"},
    {"version https://git-lfs", "a Git LFS pointer, not the file itself; run 'git lfs pull'"},
    {"<!doctype", kPage},
    {"<html", kPage},
    {"<?xml", "an XML document, probably a failed download"},
    {"\x1f\x8b", "gzip data; decompress it first"},
    {"\xfd"
     "7zXZ",
     "xz data; decompress it first"},
    {"\x28\xb5\x2f\xfd", "zstd data; decompress it first"},
    {"\x89HDF", "an HDF5 file; convert it to GGUF"},
    {"\x7f"
     "ELF",
     "a program"},
    {"{", "JSON text, perhaps the config.json beside the weights"},
};

constexpr size_t kHead = 64;  // bytes looked at

/// ASCII letters in lower case, after leading white space: how web pages begin varies.
std::string Folded(std::string_view head) {
  const size_t begin = std::min(head.find_first_not_of(" \t\r\n"), head.size());
  std::string out(head.substr(begin));
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

/// Safetensors: the length of a JSON object in 64 bits, then the object.
bool LooksLikeSafetensors(std::string_view head, uint64_t size) {
  if (head.size() < 9 || head[8] != '{') return false;
  uint64_t length = 0;
  std::memcpy(&length, head.data(), sizeof length);
  return length >= 2 && length <= size - 8;
}

std::string Describe(std::string_view head, uint64_t size) {
  if (head.empty()) return "an empty file";
  if (LooksLikeSafetensors(head, size)) return "a safetensors file, which is not supported yet; convert it to GGUF";
  const std::string folded = Folded(head);
  for (const Foreign& f : kForeign)
    if (head.starts_with(f.magic) || folded.starts_with(f.magic)) return std::string(f.what);
  if (std::all_of(head.begin(), head.end(), [](char c) { return c == 0; }))
    return "zeros, probably an unfinished download";
  std::string hex;
  for (const char c : head.substr(0, 8)) hex += fmt::format(" {:02x}", static_cast<unsigned char>(c));
  return fmt::format("of an unknown kind (its first bytes are{})", hex);
}

}  // namespace

Result<std::unique_ptr<ModelFile>> OpenModel(std::unique_ptr<ByteSource> source, const OpenOptions& options) {
  std::array<std::byte, kHead> bytes{};
  const auto length = static_cast<size_t>(std::min<uint64_t>(bytes.size(), source->size()));
  BONSAI_RETURN_IF_ERROR(source->ReadAt(0, std::span(bytes).first(length)));
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()), length);
  std::string known;
  for (const Container& c : kContainers) {
    if (c.matches(head)) return c.open(std::move(source), options);
    known += known.empty() ? "" : ", ";
    known += c.name;
  }
  return Error(ErrorCode::kUnsupported, "{}: not a model (byte 0): it is {}; supported: {}", source->name(),
               Describe(head, source->size()), known);
}

Result<std::unique_ptr<ModelFile>> OpenModelPath(const std::string& path, const OpenOptions& options) {
  BONSAI_ASSIGN(auto source, OpenFile(path));
  return OpenModel(std::move(source), options);
}

}  // namespace bonsai::formats
