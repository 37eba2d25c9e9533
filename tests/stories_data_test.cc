// A Llama model trained by others: its greedy story is the published one, on every instruction set.
// karpathy/llama2.c wrote the story with its own program; tokens are decoded here, by hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/cpu_info.h"
#include "model/model.h"
#include "tests/support.h"

namespace bonsai {
namespace {

constexpr int32_t kBos = 1, kSteps = 256;  // what llama2.c takes when nobody says otherwise

/// The text of the first listing with temperature 0.
std::string PublishedStory(const std::string& page) {
  const std::string start = "-t 0.0\n";
  const size_t begin = page.find(start) + start.size();
  return page.substr(begin, page.find("\n```", begin) - begin);
}

/// A piece of a SentencePiece vocabulary: "▁" is a space, "<0x0A>" a byte.
std::string TextOf(std::string_view piece) {
  if (piece.size() == 6 && piece.starts_with("<0x"))
    return std::string(1, static_cast<char>(std::stoi(std::string(piece.substr(3, 2)), nullptr, 16)));
  std::string text;
  const std::string_view space = "\u2581";
  for (size_t i = 0; i < piece.size();) {
    const bool is_space = piece.substr(i).starts_with(space);
    text += is_space ? ' ' : piece[i];
    i += is_space ? space.size() : 1;
  }
  return text;
}

/// The story of `steps` greedy tokens from the beginning of a text, after the space that a first piece begins with.
Result<std::string> Story(const formats::ModelFile& file, kernels::Device& device) {
  BONSAI_ASSIGN(const formats::StringList* pieces, file.metadata().GetStrings("tokenizer.ggml.tokens"));
  BONSAI_ASSIGN(const auto model, model::Model::Load(file, device, {.max_rows = 1}));
  const auto type = kernels::KvType::kF32;
  BONSAI_ASSIGN(const auto kv, device.NewKvStore(model::KvSpecOf(model->config(), type, type)));
  BONSAI_RETURN_IF_ERROR(kv->Grow(kSteps / kernels::kKvBlock));
  const std::vector<int32_t> blocks = {2, 0, 3, 1};
  std::vector<float> logits(static_cast<size_t>(model->config().vocab));
  std::string text;
  int32_t token = kBos;
  for (int32_t pos = 0; pos < kSteps; ++pos) {
    const kernels::SequenceRows row = {.first_row = 0, .rows = 1, .pos = pos, .blocks = blocks};
    const int32_t last = 0;
    model->Forward({.tokens = {&token, 1}, .sequences = {&row, 1}}, *kv);
    BONSAI_RETURN_IF_ERROR(model->Logits({&last, 1}, logits));
    token = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    text += TextOf((*pieces)[static_cast<size_t>(token)]);
  }
  return text.substr(text.starts_with(' ') ? 1 : 0);
}

TEST(StoriesDataTest, TheGreedyStoryIsThePublishedOne) {
  const std::string model_path = test::DataPath("models/stories260K/stories260K.gguf");
  const std::string page_path = test::DataPath("models/stories260K/stories260K.md");
  if (model_path.empty() || page_path.empty()) GTEST_SKIP() << "needs BONSAI_TEST_DATA with models/stories260K";
  const std::string want = PublishedStory(test::ReadFile(page_path));
  ASSERT_TRUE(want.starts_with("Once upon a time") && want.ends_with("We can help you.")) << want;
  auto source = OpenFile(model_path);
  ASSERT_TRUE(source) << source.error().message();
  const auto file = formats::OpenModel(std::move(*source));
  ASSERT_TRUE(file) << file.error().message();
  const auto cpu = kernels::DescribeCpu();
  ASSERT_TRUE(cpu) << cpu.error().message();
  for (const kernels::IsaInfo& isa : cpu->isas) {
    if (!isa.usable) continue;
    ::setenv("BONSAI_ISA", std::string(isa.name).c_str(), 1);
    const auto device = kernels::NewCpuDevice({.threads = 2});
    ::unsetenv("BONSAI_ISA");
    ASSERT_TRUE(device) << device.error().message();
    const auto story = Story(**file, **device);
    ASSERT_TRUE(story) << story.error().message();
    EXPECT_EQ(*story, want) << isa.name;
  }
}

}  // namespace
}  // namespace bonsai
