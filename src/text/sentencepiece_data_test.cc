// A real SentencePiece vocabulary (llama2.c's 512 tokens). Needs BONSAI_TEST_DATA.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/byte_source.h"
#include "formats/hf_tokenizer.h"
#include "formats/model_file.h"
#include "tests/support.h"
#include "text/tokenizer.h"

namespace bonsai::text {
namespace {

using Ids = std::vector<int32_t>;

/// Null when the data is absent.
std::unique_ptr<formats::ModelFile> StoriesFile() {
  const std::string path = test::DataPath("models/stories260K/stories260K.gguf");
  if (path.empty()) return nullptr;
  auto source = OpenFile(path);
  auto file = formats::OpenModel(std::move(*source));
  EXPECT_TRUE(file.ok()) << file.error().message();
  return std::move(*file);
}

std::unique_ptr<Tokenizer> Stories() {
  const auto file = StoriesFile();
  if (file == nullptr) return nullptr;
  auto tokenizer = Tokenizer::FromMetadata(file->metadata());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().message();
  return std::move(*tokenizer);
}

// Ids from mainline llama.cpp on the same file (its bos is added by hand there).
TEST(Stories260K, KnownIds) {
  const auto t = Stories();
  if (t == nullptr) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  EXPECT_EQ(t->vocab_size(), 512);
  EXPECT_EQ(t->Encode("Once upon a time\n", {.add_special = true}), (Ids{1, 403, 407, 261, 378, 13}));
  EXPECT_EQ(t->Decode(Ids{1, 403, 407, 261, 378, 13}), "Once upon a time\n");
  EXPECT_EQ(t->bos(), 1);
  EXPECT_EQ(t->eos(), 2);
  EXPECT_TRUE(t->IsEndOfGeneration(2));
}

TEST(Stories260K, CorporaSurviveTheRoundTrip) {
  const auto t = Stories();
  if (t == nullptr) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  for (const char* name : {"corpus/wiki.test.raw", "corpus/tiny_stories.sample.txt", "tokenizer/qwen/vocab.json"}) {
    const std::string path = test::DataPath(name);
    if (path.empty()) continue;
    const std::string text = test::ReadFile(path);
    EXPECT_TRUE(t->Decode(t->Encode(text)) == text) << name;
  }
}

// To tokenizer.json, with the merges that the scores imply, and back: the same ids.
TEST(Stories260K, HuggingFaceFilesAndBack) {
  const auto file = StoriesFile();
  if (file == nullptr) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  const auto files = formats::WriteHfTokenizer(file->metadata());
  ASSERT_TRUE(files.ok()) << files.error().message();
  formats::Metadata back("back");
  const Status read = formats::AddHfTokenizer(*files, 512, back);
  ASSERT_TRUE(read.ok()) << read.error().message();
  const auto before = Stories(), after = std::move(*Tokenizer::FromMetadata(back));
  for (const char* name : {"corpus/wiki.test.raw", "corpus/tiny_stories.sample.txt"}) {
    const std::string path = test::DataPath(name);
    if (path.empty()) continue;
    const std::string text = test::ReadFile(path);
    EXPECT_TRUE(after->Encode(text, {.add_special = true}) == before->Encode(text, {.add_special = true})) << name;
  }
  EXPECT_EQ(after->eos(), before->eos());
}

}  // namespace
}  // namespace bonsai::text
