#include "formats/model_dir.h"

#include <gtest/gtest.h>

#include "tests/support.h"

namespace bonsai::formats {
namespace {

namespace fs = std::filesystem;

void Write(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

std::string MessageOf(const Result<std::string>& result, ErrorCode code) {
  EXPECT_FALSE(result.ok());
  if (result.ok()) return {};
  EXPECT_EQ(result.error().code(), code) << result.error().message();
  return result.error().message();
}

TEST(ModelDirTest, ReadsPlainFiles) {
  const test::TempDir temp;
  Write(temp / "config.json", "{}");
  fs::create_symlink("config.json", temp / "link");
  const auto dir = ModelDir::Open(temp / "");
  ASSERT_TRUE(dir.ok()) << dir.error().message();
  EXPECT_EQ(dir->path() + "/", temp / "");
  EXPECT_EQ(dir->names(), (std::vector<std::string>{"config.json", "link"}));
  EXPECT_TRUE(dir->Has("link"));
  EXPECT_FALSE(dir->Has("lin"));
  EXPECT_EQ(dir->ReadText("config.json", 2).value(), "{}");
  EXPECT_EQ(dir->ReadText("link", 2).value(), "{}");
  EXPECT_EQ(dir->OpenFile("link").value()->name(), temp / "link");
  EXPECT_EQ(dir->ReadTextIfAny("absent", 2).value(), std::nullopt);
  EXPECT_EQ(dir->ReadTextIfAny("link", 2).value(), "{}");
  EXPECT_NE(MessageOf(dir->ReadText("config.json", 1), ErrorCode::kUnsupported).find("2 bytes, more than"),
            std::string::npos);
  MessageOf(dir->ReadText("absent", 2), ErrorCode::kNotFound);
}

TEST(ModelDirTest, OnlyDirectoriesOpen) {
  const test::TempDir temp;
  Write(temp / "file", "");
  EXPECT_EQ(ModelDir::Open(temp / "file").error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(ModelDir::Open(temp / "absent").error().code(), ErrorCode::kNotFound);
}

TEST(ModelDirTest, NamesThatAreNoPlainFileNames) {
  const test::TempDir temp;
  fs::create_directory(temp / "dir");
  Write(temp / "secret", "s");
  Write(temp / "dir/a", "a");
  const ModelDir dir = ModelDir::Open(temp / "dir").value();
  for (const std::string name : {"", ".", "..", "../secret", "./a", "/etc/passwd", "x/../a", "a/", "..\\secret"})
    EXPECT_NE(MessageOf(dir.ReadText(name, 100), ErrorCode::kCorrupt).find("file name"), std::string::npos) << name;
  MessageOf(dir.ReadText(std::string("a\0b", 3), 100), ErrorCode::kCorrupt);  // the system would open "a"
}

TEST(ModelDirTest, LinksStayInside) {
  const test::TempDir temp;
  fs::create_directories(temp / "dir/sub");
  Write(temp / "secret", "s");
  Write(temp / "dir/sub/a", "a");
  const ModelDir dir = ModelDir::Open(temp / "dir").value();
  const std::pair<const char*, const char*> cases[] = {
      {"up", "../secret"}, {"absolute", "/etc/passwd"}, {"down", "sub/a"}, {"twice", "up"}};
  for (const auto& [name, target] : cases) {
    fs::create_symlink(target, temp / "dir/" + name);
    EXPECT_NE(MessageOf(dir.ReadText(name, 1 << 20), ErrorCode::kCorrupt).find("leads out"), std::string::npos) << name;
  }
  fs::create_symlink("dangling", temp / "dir/gone");
  MessageOf(dir.ReadText("gone", 100), ErrorCode::kNotFound);
  fs::create_symlink("loop", temp / "dir/loop");
  MessageOf(dir.ReadText("loop", 100), ErrorCode::kIo);
  MessageOf(dir.ReadText("sub", 100), ErrorCode::kInvalidArgument);  // a directory
}

TEST(ModelDirTest, LinksIntoTheBlobsOfACache) {
  const test::TempDir temp;
  fs::create_directories(temp / "models--a--b/blobs/deep");
  fs::create_directories(temp / "models--a--b/snapshots/0123");
  fs::create_directories(temp / "models--c--d/blobs");
  Write(temp / "models--a--b/blobs/cafe", "mine");
  Write(temp / "models--a--b/blobs/deep/er", "no blob");
  Write(temp / "models--c--d/blobs/cafe", "another's");
  const std::string snapshot = temp / "models--a--b/snapshots/0123";
  const ModelDir dir = ModelDir::Open(snapshot).value();
  fs::create_symlink("../../blobs/cafe", snapshot + "/config.json");
  EXPECT_EQ(dir.ReadText("config.json", 100).value(), "mine");
  fs::create_symlink("../../../models--c--d/blobs/cafe", snapshot + "/other");
  MessageOf(dir.ReadText("other", 100), ErrorCode::kCorrupt);
  fs::create_symlink("../../blobs/deep/er", snapshot + "/deep");
  MessageOf(dir.ReadText("deep", 100), ErrorCode::kCorrupt);
  // The same links in a directory that is no snapshot.
  fs::create_directories(temp / "models--a--b/else/0123");
  fs::create_symlink("../../blobs/cafe", temp / "models--a--b/else/0123/config.json");
  MessageOf(ModelDir::Open(temp / "models--a--b/else/0123").value().ReadText("config.json", 100), ErrorCode::kCorrupt);
}

TEST(ModelDirTest, BlobsThatAreALinkToSomewhereElse) {
  const test::TempDir temp;
  fs::create_directories(temp / "repo/snapshots/0123");
  fs::create_directories(temp / "private");
  Write(temp / "private/key", "s");
  fs::create_symlink("../private", temp / "repo/blobs");
  fs::create_symlink("../../blobs/key", temp / "repo/snapshots/0123/config.json");
  const ModelDir dir = ModelDir::Open(temp / "repo/snapshots/0123").value();
  MessageOf(dir.ReadText("config.json", 100), ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace bonsai::formats
