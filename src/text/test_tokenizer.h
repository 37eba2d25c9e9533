// Tokenizers of test vocabularies, for tests.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "text/test_vocabulary.h"
#include "text/tokenizer.h"

namespace bonsai::text {

/// The tokenizer of a vocabulary; null, and a failure, when it does not load.
inline std::unique_ptr<Tokenizer> Make(const TestVocabulary& v) {
  auto tokenizer = Tokenizer::FromMetadata(v.Build());
  EXPECT_TRUE(tokenizer.ok()) << (tokenizer.ok() ? "" : tokenizer.error().message());
  return tokenizer.ok() ? std::move(*tokenizer) : nullptr;
}

}  // namespace bonsai::text
