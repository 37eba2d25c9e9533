#include "base/atomic_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/support.h"

namespace bonsai {
namespace {

namespace fs = std::filesystem;

class AtomicFileTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const { return dir_ / name; }
  std::string Text(const std::string& name) const { return test::ReadFile(Path(name)); }
  size_t Entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(dir_ / ""), fs::directory_iterator()));
  }
  test::TempDir dir_;  // each its own: ctest runs these side by side
};

std::span<const std::byte> Bytes(std::string_view s) { return std::as_bytes(std::span(s)); }

TEST_F(AtomicFileTest, AppearsWithCommitAndReplaces) {
  std::ofstream(Path("a")) << "old";
  Result<AtomicFile> file = AtomicFile::Create(Path("a"));
  ASSERT_TRUE(file) << file.error().message();
  ASSERT_TRUE(file->Write(Bytes("new ")));
  ASSERT_TRUE(file->Write(Bytes("text")));
  EXPECT_EQ(file->size(), 8u);
  EXPECT_EQ(Text("a"), "old");
  ASSERT_TRUE(file->Commit());
  EXPECT_EQ(Text("a"), "new text");
  EXPECT_EQ(Entries(), 1u);
}

TEST_F(AtomicFileTest, LeavesNothingWithoutCommit) {
  {
    Result<AtomicFile> file = AtomicFile::Create(Path("a"));
    ASSERT_TRUE(file && file->Write(Bytes("x")));
    AtomicFile moved = std::move(*file);
    EXPECT_EQ(Entries(), 1u);
  }
  EXPECT_EQ(Entries(), 0u);
}

TEST_F(AtomicFileTest, SaysWhatIsWrong) {
  const auto none = AtomicFile::Create(Path("no/such"));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), ErrorCode::kIo);
  EXPECT_NE(none.error().message().find("no/such"), std::string::npos);
  EXPECT_EQ(AtomicFile::Create(Path("")).error().code(), ErrorCode::kInvalidArgument);
  // A directory in its place: the rename fails, the temporary file goes.
  fs::create_directory(Path("d"));
  Result<AtomicFile> file = AtomicFile::Create(Path("d"));
  ASSERT_TRUE(file);
  const Status status = file->Commit();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ErrorCode::kIo);
  EXPECT_EQ(Entries(), 1u);
}

TEST_F(AtomicFileTest, ALinkInTheTemporaryFilesPlaceIsNotFollowed) {
  fs::create_symlink(Path("elsewhere"), Path(fmt::format(".f.{}.tmp", ::getpid())));
  const auto file = AtomicFile::Create(Path("f"));
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code(), ErrorCode::kIo);
}

}  // namespace
}  // namespace bonsai
