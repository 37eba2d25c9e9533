#include "base/buffer.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace bonsai {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kPage = size_t{64} << 10;  // at least the largest small page in use (arm64: 64 KB)
constexpr size_t kCacheLine = 64;

}  // namespace

Result<Buffer> Buffer::Allocate(size_t bytes) {
  Buffer b;
  b.size_ = bytes;
  if (bytes == 0) return b;
  if (bytes > SIZE_MAX / 2) return Error(ErrorCode::kOutOfMemory, "cannot allocate {} bytes", bytes);
  if (bytes < kHugePage) {
    const size_t rounded = (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
    b.data_ = static_cast<std::byte*>(std::aligned_alloc(kCacheLine, rounded));
    if (b.data_ == nullptr) return Error(ErrorCode::kOutOfMemory, "cannot allocate {} bytes", bytes);
    std::memset(b.data_, 0, rounded);
    return b;
  }
  // Map up to one huge page more than needed, then give back what lies outside the aligned range. The tail that fills
  // no huge page keeps small ones: 254 matrices rounded up would waste a quarter of an 8B model's memory.
  const size_t rounded = (bytes + kPage - 1) / kPage * kPage;
  void* raw = ::mmap(nullptr, rounded + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return Error(ErrorCode::kOutOfMemory, "cannot allocate {} bytes", bytes);
  const auto start = reinterpret_cast<uintptr_t>(raw);
  const uintptr_t aligned = (start + kHugePage - 1) / kHugePage * kHugePage;
  if (aligned > start) ::munmap(raw, aligned - start);
  const uintptr_t end = start + rounded + kHugePage;
  if (end > aligned + rounded) ::munmap(reinterpret_cast<void*>(aligned + rounded), end - aligned - rounded);
  b.data_ = reinterpret_cast<std::byte*>(aligned);
  b.mapped_ = rounded;
  (void)::madvise(b.data_, rounded / kHugePage * kHugePage,
                  MADV_HUGEPAGE);  // a hint: without it everything still works
  return b;
}

Buffer::~Buffer() {
  if (mapped_ != 0)
    ::munmap(data_, mapped_);
  else
    std::free(data_);
}

}  // namespace bonsai
