// A small model that chats, for tests. Its tokens are bytes, so lengths can be counted by hand.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "engine/engine.h"
#include "tests/synthetic.h"

namespace bonsai::cli {

/// A message is ROLE ':' CONTENT and the end token; then "assistant:" is to be continued.
inline constexpr const char* kTestTemplate =
    "{% for m in messages %}{{ m.role + ':' + m.content }}{{ eos_token }}{% endfor %}assistant:";

/// The file of such a model with random weights.
inline std::string ChatModelBytes(const std::string& chat_template = kTestTemplate, int32_t context = 512) {
  test::SyntheticModel m{.context = context};
  m.edit = [&](formats::Metadata& metadata, std::vector<formats::GgufTensor>&) {
    ASSERT_TRUE(metadata.Add("tokenizer.chat_template", test::Text(chat_template)));
  };
  return test::BuildGguf(m);
}

inline std::unique_ptr<engine::Engine> LoadChatModel(const std::string& bytes, int32_t batch_rows = 512) {
  const auto file = test::OpenBytes(bytes);
  EXPECT_TRUE(file);
  auto e = engine::Engine::Load(**file, {.threads = 1, .batch_rows = batch_rows});
  EXPECT_TRUE(e) << e.error().message();
  return e ? std::move(*e) : nullptr;
}

}  // namespace bonsai::cli
