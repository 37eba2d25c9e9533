// The model that ships: its file's tokenizer against the ids of an independent implementation.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/byte_source.h"
#include "formats/model_file.h"
#include "tests/support.h"
#include "text/tokenizer.h"

namespace bonsai::text {
namespace {

TEST(TinyModel, GoldenPrompts) {
  auto source = OpenFile(test::SourcePath("models/tiny-q1.gguf"));
  ASSERT_TRUE(source.ok()) << source.error().message();
  const auto file = formats::OpenModel(std::move(*source));
  ASSERT_TRUE(file.ok()) << file.error().message();
  const auto tokenizer = Tokenizer::FromMetadata((*file)->metadata());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message();
  const Tokenizer& t = **tokenizer;
  const auto golden = nlohmann::json::parse(test::ReadFile(test::SourcePath("tests/data/tiny-q1.golden.json")));
  ASSERT_EQ(golden.at("prompts").size(), 5u);
  for (const auto& prompt : golden.at("prompts")) {
    const auto text = prompt.at("prompt").get<std::string>();
    const auto ids = prompt.at("ids").get<std::vector<int32_t>>();
    EXPECT_EQ(t.Encode(text, {.add_special = true}), ids) << text;
    EXPECT_EQ(t.Decode(ids), text);
  }
  EXPECT_EQ(t.vocab_size(), 4096);
  EXPECT_TRUE(t.IsEndOfGeneration(4094));
  EXPECT_TRUE(t.IsEndOfGeneration(4095));
}

}  // namespace
}  // namespace bonsai::text
