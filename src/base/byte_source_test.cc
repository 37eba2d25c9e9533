#include "base/byte_source.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>

#include "tests/support.h"

namespace bonsai {
namespace {

using test::TempDir;

std::string WriteFile(const std::string& path, size_t bytes) {
  std::string text;
  for (size_t i = 0; i < bytes; i++) text += static_cast<char>('a' + i % 26);
  std::ofstream(path, std::ios::binary) << text;
  return text;
}

std::string Read(const ByteSource& source, uint64_t offset, size_t bytes) {
  std::string out(bytes, '?');
  const Status s = source.ReadAt(offset, std::as_writable_bytes(std::span(out)));
  return s.ok() ? out : std::string(ErrorCodeName(s.error().code())) + "|" + s.error().message();
}

void CheckRanges(const ByteSource& source, const std::string& text) {
  ASSERT_EQ(source.size(), text.size());
  EXPECT_EQ(Read(source, 0, text.size()), text);
  EXPECT_EQ(Read(source, 7, 3), text.substr(7, 3));
  EXPECT_EQ(Read(source, text.size(), 0), "");
  const std::string tail = "; the file is truncated", size = std::to_string(text.size());
  const auto error = [&](const std::string& offset, const std::string& bytes) {
    return "corrupt|" + source.name() + ": " + bytes + " bytes at offset " + offset + " lie beyond the end (" + size +
           " bytes)" + tail;
  };
  EXPECT_EQ(Read(source, text.size(), 1), error(size, "1"));
  EXPECT_EQ(Read(source, text.size() - 1, 2), error(std::to_string(text.size() - 1), "2"));
  EXPECT_EQ(Read(source, text.size() + 1, 0), error(std::to_string(text.size() + 1), "0"));
  EXPECT_EQ(Read(source, UINT64_MAX, 2), error("18446744073709551615", "2"));  // offset + length would wrap to 1
}

TEST(ByteSource, FileRanges) {
  TempDir dir;
  const std::string text = WriteFile(dir / "a.bin", 1000);
  auto source = OpenFile(dir / "a.bin");
  ASSERT_TRUE(source.ok()) << source.error().message();
  EXPECT_EQ((*source)->name(), dir / "a.bin");
  CheckRanges(**source, text);
  (*source)->DropCache(0, 1000);
  EXPECT_EQ(Read(**source, 0, 1000), text);
}

TEST(ByteSource, MemoryRanges) {
  const std::string text = "the quick brown fox";
  const auto source = MemorySource("memory", std::as_bytes(std::span(text)));
  CheckRanges(*source, text);
  source->DropCache(0, 5);
  const auto empty = MemorySource("nothing", {});
  EXPECT_EQ(empty->size(), 0u);
  EXPECT_EQ(Read(*empty, 0, 0), "");
  EXPECT_NE(Read(*empty, 0, 1), "?");
}

TEST(ByteSource, FileThatShrinksIsCorruptAtThatByte) {
  TempDir dir;
  const std::string path = dir / "a.bin";
  const std::string text = WriteFile(path, 10000);
  auto source = OpenFile(path);
  ASSERT_TRUE(source.ok());
  std::filesystem::resize_file(path, 4321);
  EXPECT_EQ(Read(**source, 4000, 321), text.substr(4000, 321));
  EXPECT_EQ(Read(**source, 4000, 1000),
            "corrupt|" + path + ": ended at byte 4321 while it was read (it had 10000 bytes when opened)");
  EXPECT_EQ(Read(**source, 5000, 1),
            "corrupt|" + path + ": ended at byte 5000 while it was read (it had 10000 bytes when opened)");
}

TEST(ByteSource, DeletedFileStaysReadable) {
  TempDir dir;
  const std::string text = WriteFile(dir / "a.bin", 100);
  auto source = OpenFile(dir / "a.bin");
  ASSERT_TRUE(source.ok());
  std::filesystem::remove(dir / "a.bin");
  EXPECT_EQ(Read(**source, 0, 100), text);
}

TEST(ByteSource, WhatIsNoRegularFile) {
  TempDir dir;
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  const auto error = [](const std::string& path) {
    const auto s = OpenFile(path);
    return s.ok() ? "opened" : std::string(ErrorCodeName(s.error().code())) + "|" + s.error().message();
  };
  EXPECT_EQ(error(dir / "missing"), "not_found|" + (dir / "missing") + ": No such file or directory");
  EXPECT_EQ(error(dir / ""), "invalid_argument|" + (dir / "") + ": is a directory, not a regular file");
  EXPECT_EQ(error("/dev/null"), "invalid_argument|/dev/null: is a device or a pipe, not a regular file");
  EXPECT_EQ(error(dir / "pipe"), "invalid_argument|" + (dir / "pipe") + ": is a device or a pipe, not a regular file");
  EXPECT_EQ(error(""), "not_found|: No such file or directory");
}

}  // namespace
}  // namespace bonsai
