// Proves that opening a file allocates no more than the file justifies: counts every byte that operator new hands out.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "formats/gguf_testing.h"

namespace {
std::atomic<size_t> live{0}, peak{0};

void* Allocate(size_t bytes) {
  // The size goes in front, so that the release knows it; 16 bytes keep the alignment of malloc.
  auto* block = static_cast<unsigned char*>(std::malloc(bytes + 16));
  if (block == nullptr) std::abort();
  std::memcpy(block, &bytes, sizeof bytes);
  const size_t now = live += bytes;
  size_t before = peak;
  while (before < now && !peak.compare_exchange_weak(before, now)) {
  }
  return block + 16;
}

void Release(void* p) {
  if (p == nullptr) return;
  unsigned char* block = static_cast<unsigned char*>(p) - 16;
  size_t bytes = 0;
  std::memcpy(&bytes, block, sizeof bytes);
  live -= bytes;
  std::free(block);
}
}  // namespace

void* operator new(size_t bytes) { return Allocate(bytes); }
void* operator new[](size_t bytes) { return Allocate(bytes); }
// std::stable_sort asks for its buffer this way; AddressSanitizer has one of its own, which does not match our delete.
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return Allocate(bytes); }
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept { return Allocate(bytes); }
void operator delete(void* p) noexcept { Release(p); }
void operator delete[](void* p) noexcept { Release(p); }
void operator delete(void* p, size_t) noexcept { Release(p); }
void operator delete[](void* p, size_t) noexcept { Release(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { Release(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { Release(p); }

namespace bonsai::formats {
namespace {

using testing::FileBytes;
using testing::OpenBytes;

/// The most that was allocated at once while `bytes` were opened.
size_t PeakOfOpening(const std::string& bytes, bool expect_ok) {
  const size_t before = live;
  peak = before;
  const auto file = OpenBytes(bytes);
  const size_t used = peak - before;
  EXPECT_EQ(file.ok(), expect_ok);
  return used;
}

// The cursor's buffer (64 KiB, never more than the file), and messages.
constexpr size_t kFixed = (64 << 10) + 8192;

TEST(GgufMemoryTest, AbsurdCountsAllocateNothing) {
  for (const ValueKind kind : {ValueKind::kU8, ValueKind::kF64, ValueKind::kString, ValueKind::kI16}) {
    for (const int power : {20, 31, 32, 40, 60, 61, 63}) {
      const std::string bytes = FileBytes().Header(0, 1).ArrayKey("k", kind, uint64_t{1} << power).bytes;
      EXPECT_LE(PeakOfOpening(bytes, false), kFixed) << static_cast<int>(kind) << " " << power;
    }
  }
  for (const int power : {10, 32, 60, 63}) {
    const uint64_t n = uint64_t{1} << power;
    EXPECT_LE(PeakOfOpening(FileBytes().Header(n, 0).bytes, false), kFixed);
    EXPECT_LE(PeakOfOpening(FileBytes().Header(0, n).bytes, false), kFixed);
    EXPECT_LE(PeakOfOpening(FileBytes().Header(0, 1).Str(std::string(20, 'k')).U32(8).U64(n).bytes, false), kFixed);
    EXPECT_LE(PeakOfOpening(FileBytes().Header(0, 1).U64(n).bytes + std::string(10, 'k'), false), kFixed);
  }
}

TEST(GgufMemoryTest, DataOfTensorsIsNotRead) {
  FileBytes f;
  f.Header(1, 0).Tensor("w", {1 << 22}, testing::kF32Id, 0).Pad(32);
  f.bytes.resize(f.bytes.size() + (4 << 22));
  EXPECT_LE(PeakOfOpening(f.bytes, true), kFixed);
}

TEST(GgufMemoryTest, WorstFilesStayWithinASmallMultiple) {
  // The densest content of each sort. A number widens to 8 bytes, reserved at once: u8 costs 8 bytes a byte.
  FileBytes numbers;
  constexpr size_t kCount = 1 << 20;
  numbers.Header(0, 1).ArrayKey("k", ValueKind::kU8, kCount);
  numbers.bytes.resize(numbers.bytes.size() + kCount);
  EXPECT_LE(PeakOfOpening(numbers.bytes, true), 8 * numbers.bytes.size() + kFixed);

  // One letter: 9 bytes in the file, 8 of index (reserved), and text that doubles (old and new: 3 bytes a byte).
  FileBytes strings;
  strings.Header(0, 1).ArrayKey("k", ValueKind::kString, kCount);
  for (size_t i = 0; i < kCount; i++) strings.Str("x");
  EXPECT_LE(PeakOfOpening(strings.bytes, true), 2 * strings.bytes.size() + kFixed);

  // Smallest entries of a growing vector, old and new copy alive at once: up to 3 x their size, for 20 bytes in the
  // file each; the bound is on bytes of memory per byte of file.
  FileBytes keys;
  constexpr size_t kKeys = 40000;
  keys.Header(0, kKeys);
  for (size_t i = 0; i < kKeys; i++) keys.Str(fmt::format("{:x}", i)).U32(0).U8(0);
  const size_t per_key = 3 * (sizeof(std::pair<std::string, Value>) + sizeof(uint32_t)) + 64;
  EXPECT_LE(PeakOfOpening(keys.bytes, true), kKeys * per_key + kFixed);

  FileBytes tensors;
  constexpr size_t kTensors = 40000;
  tensors.Header(kTensors, 0);
  for (size_t i = 0; i < kTensors; i++) tensors.Tensor(fmt::format("{:x}", i), {1}, testing::kF32Id, i * 32);
  tensors.Pad(32).bytes.resize(tensors.bytes.size() + kTensors * 32);
  const size_t per_tensor = 3 * (sizeof(TensorInfo) + 2 * sizeof(uint64_t)) + 64;
  EXPECT_LE(PeakOfOpening(tensors.bytes, true), kTensors * per_tensor + kFixed);
}

}  // namespace
}  // namespace bonsai::formats
