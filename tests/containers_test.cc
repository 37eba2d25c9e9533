// The shipped model in every container: the same bytes of weights, the same tokenizer, the same logits.
#include <gtest/gtest.h>

#include "engine/engine.h"
#include "tests/test_directory.h"

namespace bonsai {
namespace {

std::unique_ptr<formats::ModelFile> Shipped() {
  return std::move(*formats::OpenModelPath(test::SourcePath("models/tiny-q1.gguf")));
}

std::unique_ptr<formats::ModelFile> Open(const std::string& path) {
  auto file = formats::OpenModelPath(path);
  EXPECT_TRUE(file.ok()) << file.error().message();
  return file.ok() ? std::move(*file) : nullptr;
}

/// The logits after each token of a sentence, in a row.
std::vector<float> Logits(const formats::ModelFile& file) {
  auto engine = engine::Engine::Load(file, {.threads = 2, .context = 256});
  EXPECT_TRUE(engine.ok()) << engine.error().message();
  if (!engine.ok()) return {};
  std::vector<float> all;
  const auto ids = (*engine)->tokenizer().Encode("Once upon a time there was a little boy.");
  EXPECT_TRUE((*engine)->Evaluate(ids, [&](int32_t, std::span<const float> logits) {
    all.insert(all.end(), logits.begin(), logits.end());
    return true;
  }));
  return all;
}

TEST(ContainersTest, MlxDirectory) {
  const auto file = Shipped();
  const test::TempDir dir;
  test::WriteDirectory(*file, dir / "one", uint64_t{1} << 40);
  test::WriteDirectory(*file, dir / "many", 100'000);
  const std::vector<float> want = Logits(*file);
  ASSERT_FALSE(want.empty());
  for (const char* name : {"one", "many"}) {
    const auto mlx = Open(dir / name);
    ASSERT_NE(mlx, nullptr);
    EXPECT_TRUE(mlx->container().starts_with("MLX safetensors")) << mlx->container();
    // Hugging Face has one list of tokens that end a text, so nothing is left that says eot_token_id.
    test::ExpectSameModel(*file, *mlx,
                          {"qwen3.", "tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.merges",
                           "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.eos",
                           "tokenizer.chat_template", "general.sampling.", "general.architecture"});
    const auto ends = mlx->metadata().GetInts("tokenizer.ggml.eos_token_ids");
    ASSERT_TRUE(ends.ok()) << ends.error().message();
    EXPECT_EQ(**ends, (std::vector<int64_t>{file->metadata().GetU32("tokenizer.ggml.eos_token_id").value(),
                                            file->metadata().GetU32("tokenizer.ggml.eot_token_id").value()}));
    EXPECT_EQ(Logits(*mlx), want);
  }
  EXPECT_GT(Open(dir / "many")->parts().size(), 3u);
}

TEST(ContainersTest, SplitGguf) {
  const auto file = Shipped();
  const test::TempDir dir;
  const auto tensors = test::TensorsOf(*file);
  const size_t half = tensors.size() / 2;
  for (const size_t number : {size_t{0}, size_t{1}}) {
    formats::Metadata metadata = number == 0 ? file->metadata() : formats::Metadata("part");
    const auto add = [&](const char* key, size_t value) {
      ASSERT_TRUE(metadata.Add(key, {.kind = formats::ValueKind::kU16, .data = static_cast<int64_t>(value)}));
    };
    add("split.no", number), add("split.count", 2), add("split.tensors.count", tensors.size());
    const size_t first = number * half;
    const std::vector<formats::GgufTensor> part(
        tensors.begin() + static_cast<ptrdiff_t>(first),
        number == 0 ? tensors.begin() + static_cast<ptrdiff_t>(half) : tensors.end());
    ASSERT_TRUE(formats::WriteGguf(metadata, part, test::FillFrom(*file, first),
                                   test::FileSink(dir / fmt::format("m-0000{}-of-00002.gguf", number + 1))));
  }
  const auto split = Open(dir / "m-00002-of-00002.gguf");
  ASSERT_NE(split, nullptr);
  test::ExpectSameModel(*file, *split, {""});
  EXPECT_EQ(Logits(*split), Logits(*file));
}

}  // namespace
}  // namespace bonsai
