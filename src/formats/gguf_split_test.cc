#include <gtest/gtest.h>

#include "formats/gguf.h"
#include "formats/gguf_testing.h"
#include "tests/support.h"

namespace bonsai::formats {
namespace {

using testing::FileBytes;

struct Part {
  uint16_t number;  // split.no, from 0
  uint16_t count;
  std::vector<std::pair<std::string, float>> tensors;  // each of 4 equal floats
  int32_t all_tensors = 3;
};

/// Metadata beside `split.*` only in the first, as gguf-split writes them.
std::string BytesOf(const Part& part) {
  FileBytes f;
  f.Header(part.tensors.size(), part.number == 0 ? 4 : 3);
  if (part.number == 0) f.Key("general.architecture", ValueKind::kString).Str("qwen3");
  f.Key("split.no", ValueKind::kU16).Put(part.number);
  f.Key("split.count", ValueKind::kU16).Put(part.count);
  f.Key("split.tensors.count", ValueKind::kI32).Put(part.all_tensors);
  for (size_t i = 0; i < part.tensors.size(); i++) f.Tensor(part.tensors[i].first, {4}, testing::kF32Id, 32 * i);
  for (const auto& [name, value] : part.tensors) {
    f.Pad(32);
    for (int i = 0; i < 4; i++) f.Put(value);
  }
  return f.bytes;
}

std::string NameOf(size_t i) { return fmt::format("m-0000{}-of-00003.gguf", i + 1); }

class GgufSplitTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& bytes) {
    std::ofstream(dir_ / name, std::ios::binary) << bytes;
  }
  void WriteAll() {
    for (size_t i = 0; i < parts_.size(); i++) Write(NameOf(i), BytesOf(parts_[i]));
  }
  void ExpectFailure(const std::string& open, ErrorCode code, const std::string& names, const std::string& why) {
    const auto file = OpenModelPath(dir_ / open);
    ASSERT_FALSE(file.ok()) << why;
    const std::string& message = file.error().message();
    EXPECT_EQ(file.error().code(), code) << message;
    EXPECT_TRUE(message.starts_with(dir_ / names + ": ")) << message;
    EXPECT_NE(message.find(why), std::string::npos) << message;
  }

  const test::TempDir dir_;
  std::vector<Part> parts_ = {{0, 3, {{"a", 1}}}, {1, 3, {{"b", 2}, {"c", 3}}}, {2, 3, {}}};
};

TEST_F(GgufSplitTest, AnyPartOpensTheSet) {
  WriteAll();
  for (size_t i = 0; i < 3; i++) {
    const auto opened = OpenModelPath(dir_ / NameOf(i));
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    const ModelFile& file = **opened;
    EXPECT_EQ(file.name(), dir_ / NameOf(0));
    EXPECT_EQ(file.container(), "GGUF v3, 3 files");
    EXPECT_EQ(file.parts().size(), 3u);
    EXPECT_EQ(file.metadata().GetString("general.architecture").value(), "qwen3");
    EXPECT_EQ(file.metadata().entries().size(), 1u);  // a model that is written from this one is not split
    ASSERT_EQ(file.tensors().size(), 3u);
    for (const auto& [name, value, part] : {std::tuple("a", 1.0f, 0u), {"b", 2.0f, 1u}, {"c", 3.0f, 1u}}) {
      const TensorInfo* t = file.FindTensor(name);
      ASSERT_NE(t, nullptr) << name;
      EXPECT_EQ(t->part, part);
      std::vector<float> floats(4);
      ASSERT_TRUE(file.ReadRows(*t, 0, 1, std::as_writable_bytes(std::span(floats))));
      EXPECT_EQ(floats, std::vector<float>(4, value)) << name;
    }
  }
}

TEST_F(GgufSplitTest, MissingPart) {
  WriteAll();
  std::filesystem::remove(dir_ / NameOf(1));
  ExpectFailure(NameOf(0), ErrorCode::kNotFound, NameOf(1), "file 2 of 3");
}

TEST_F(GgufSplitTest, PartsOfOtherModels) {
  parts_[1].count = 4;
  WriteAll();
  ExpectFailure(NameOf(0), ErrorCode::kCorrupt, NameOf(1), "says 4 files, the model has 3");
  parts_[1] = parts_[2];
  WriteAll();
  ExpectFailure(NameOf(2), ErrorCode::kCorrupt, NameOf(1), "this is file 3 of 3, not 2");
  parts_[1].number = 3;
  WriteAll();
  ExpectFailure(NameOf(1), ErrorCode::kCorrupt, NameOf(1), "this is file 4 of 3");
}

TEST_F(GgufSplitTest, TensorsTwiceOrMissing) {
  parts_[2].tensors = {{"a", 5}};
  WriteAll();
  ExpectFailure(NameOf(0), ErrorCode::kCorrupt, NameOf(0), "says 3 tensors, its 3 files hold 4");
  parts_[0].all_tensors = 4;
  WriteAll();
  ExpectFailure(NameOf(0), ErrorCode::kCorrupt, NameOf(2), "tensor 'a' is also in " + dir_ / NameOf(0));
}

TEST_F(GgufSplitTest, ANameThatDoesNotTellWhereTheOthersAre) {
  Write("model.gguf", BytesOf(parts_[0]));
  ExpectFailure("model.gguf", ErrorCode::kCorrupt, "model.gguf", "does not end in -00001-of-00003.gguf");
}

TEST_F(GgufSplitTest, ALinkOutOfTheDirectory) {
  const test::TempDir other;
  WriteAll();
  std::filesystem::rename(dir_ / NameOf(1), other / "b");
  std::filesystem::create_symlink(other / "b", dir_ / NameOf(1));
  ExpectFailure(NameOf(0), ErrorCode::kCorrupt, NameOf(1), "leads out of its directory");
}

TEST_F(GgufSplitTest, ASetOfOneIsAFile) {
  Write("model.gguf", BytesOf({0, 1, {{"a", 1}}}));
  const auto file = OpenModelPath(dir_ / "model.gguf");
  ASSERT_TRUE(file.ok()) << file.error().message();
  EXPECT_EQ((*file)->container(), "GGUF v3");
}

}  // namespace
}  // namespace bonsai::formats
