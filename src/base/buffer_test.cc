#include "base/buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace bonsai {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

TEST(Buffer, AlignedZeroedAndWritable) {
  for (const size_t bytes : {size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{100000}, kHugePage - 1, kHugePage,
                             kHugePage + 1, 3 * kHugePage + 12345}) {
    auto b = Buffer::Allocate(bytes);
    ASSERT_TRUE(b.ok()) << b.error().message();
    ASSERT_EQ(b->size(), bytes);
    ASSERT_EQ(b->span().size(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(b->data()) % (bytes < kHugePage ? 64 : kHugePage), 0u) << bytes;
    EXPECT_TRUE(std::all_of(b->span().begin(), b->span().end(), [](std::byte x) { return x == std::byte{0}; }))
        << bytes;
    std::fill(b->span().begin(), b->span().end(), std::byte{1});  // a sanitizer's chance to object
  }
}

TEST(Buffer, Empty) {
  auto b = Buffer::Allocate(0);
  ASSERT_TRUE(b.ok());
  EXPECT_EQ(b->size(), 0u);
  EXPECT_TRUE(b->span().empty());
}

TEST(Buffer, MovesOwnership) {
  for (const size_t bytes : {size_t{1000}, kHugePage}) {
    Buffer a = *Buffer::Allocate(bytes);
    *a.as<int>() = 42;
    const std::byte* where = a.data();
    Buffer b = std::move(a);
    EXPECT_EQ(b.data(), where);
    EXPECT_EQ(*b.as<int>(), 42);
    Buffer c = *Buffer::Allocate(10);
    c = std::move(b);
    EXPECT_EQ(c.data(), where);
    EXPECT_EQ(c.size(), bytes);
    Buffer& self = c;
    c = std::move(self);
    EXPECT_EQ(c.data(), where);
  }
}

TEST(Buffer, HugeRequestsFail) {
  // 2^48 bytes exceed a 47-bit (x86-64) or 48-bit (aarch64) user address space, whatever the overcommit policy.
  for (const size_t bytes :
       {SIZE_MAX, SIZE_MAX / 2 + 1, SIZE_MAX / 2, SIZE_MAX / 2 - 5, size_t{1} << 60, size_t{1} << 48}) {
    const auto b = Buffer::Allocate(bytes);
    ASSERT_FALSE(b.ok()) << bytes;
    EXPECT_EQ(b.error().code(), ErrorCode::kOutOfMemory);
    EXPECT_EQ(b.error().message(), "cannot allocate " + std::to_string(bytes) + " bytes");
  }
}

}  // namespace
}  // namespace bonsai
