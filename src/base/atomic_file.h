// A file that appears whole or not at all: written under a temporary name beside its place, then renamed.
//
//   BONSAI_ASSIGN(AtomicFile file, AtomicFile::Create("out.gguf"));
//   BONSAI_RETURN_IF_ERROR(file.Write(bytes));
//   BONSAI_RETURN_IF_ERROR(file.Commit());
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"

namespace bonsai {

/// Not thread safe. Destroyed before Commit, it leaves nothing behind; a killed process leaves `.NAME.PID.tmp`.
class AtomicFile {
 public:
  /// kIo when the directory does not exist or cannot be written.
  static Result<AtomicFile> Create(const std::string& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  AtomicFile(const AtomicFile&) = delete;
  ~AtomicFile();

  /// Appends. kIo names the path and the reason (a full disk).
  Status Write(std::span<const std::byte> bytes);
  uint64_t size() const { return size_; }
  /// Makes the bytes durable (fsync), then gives the file its name, replacing one that is there.
  Status Commit();

 private:
  AtomicFile(std::string path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}
  ErrorValue Failed(const char* what) const;

  std::string path_, temporary_;
  int fd_;
  uint64_t size_ = 0, written_back_ = 0;
};

/// Makes the names in a directory durable (fsync of the directory). kIo.
Status SyncDirectory(const std::string& path);

}  // namespace bonsai
