#include "text/pretokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/rng.h"

namespace bonsai::text {
namespace {

using Pieces = std::vector<std::string>;

const PreTokenizer& Qwen2() {
  static const auto pre = PreTokenizer::Create("qwen2");
  return **pre;
}

Pieces Split(std::string_view text, bool fast = true) {
  PreTokenizer::Splitter splitter(Qwen2(), fast);
  splitter.Start(text);
  Pieces pieces;
  for (std::string_view piece; !(piece = splitter.Next()).empty();) pieces.emplace_back(piece);
  return pieces;
}

/// The ASCII way against PCRE2.
void ExpectSameSplit(const std::string& s) { EXPECT_EQ(Split(s, true), Split(s, false)) << testing::PrintToString(s); }

TEST(PreTokenizer, UnknownNameSaysWhatThereIs) {
  const auto pre = PreTokenizer::Create("llama-bpe");
  ASSERT_FALSE(pre.ok());
  EXPECT_EQ(pre.error().code(), ErrorCode::kUnsupported);
  EXPECT_NE(pre.error().message().find("llama-bpe"), std::string::npos);
  EXPECT_NE(pre.error().message().find("qwen2"), std::string::npos);
}

TEST(PreTokenizer, Qwen2) {
  EXPECT_EQ(Split(""), Pieces{});
  EXPECT_EQ(Split("Hello, world!"), (Pieces{"Hello", ",", " world", "!"}));
  EXPECT_EQ(Split("I'Ve  it's\n\n x"), (Pieces{"I", "'Ve", " ", " it", "'s", "\n\n", " x"}));
  EXPECT_EQ(Split("a1 23"), (Pieces{"a", "1", " ", "2", "3"}));
  EXPECT_EQ(Split("x = {}\r\n\ty"), (Pieces{"x", " =", " {}\r\n", "\ty"}));
  EXPECT_EQ(Split("end \n \n  go  "), (Pieces{"end", " \n \n", " ", " go", "  "}));
  EXPECT_EQ(Split("'\xc5\xbf x"), (Pieces{"'\xc5\xbf", " x"}));  // U+017F is an s in any case
  EXPECT_EQ(Split("\xd0\xb4\xd0\xb0 \xe4\xbd\xa0"), (Pieces{"\xd0\xb4\xd0\xb0", " \xe4\xbd\xa0"}));
}

// U+180E is no white space since Unicode 6.3, whatever PCRE2's \s says.
TEST(PreTokenizer, MongolianVowelSeparatorIsNoSpace) {
  EXPECT_EQ(Split("\xe1\xa0\x8e\xe1\xa0\x8e"), (Pieces{"\xe1\xa0\x8e\xe1\xa0\x8e"}));
  EXPECT_EQ(Split("\xe3\x80\x80\xe3\x80\x80!"), (Pieces{"\xe3\x80\x80", "\xe3\x80\x80", "!"}));  // U+3000 is
}

// Every string of up to four characters of an alphabet with one or two of each class.
TEST(PreTokenizer, FastWayAgreesOnAllShortStrings) {
  const Pieces alphabet = {"a",
                           "S",
                           "l",
                           "7",
                           " ",
                           "\t",
                           "\n",
                           "\r",
                           "'",
                           ".",
                           std::string(1, '\0'),
                           "\x1c",
                           "\xc3\xa9",
                           "\xc2\xa0",
                           "\xe2\x82\xac",
                           "\xc2\xbd"};
  size_t total = 1;
  for (int length = 0; length <= 4; length++, total *= alphabet.size()) {
    for (size_t code = 0; code < total; code++) {
      std::string s;
      size_t rest = code;
      for (int i = 0; i < length; i++, rest /= alphabet.size()) s += alphabet[rest % alphabet.size()];
      ExpectSameSplit(s);
    }
  }
}

TEST(PreTokenizer, FastWayAgreesOnRandomStrings) {
  Rng rng(2);
  const Pieces parts = {"'re",
                        "'VE",
                        "'ll",
                        "'d",
                        "'x",
                        "r",
                        "e",
                        "word",
                        "Q",
                        "0",
                        " ",
                        "  ",
                        "\n",
                        "\r\n",
                        "\t",
                        "\x0b",
                        "!?",
                        "(",
                        "'",
                        "\x7f",
                        "\xc5\xbf",
                        "\xc3\xa9",
                        "\xe4\xbd\xa0",
                        "\xe3\x80\x80",
                        "\xf0\x9f\x98\x80",
                        "\xc2\x85",
                        "\xe2\x80\xa8",
                        "\xcc\x81",
                        "\xd9\xa3"};
  for (int round = 0; round < 20000; round++) {
    std::string s;
    for (uint64_t n = rng.Next() % 20; n > 0; n--) s += parts[rng.Next() % parts.size()];
    ExpectSameSplit(s);
  }
}

}  // namespace
}  // namespace bonsai::text
