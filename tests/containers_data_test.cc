// A Llama model in floats, whose queries and keys GGUF stores in another order, through a Hugging Face directory.
#include <gtest/gtest.h>

#include "tests/test_directory.h"

namespace bonsai {
namespace {

TEST(ContainersDataTest, LlamaInFloats) {
  const std::string path = test::DataPath("models/stories260K/stories260K.gguf");
  if (path.empty()) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  const auto file = formats::OpenModelPath(path);
  ASSERT_TRUE(file.ok()) << file.error().message();
  const test::TempDir dir;
  test::WriteDirectory(**file, dir / "hf", 400'000);
  const auto again = formats::OpenModelPath(dir / "hf");
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_GT((*again)->parts().size(), 1u);
  // Scores become the merges that they imply, so these are not compared.
  test::ExpectSameModel(
      **file, **again,
      {"llama.", "general.architecture", "tokenizer.ggml.tokens", "tokenizer.ggml.bos", "tokenizer.ggml.eos"});
}

}  // namespace
}  // namespace bonsai
