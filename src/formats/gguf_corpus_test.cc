// The seed corpus of gguf_fuzz is built from the same hand-made files as the tests. This test keeps the committed files
// (tests/corpus/gguf_fuzz) equal to what the code says; with BONSAI_WRITE_CORPUS=1 it writes them instead.
#include <gtest/gtest.h>

#include <cstdlib>

#include "formats/gguf_testing.h"
#include "tests/support.h"

namespace bonsai::formats {
namespace {

using testing::FileBytes;

std::map<std::string, std::string> Seeds() {
  std::map<std::string, std::string> seeds;
  const FileBytes small = testing::SmallFile();
  seeds["valid-v3"] = small.bytes;
  seeds["valid-v2"] = testing::SmallFile(2).bytes;
  seeds["empty-model"] = FileBytes().Header(0, 0).bytes;
  FileBytes types;  // one row of every type, with gaps between
  types.Header(5, 0);
  uint64_t offset = 0;
  for (const uint32_t id : {0u, 1u, 30u, 8u, 41u}) {
    types.Tensor("t" + std::to_string(id), {128, 1, 1, 1}, id, offset);
    offset += 512;
  }
  types.Pad(32).bytes.resize(types.bytes.size() + offset);
  seeds["all-types"] = types.bytes;
  seeds["cut-in-strings"] = small.bytes.substr(0, small.at.at("a.strings.items") + 10);
  seeds["cut-in-tensors"] = small.bytes.substr(0, small.at.at("n.dims"));
  seeds["overlap"] = small.bytes;
  seeds["overlap"][small.at.at("n.offset")] = 0;
  seeds["nested-array"] = FileBytes().Header(0, 1).ArrayKey("k", ValueKind::kArray, 1).U32(4).U64(1).U32(7).bytes;
  seeds["split"] = FileBytes().Header(0, 1).Key("split.count", ValueKind::kU8).U8(2).bytes;
  seeds["many-strings"] = FileBytes().Header(0, 1).ArrayKey("k", ValueKind::kString, uint64_t{1} << 60).bytes;
  seeds["safetensors"] = FileBytes().U64(2).bytes + "{}";
  return seeds;
}

TEST(GgufCorpusTest, CommittedSeedsAreCurrent) {
  const std::string folder = test::SourcePath("tests/corpus/gguf_fuzz");
  const bool write = std::getenv("BONSAI_WRITE_CORPUS") != nullptr;
  if (write) std::filesystem::create_directories(folder);
  for (const auto& [name, bytes] : Seeds()) {
    const std::string path = folder + "/" + name;
    if (write) std::ofstream(path, std::ios::binary) << bytes;
    EXPECT_EQ(test::ReadFile(path), bytes) << path << ": run this test with BONSAI_WRITE_CORPUS=1 and commit the files";
  }
}

/// Every file of the folder, findings of the fuzzer included, through what the fuzzer does.
TEST(GgufCorpusTest, EverySeedIsAModelOrAnError) {
  size_t models = 0, errors = 0;
  for (const auto& entry : std::filesystem::directory_iterator(test::SourcePath("tests/corpus/gguf_fuzz"))) {
    const std::string bytes = test::ReadFile(entry.path().string());
    const auto file = testing::OpenBytes(bytes);
    if (file.ok()) {
      EXPECT_TRUE(testing::ReadAllTensors(**file, 1 << 20).ok()) << entry.path();
    }
    (file.ok() ? models : errors)++;
  }
  EXPECT_GE(models, 4u);
  EXPECT_GE(errors, 7u);
}

}  // namespace
}  // namespace bonsai::formats
