#include "text/pretokenizer.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"

namespace bonsai::text {
namespace {

using Pieces = std::vector<std::string>;

const PreTokenizer& Named(const std::string& name) {
  static std::map<std::string, std::unique_ptr<PreTokenizer>> made;
  auto& pre = made[name];
  if (pre == nullptr) pre = std::move(*PreTokenizer::Create(name));
  return *pre;
}

Pieces Split(std::string_view text, bool fast = true, const std::string& name = "qwen2") {
  PreTokenizer::Splitter splitter(Named(name), fast);
  splitter.Start(text);
  Pieces pieces;
  for (std::string_view piece; !(piece = splitter.Next()).empty();) pieces.emplace_back(piece);
  return pieces;
}

/// The ASCII way against PCRE2.
void ExpectSameSplit(const std::string& s) {
  for (const char* name : {"qwen2", "llama-bpe"}) {
    EXPECT_EQ(Split(s, true, name), Split(s, false, name)) << name << testing::PrintToString(s);
  }
}

TEST(PreTokenizer, UnknownNameSaysWhatThereIs) {
  const auto pre = PreTokenizer::Create("falcon");
  ASSERT_FALSE(pre.ok());
  EXPECT_EQ(pre.error().code(), ErrorCode::kUnsupported);
  EXPECT_NE(pre.error().message().find("'falcon'"), std::string::npos);
  EXPECT_NE(pre.error().message().find("qwen2, llama-bpe"), std::string::npos);
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

TEST(PreTokenizer, Llama3) {
  const auto split = [](std::string_view s) { return Split(s, true, "llama-bpe"); };
  EXPECT_EQ(split("I'Ve 1234567 x1"), (Pieces{"I", "'Ve", " ", "123", "456", "7", " x", "1"}));
  EXPECT_EQ(split("12\xd9\xa3\xd9\xa3"), (Pieces{"12\xd9\xa3", "\xd9\xa3"}));  // three numbers of any script
  EXPECT_EQ(split("x = {}\r\n\ty"), (Pieces{"x", " =", " {}\r\n", "\ty"}));
  EXPECT_EQ(Split("12", true, "llama3"), Pieces{"12"});
}

TEST(PreTokenizer, Gpt2) {
  for (const char* name : {"gpt-2", "default"}) {
    const auto split = [&](std::string_view s) { return Split(s, true, name); };
    EXPECT_EQ(split("I'Ve it's 1234 56x"), (Pieces{"I", "'", "Ve", " it", "'s", " 1234", " 56", "x"}));
    EXPECT_EQ(split("a  b\n\n c.\n"), (Pieces{"a", " ", " b", "\n\n", " c", ".", "\n"}));
    EXPECT_EQ(split("x  "), (Pieces{"x", "  "}));
  }
}

TEST(PreTokenizer, SmolLm) {
  const auto split = [&](std::string_view s) { return Split(s, true, "smollm"); };
  EXPECT_EQ(split("a 12  3 b"), (Pieces{"a", " ", "1", "2", "  ", "3", " b"}));
  EXPECT_EQ(split("it's  x1"), (Pieces{"it", "'s", " ", " x", "1"}));
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
