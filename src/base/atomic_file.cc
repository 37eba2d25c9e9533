#include "base/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace bonsai {
namespace {

std::string DirectoryOf(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

Result<AtomicFile> AtomicFile::Create(const std::string& path) {
  const std::string name = std::filesystem::path(path).filename().string();
  if (name.empty() || name == "." || name == "..")
    return Error(ErrorCode::kInvalidArgument, "{}: is not the name of a file", path);
  const std::string temporary = fmt::format("{}/.{}.{}.tmp", DirectoryOf(path), name, ::getpid());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd < 0) return Error(ErrorCode::kIo, "{}: cannot be written: {}", path, std::strerror(errno));
  return AtomicFile(path, temporary, fd);
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      fd_(other.fd_),
      size_(other.size_),
      written_back_(other.written_back_) {
  other.fd_ = -1;
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

ErrorValue AtomicFile::Failed(const char* what) const {
  return Error(ErrorCode::kIo, "{}: {} failed at byte {}: {}", path_, what, size_, std::strerror(errno));
}

Status AtomicFile::Write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), std::min(bytes.size(), size_t{1} << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Failed("writing");
    bytes = bytes.subspan(static_cast<size_t>(n));
    size_ += static_cast<uint64_t>(n);
  }
  // Start the disk early: gigabytes of dirty pages would otherwise all wait for Commit.
  constexpr uint64_t kWriteBack = uint64_t{64} << 20;
  if (size_ - written_back_ >= kWriteBack) {
    (void)::sync_file_range(fd_, static_cast<off64_t>(written_back_), static_cast<off64_t>(size_ - written_back_),
                            SYNC_FILE_RANGE_WRITE);
    written_back_ = size_;
  }
  return {};
}

Status AtomicFile::Commit() {
  if (::fsync(fd_) != 0) return Failed("making it durable");
  if (::close(fd_) != 0) {
    fd_ = -1;
    ::unlink(temporary_.c_str());
    return Failed("closing");
  }
  fd_ = -1;
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const ErrorValue error = Failed("renaming");
    ::unlink(temporary_.c_str());
    return error;
  }
  return SyncDirectory(DirectoryOf(path_));
}

Result<AtomicDirectory> AtomicDirectory::Create(const std::string& path) {
  namespace fs = std::filesystem;
  std::string clean = path;  // "out/" is "out"
  while (clean.size() > 1 && clean.back() == '/') clean.pop_back();
  const std::string name = fs::path(clean).filename().string();
  if (name.empty() || name == "." || name == ".." || name == "/")
    return Error(ErrorCode::kInvalidArgument, "{}: is not the name of a directory to make", path);
  std::error_code error;
  if (fs::symlink_status(clean, error).type() != fs::file_type::not_found)
    return Error(ErrorCode::kInvalidArgument, "{}: exists already", path);
  AtomicDirectory made(clean, fmt::format("{}/.{}.{}.tmp", DirectoryOf(clean), name, ::getpid()));
  fs::remove_all(made.temporary_, error);  // of an earlier process with this number
  if (!fs::create_directory(made.temporary_, error))
    return Error(ErrorCode::kIo, "{}: cannot be made: {}", path, error.message());
  return made;
}

AtomicDirectory::AtomicDirectory(AtomicDirectory&& other) noexcept
    : path_(std::move(other.path_)), temporary_(std::move(other.temporary_)) {
  other.temporary_.clear();
}

AtomicDirectory::~AtomicDirectory() {
  std::error_code ignored;
  if (!temporary_.empty()) std::filesystem::remove_all(temporary_, ignored);
}

std::string AtomicDirectory::PathOf(std::string_view name) const { return fmt::format("{}/{}", temporary_, name); }

Status AtomicDirectory::Commit() {
  BONSAI_RETURN_IF_ERROR(SyncDirectory(temporary_));
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    return Error(ErrorCode::kIo, "{}: renaming failed: {}", path_, std::strerror(errno));
  temporary_.clear();
  return SyncDirectory(DirectoryOf(path_));
}

Status SyncDirectory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Error(ErrorCode::kIo, "{}: {}", path, std::strerror(errno));
  const int result = ::fsync(fd);
  const int e = errno;
  ::close(fd);
  // Some file systems have no fsync of directories.
  if (result != 0 && e != EINVAL) return Error(ErrorCode::kIo, "{}: {}", path, std::strerror(e));
  return {};
}

}  // namespace bonsai
