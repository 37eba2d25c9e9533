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
#include <string_view>

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

/// A directory of files that appears whole or not at all: filled under a temporary name, `.NAME.PID.tmp`, then renamed.
/// Destroyed before Commit, it leaves nothing behind. Not thread safe.
class AtomicDirectory {
 public:
  /// kInvalidArgument when something of that name exists, kIo when it cannot be made.
  static Result<AtomicDirectory> Create(const std::string& path);
  AtomicDirectory(AtomicDirectory&& other) noexcept;
  AtomicDirectory& operator=(AtomicDirectory&&) = delete;
  AtomicDirectory(const AtomicDirectory&) = delete;
  ~AtomicDirectory();

  /// Where a file of this plain name is to be written until Commit.
  std::string PathOf(std::string_view name) const;
  /// Gives the directory its name; its files are durable if they were committed as AtomicFile.
  Status Commit();

 private:
  AtomicDirectory(std::string path, std::string temporary) : path_(std::move(path)), temporary_(std::move(temporary)) {}
  std::string path_, temporary_;  // temporary_ empty: moved from or done
};

/// Makes the names in a directory durable (fsync of the directory). kIo.
Status SyncDirectory(const std::string& path);

}  // namespace bonsai
