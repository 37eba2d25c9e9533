#include "base/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace bonsai {
namespace {

Status OutOfRange(const std::string& name, uint64_t offset, size_t bytes, uint64_t size) {
  return Error(ErrorCode::kCorrupt, "{}: {} bytes at offset {} lie beyond the end ({} bytes); the file is truncated",
               name, bytes, offset, size);
}

class FileSource final : public ByteSource {
 public:
  FileSource(std::string name, int fd, uint64_t size) : name_(std::move(name)), fd_(fd), size_(size) {}
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;
  ~FileSource() override { ::close(fd_); }

  const std::string& name() const override { return name_; }
  uint64_t size() const override { return size_; }

  Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    if (offset > size_ || out.size() > size_ - offset) return OutOfRange(name_, offset, out.size(), size_);
    size_t done = 0;
    while (done < out.size()) {
      // Linux moves at most 2^31 - 4096 bytes a call; 1 GiB keeps below it everywhere.
      const size_t chunk = std::min(out.size() - done, size_t{1} << 30);
      const ssize_t n = ::pread(fd_, out.data() + done, chunk, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0)
        return Error(ErrorCode::kIo, "{}: read failed at offset {}: {}", name_, offset + done, std::strerror(errno));
      if (n == 0)
        return Error(ErrorCode::kCorrupt, "{}: ended at byte {} while it was read (it had {} bytes when opened)", name_,
                     offset + done, size_);
      done += static_cast<size_t>(n);
    }
    return {};
  }

  void DropCache(uint64_t offset, uint64_t bytes) const override {
    (void)::posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_DONTNEED);
  }

 private:
  std::string name_;
  int fd_;
  uint64_t size_;
};

class SpanSource final : public ByteSource {
 public:
  SpanSource(std::string name, std::span<const std::byte> bytes) : name_(std::move(name)), bytes_(bytes) {}
  const std::string& name() const override { return name_; }
  uint64_t size() const override { return bytes_.size(); }
  Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    if (offset > bytes_.size() || out.size() > bytes_.size() - offset)
      return OutOfRange(name_, offset, out.size(), bytes_.size());
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return {};
  }

 private:
  std::string name_;
  std::span<const std::byte> bytes_;
};

}  // namespace

void ByteSource::DropCache(uint64_t, uint64_t) const {}

Result<std::unique_ptr<ByteSource>> OpenFile(const std::string& path) {
  // O_NONBLOCK: opening a pipe without a writer would wait for one. Regular files ignore it.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return Error(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, "{}: {}", path, std::strerror(errno));
  struct stat st {};
  if (::fstat(fd, &st) != 0) {
    const int e = errno;
    ::close(fd);
    return Error(ErrorCode::kIo, "{}: {}", path, std::strerror(e));
  }
  if (!S_ISREG(st.st_mode)) {
    ::close(fd);
    return Error(ErrorCode::kInvalidArgument, "{}: is {}, not a regular file", path,
                 S_ISDIR(st.st_mode) ? "a directory" : "a device or a pipe");
  }
  return std::unique_ptr<ByteSource>(new FileSource(path, fd, static_cast<uint64_t>(st.st_size)));
}

std::unique_ptr<ByteSource> MemorySource(std::string name, std::span<const std::byte> bytes) {
  return std::make_unique<SpanSource>(std::move(name), bytes);
}

}  // namespace bonsai
