// The files of one directory, by plain name: what an index or a naming pattern may make us open.
//
//   BONSAI_ASSIGN(const ModelDir dir, ModelDir::Open("models/bonsai-mlx"));
//   BONSAI_ASSIGN(const std::string config, dir.ReadText("config.json", ModelDir::kMaxConfigBytes));
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_source.h"
#include "base/status.h"

namespace bonsai::formats {

/// A directory whose files are opened by names that a file gave us. A name is one path component; links are followed,
/// but must end at a file of the directory itself, or, in a Hugging Face cache (REPO/snapshots/REVISION), of
/// REPO/blobs. This protects from what a downloaded directory holds, not from someone who changes it meanwhile.
/// Immutable, thread safe.
class ModelDir {
 public:
  static constexpr uint64_t kMaxConfigBytes = uint64_t{64} << 20;  ///< config.json, an index: tens of KB in practice.
  static constexpr uint64_t kMaxTokenizerBytes = uint64_t{256} << 20;  ///< tokenizer.json: 11 MB for 151,669 tokens.

  /// kNotFound, kIo, or kInvalidArgument when it is no directory.
  static Result<ModelDir> Open(const std::string& path);

  /// As the user wrote it, for messages.
  const std::string& path() const { return path_; }
  /// Names of what it holds, sorted.
  const std::vector<std::string>& names() const { return names_; }
  bool Has(std::string_view name) const;

  /// Opens a regular file; the source's name is its path. kCorrupt for a name that is no plain file name or a link that
  /// leads out of the directory, otherwise as bonsai::OpenFile.
  Result<std::unique_ptr<ByteSource>> OpenFile(std::string_view name) const;
  /// All of a file; kUnsupported when it has more than `max` bytes.
  Result<std::string> ReadText(std::string_view name, uint64_t max) const;
  /// The same; nothing when the directory has no such file.
  Result<std::optional<std::string>> ReadTextIfAny(std::string_view name, uint64_t max) const;

 private:
  ModelDir() = default;
  std::string path_;
  std::string real_;   // without links
  std::string blobs_;  // of the cache that it is part of, without links; empty when it is of none
  std::vector<std::string> names_;
};

}  // namespace bonsai::formats
