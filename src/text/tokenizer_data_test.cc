// The real Qwen vocabulary, the reference's test vectors and Unicode's own. Needs BONSAI_TEST_DATA.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <charconv>
#include <sstream>
#include <string>
#include <vector>

#include "base/byte_source.h"
#include "base/rng.h"
#include "formats/model_file.h"
#include "tests/support.h"
#include "text/nfc.h"
#include "text/test_qwen_vocabulary.h"
#include "text/test_vocabulary.h"
#include "text/tokenizer.h"

namespace bonsai::text {
namespace {

using Ids = std::vector<int32_t>;

std::vector<std::string> SplitOn(const std::string& s, const std::string& separator) {
  std::vector<std::string> parts;
  size_t at = 0;
  for (size_t end; (end = s.find(separator, at)) != std::string::npos; at = end + separator.size()) {
    parts.push_back(s.substr(at, end - at));
  }
  parts.push_back(s.substr(at));
  return parts;
}

/// The real tokenizer, made once; null when the data is absent.
const Tokenizer* Qwen() {
  static const std::unique_ptr<Tokenizer> tokenizer = [] {
    const std::string folder = test::DataPath("tokenizer/qwen");
    if (folder.empty()) return std::unique_ptr<Tokenizer>();
    auto made = Tokenizer::FromMetadata(QwenMetadata(folder));
    EXPECT_TRUE(made.ok()) << made.error().message();
    return std::move(*made);
  }();
  return tokenizer.get();
}

TEST(QwenTokenizer, All46Vectors) {
  if (Qwen() == nullptr) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  const std::string path = test::DataPath("tokenizer/qwen/vectors/ggml-vocab-qwen2.gguf.inp");
  std::vector<std::string> texts = SplitOn(test::ReadFile(path), "\n__ggml_vocab_test__\n");
  std::vector<std::string> lines =
      SplitOn(test::ReadFile(test::DataPath("tokenizer/qwen/vectors/ggml-vocab-qwen2.gguf.out")), "\n");
  ASSERT_EQ(texts.size(), 47u);  // a separator ends the last
  ASSERT_EQ(lines.size(), 47u);
  for (size_t i = 0; i < 46; i++) {
    Ids expected;
    std::istringstream in(lines[i]);
    for (int32_t id; in >> id;) expected.push_back(id);
    EXPECT_EQ(Qwen()->Encode(texts[i]), expected) << "vector " << i << ": " << testing::PrintToString(texts[i]);
    EXPECT_EQ(Qwen()->Decode(expected), texts[i]);
  }
}

TEST(QwenTokenizer, SpecialIds) {
  if (Qwen() == nullptr) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  EXPECT_EQ(Qwen()->vocab_size(), 151669);
  EXPECT_EQ(Qwen()->FindAdded("<|im_start|>"), 151644);
  EXPECT_EQ(Qwen()->eos(), 151645);
  const auto eog = Qwen()->EndOfGeneration();
  EXPECT_EQ(Ids(eog.begin(), eog.end()), (Ids{151643, 151645}));
  EXPECT_TRUE(Qwen()->chat_template().starts_with("{%- if tools %}"));
  EXPECT_EQ(Qwen()->Encode("<|im_start|>user\nHi<|im_end|>\n<think>", {.parse_special = true}),
            (Ids{151644, 872, 198, 13048, 151645, 198, 151667}));
  EXPECT_EQ(Qwen()->Decode(Ids{151644, 872, 151667}), "user<think>");
}

// To tokenizer.json and back: key for key the same.
TEST(QwenTokenizer, HuggingFaceFilesAndBack) {
  const std::string folder = test::DataPath("tokenizer/qwen");
  if (folder.empty()) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  const formats::Metadata before = QwenMetadata(folder);
  const auto files = formats::WriteHfTokenizer(before);
  ASSERT_TRUE(files.ok()) << files.error().message();
  formats::Metadata after("after");
  ASSERT_TRUE(formats::AddHfTokenizer(*files, 151669, after).ok());
  for (const auto& [key, value] : before.entries()) {
    ASSERT_TRUE(after.Has(key)) << key;
    EXPECT_TRUE(*after.Find(key) == value) << key;
  }
  EXPECT_EQ(after.entries().size(), before.entries().size() + 1);  // add_eos_token, which vocab.json's class knows
}

TEST(QwenTokenizer, CorporaSurviveTheRoundTrip) {
  if (Qwen() == nullptr) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  for (const char* name : {"corpus/wiki.test.raw", "corpus/children.valid.txt", "tokenizer/qwen/vocab.json"}) {
    const std::string path = test::DataPath(name);
    if (path.empty()) continue;
    const std::string text = test::ReadFile(path);
    const Ids ids = Qwen()->Encode(text);
    EXPECT_TRUE(Qwen()->Decode(ids) == NormalizeNfcBytes(text)) << name;
  }
}

TEST(QwenTokenizer, RandomBytesSurviveTheRoundTrip) {
  if (Qwen() == nullptr) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  Rng rng(9);
  for (int round = 0; round < 5000; round++) {
    std::string s;
    for (uint64_t n = rng.Next() % 64; n > 0; n--) s += static_cast<char>(rng.Next());
    ASSERT_EQ(Qwen()->Decode(Qwen()->Encode(s)), NormalizeNfcBytes(s));
  }
}

TEST(QwenTokenizer, AMegabyteOfOneThing) {
  if (Qwen() == nullptr) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  for (const std::string unit : {"a", " ", "\n", "1", "=", "\xcc\x81", "\xff", "\xe4\xbd\xa0"}) {
    std::string s;
    while (s.size() < size_t{1} << 20) s += unit;
    EXPECT_TRUE(Qwen()->Decode(Qwen()->Encode(s)) == NormalizeNfcBytes(s)) << testing::PrintToString(unit);
  }
}

// NFC as Unicode publishes it: column 2 is the NFC of columns 1 to 3, column 4 that of 4 and 5.
TEST(UnicodeData, NormalizationTest) {
  const std::string path = test::DataPath("suites/unicode8-normalization/test/NormalizationTest.txt");
  if (path.empty()) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  int checked = 0;
  for (const std::string& line : SplitOn(test::ReadFile(path), "\n")) {
    if (line.empty() || line[0] == '#' || line[0] == '@') continue;
    const std::vector<std::string> columns = SplitOn(line, ";");
    ASSERT_GE(columns.size(), 5u) << line;
    std::array<std::string, 5> text;
    for (size_t i = 0; i < text.size(); i++) {
      std::istringstream in(columns[i]);
      for (uint32_t c; in >> std::hex >> c;) text[i] += EncodeUtf8(c);
    }
    for (size_t i = 0; i < text.size(); i++) {
      std::string storage;
      EXPECT_EQ(NormalizeNfc(text[i], storage), text[i < 3 ? 1 : 3]) << line;
    }
    checked++;
  }
  EXPECT_GT(checked, 18000);
}

}  // namespace
}  // namespace bonsai::text
