#include "text/tokenizer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/rng.h"
#include "base/utf8.h"
#include "text/nfc.h"
#include "text/test_tokenizer.h"

namespace bonsai::text {
namespace {

using Ids = std::vector<int32_t>;

/// The error of a vocabulary that must not load.
ErrorValue Refused(const TestVocabulary& v) {
  auto tokenizer = Tokenizer::FromMetadata(v.Build());
  EXPECT_FALSE(tokenizer.ok());
  return tokenizer.ok() ? ErrorValue(ErrorCode::kIo, "loaded") : tokenizer.error();
}

void ExpectCorrupt(const TestVocabulary& v, const std::string& part) {
  const ErrorValue e = Refused(v);
  EXPECT_EQ(e.code(), ErrorCode::kCorrupt) << e.message();
  EXPECT_NE(e.message().find(part), std::string::npos) << e.message();
}

int32_t IdOf(const TestVocabulary& v, const std::string& token) {
  return static_cast<int32_t>(std::find(v.tokens.begin(), v.tokens.end(), token) - v.tokens.begin());
}

/// Merges the way the definition reads, in quadratic time, on strings.
Ids NaiveMerge(const TestVocabulary& v, std::string_view piece) {
  std::vector<std::string> symbols;
  for (const char c : piece) symbols.push_back(Alphabet(std::string_view(&c, 1)));
  while (true) {
    size_t best = v.merges.size(), at = 0;
    for (size_t i = 0; i + 1 < symbols.size(); i++) {
      const auto it = std::find(v.merges.begin(), v.merges.end(), symbols[i] + " " + symbols[i + 1]);
      const auto rank = static_cast<size_t>(it - v.merges.begin());
      if (rank < best) best = rank, at = i;
    }
    if (best == v.merges.size()) break;
    symbols[at] += symbols[at + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  Ids ids;
  for (const std::string& s : symbols) ids.push_back(IdOf(v, s));
  return ids;
}

/// Well-formed UTF-8 of up to `length` characters, from scripts where something can go wrong.
std::string RandomText(Rng& rng, size_t length) {
  static const std::vector<std::pair<uint32_t, uint32_t>> kBlocks = {
      {0x00, 0x7f},     {0x20, 0x7e},       {0x61, 0x7a},       {0xa0, 0x17f},       {0x300, 0x345},   {0x370, 0x3ff},
      {0x400, 0x4ff},   {0x5b0, 0x5ea},     {0x900, 0x97f},     {0x9be, 0x9d7},      {0x1100, 0x11ff}, {0x2000, 0x206f},
      {0x3040, 0x30ff}, {0x4e00, 0x4e80},   {0xac00, 0xd7a3},   {0xe000, 0xe010},    {0xfb00, 0xfb4f}, {0xfe00, 0xfe0f},
      {0xfff0, 0xffff}, {0x1f300, 0x1f64f}, {0x1d15e, 0x1d164}, {0x10fff0, 0x10ffff}};
  std::string s;
  for (uint64_t n = rng.Next() % (length + 1); n > 0; n--) {
    const auto& [first, last] = kBlocks[rng.Next() % kBlocks.size()];
    s += EncodeUtf8(static_cast<uint32_t>(first + rng.Next() % (last - first + 1)));
  }
  return s;
}

std::string RandomBytes(Rng& rng, size_t length) {
  static constexpr std::string_view kLikely = "\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80\xcc\x81\xff\x80 e\n'<";
  std::string s;
  for (uint64_t n = rng.Next() % (length + 1); n > 0; n--) {
    s += rng.Next() % 2 == 0 ? kLikely[rng.Next() % kLikely.size()] : static_cast<char>(rng.Next());
  }
  return s;
}

TEST(Tokenizer, EncodesWords) {
  const TestVocabulary v = SmallVocabulary();
  const auto t = Make(v);
  EXPECT_EQ(t->Encode(""), Ids{});
  EXPECT_EQ(t->Encode("hello the"), (Ids{IdOf(v, "hello"), IdOf(v, Alphabet(" the"))}));
  EXPECT_EQ(t->Encode("e\xcc\x81"), Ids{IdOf(v, Alphabet("\xc3\xa9"))});  // NFC comes first
  EXPECT_EQ(t->vocab_size(), static_cast<int32_t>(v.tokens.size()));
  EXPECT_EQ(t->Piece(IdOf(v, Alphabet(" the"))), " the");
  EXPECT_EQ(t->Piece(-1), "");
  EXPECT_EQ(t->Piece(t->vocab_size()), "");
  EXPECT_EQ(t->Decode(Ids{-5, IdOf(v, "he"), 1 << 30}), "he");
}

TEST(Tokenizer, AgreesWithTheDefinitionOfByteMerging) {
  const TestVocabulary v = SmallVocabulary();
  const auto t = Make(v);
  Rng rng(3);
  for (int round = 0; round < 2000; round++) {
    // Letters only, so that the pre-tokenizer leaves one piece; around 48 the tokenizer changes algorithm.
    std::string s;
    for (uint64_t n = 1 + rng.Next() % 100; n > 0; n--) s += "aaaahhelllloingtr"[rng.Next() % 17];
    ASSERT_EQ(t->Encode(s), NaiveMerge(v, s)) << s;
  }
}

TEST(Tokenizer, RandomVocabulariesAgreeWithTheDefinition) {
  Rng rng(4);
  for (int round = 0; round < 100; round++) {
    TestVocabulary v;
    std::vector<std::string> made = {"a", "b", "c"};
    for (const std::string& s : made) v.Add(s);
    for (int i = 0; i < 30; i++) {
      const std::string left = made[rng.Next() % made.size()], right = made[rng.Next() % made.size()];
      if (std::find(v.merges.begin(), v.merges.end(), left + " " + right) != v.merges.end()) continue;
      const bool is_new = std::find(v.tokens.begin(), v.tokens.end(), left + right) == v.tokens.end();
      v.Merge(left, right, is_new);  // two merges may make one token, in any order of ranks
      if (is_new) made.push_back(left + right);
    }
    std::shuffle(v.merges.begin(), v.merges.end(), std::mt19937_64(static_cast<uint64_t>(round)));
    const auto t = Make(v);
    for (int i = 0; i < 50; i++) {
      std::string s;
      for (uint64_t n = 1 + rng.Next() % 80; n > 0; n--) s += "abc"[rng.Next() % 3];
      ASSERT_EQ(t->Encode(s), NaiveMerge(v, s)) << s;
    }
  }
}

// The reference merges even when the whole piece is a token (ignore_merges = false).
TEST(Tokenizer, ATokenThatNoMergeReachesIsNotUsed) {
  TestVocabulary v = SmallVocabulary();
  const int32_t id = v.Add("thing");
  const auto t = Make(v);
  EXPECT_EQ(t->Encode("thing"), (Ids{'t' - '!' + IdOf(v, "!"), IdOf(v, "h"), IdOf(v, "ing")}));
  EXPECT_EQ(t->Decode(Ids{id}), "thing");
}

TEST(Tokenizer, AddedTokensOnlyWhenAsked) {
  const TestVocabulary v = SmallVocabulary();
  const auto t = Make(v);
  const int32_t end = IdOf(v, "<|im_end|>"), think = IdOf(v, "<think>"), longer = IdOf(v, "<think>\n\xc3\xa9");
  const std::string text = "he<|im_end|><think>\n\xc3\xa9<think>\n<|im_en";
  for (const int32_t id : t->Encode(text)) EXPECT_LT(id, IdOf(v, "<|endoftext|>"));
  EXPECT_EQ(t->Decode(t->Encode(text)), text);
  const Ids ids = t->Encode(text, {.parse_special = true});
  EXPECT_EQ(Ids(ids.begin(), ids.begin() + 5), (Ids{IdOf(v, "he"), end, longer, think, IdOf(v, Alphabet("\n"))}));
  EXPECT_EQ(t->Decode(ids, true), text);
  EXPECT_EQ(t->Decode(ids), "he<think>\n\xc3\xa9<think>\n<|im_en");  // user-defined tokens are text
  // Recognised before normalisation: the decomposed é is not the token's.
  EXPECT_EQ(t->Encode("<think>\ne\xcc\x81", {.parse_special = true})[0], think);
  EXPECT_EQ(t->FindAdded("<think>"), think);
  EXPECT_EQ(t->FindAdded("<thin"), -1);
  EXPECT_EQ(t->FindAdded("he"), -1);
  EXPECT_EQ(t->FindAdded(""), -1);
}

TEST(Tokenizer, BosWhenTheFileAsks) {
  TestVocabulary v = SmallVocabulary();
  EXPECT_EQ(Make(v)->Encode("he", {.add_special = true}), Ids{IdOf(v, "he")});
  formats::Metadata m = v.Build();
  formats::Value yes;
  yes.kind = formats::ValueKind::kBool;
  yes.data = int64_t{1};
  ASSERT_TRUE(m.Add("tokenizer.ggml.add_bos_token", yes).ok());
  const auto t = Tokenizer::FromMetadata(m);
  ASSERT_TRUE(t.ok()) << t.error().message();
  EXPECT_EQ((*t)->bos(), IdOf(v, "<|endoftext|>"));
  EXPECT_EQ((*t)->Encode("he", {.add_special = true}), (Ids{(*t)->bos(), IdOf(v, "he")}));
  EXPECT_EQ((*t)->Encode("he"), Ids{IdOf(v, "he")});
}

TEST(Tokenizer, EndOfGeneration) {
  TestVocabulary v = SmallVocabulary();
  v.ids = {{"tokenizer.ggml.eot_token_id", 7}, {"tokenizer.ggml.eom_token_id", 5}};
  formats::Metadata m = v.Build();
  formats::Value list;
  list.kind = formats::ValueKind::kArray;
  list.element = formats::ValueKind::kU32;
  list.data = formats::Array(std::vector<int64_t>{9, 7});
  ASSERT_TRUE(m.Add("tokenizer.ggml.eos_token_ids", list).ok());
  const auto t = Tokenizer::FromMetadata(m);
  ASSERT_TRUE(t.ok()) << t.error().message();
  const auto eog = (*t)->EndOfGeneration();
  EXPECT_EQ(Ids(eog.begin(), eog.end()), (Ids{5, 7, 9, IdOf(v, "<|endoftext|>"), IdOf(v, "<|im_end|>")}));
  EXPECT_TRUE((*t)->IsEndOfGeneration(9));
  EXPECT_FALSE((*t)->IsEndOfGeneration(6));
  EXPECT_EQ((*t)->eos(), -1);
  EXPECT_EQ((*t)->bos(), -1);
  // A well-known name that is ordinary text does not end anything.
  TestVocabulary plain;
  plain.Add("a");
  plain.Add("<|im_end|>");
  EXPECT_TRUE(Make(plain)->EndOfGeneration().empty());
}

TEST(Tokenizer, UnsupportedIsNamed) {
  TestVocabulary v = SmallVocabulary();
  v.model = "t5";
  EXPECT_EQ(Refused(v).code(), ErrorCode::kUnsupported);
  EXPECT_EQ(Refused(v).message(),
            "test: tokenizer.ggml.model: tokenizer 't5' (SentencePiece Unigram) is not supported (supported: gpt2, "
            "byte-level BPE; llama, SentencePiece BPE)");
  v.model = "another\n";
  EXPECT_NE(Refused(v).message().find("tokenizer 'another\\x0a' is not supported"), std::string::npos);
  v = SmallVocabulary();
  v.pre = "falcon";
  EXPECT_EQ(Refused(v).code(), ErrorCode::kUnsupported);
  EXPECT_NE(Refused(v).message().find("test: tokenizer.ggml.pre: pre-tokenizer 'falcon'"), std::string::npos);
  v.pre = "";                                          // the key is absent
  EXPECT_EQ(Make(v)->Encode("e\xcc\x81").size(), 2u);  // no NFC
}

// llama-bpe: what is a token is taken as it is, texts begin with bos, nothing is normalised.
TEST(Tokenizer, Llama3) {
  TestVocabulary v = SmallVocabulary();
  const int32_t id = v.Add("thing");
  v.pre = "llama-bpe";
  const auto t = Make(v);
  EXPECT_EQ(t->Encode("thing", {.add_special = true}), (Ids{t->bos(), id}));
  EXPECT_EQ(t->Encode("e\xcc\x81").size(), 2u);
  v.flags = {{"tokenizer.ggml.add_bos_token", false}, {"tokenizer.ggml.add_eos_token", true}};
  EXPECT_EQ(Make(v)->Encode("thing", {.add_special = true}), Ids{id});  // a prompt goes on
  EXPECT_EQ(Make(v)->Encode("thing", {.add_special = true, .add_end = true}), (Ids{id, t->eos()}));
  v.ids.clear();
  ExpectCorrupt(v, "tokenizer.ggml.add_eos_token is true, but there is no eos_token_id");
}

TEST(Tokenizer, BrokenVocabulariesAreNamed) {
  const TestVocabulary good = SmallVocabulary();
  const size_t merges = good.merges.size();
  TestVocabulary v = good;
  v.Add("he");
  ExpectCorrupt(
      v, fmt::format("tokenizer.ggml.tokens[{}] repeats the token of id {}", v.tokens.size() - 1, IdOf(v, "he")));
  v = good, v.types.pop_back();
  ExpectCorrupt(v, "tokenizer.ggml.token_type has");
  v = good, v.types[3] = 7;
  ExpectCorrupt(v, "tokenizer.ggml.token_type[3] is 7");
  v = good, v.tokens.clear(), v.types.clear();
  ExpectCorrupt(v, "tokenizer.ggml.tokens has 0 entries");
  for (const char* line : {"", " ", "he", "he ", " he", "h e r", "h  e", "he zz", "zz he", "r he", "< |im_end|>"}) {
    v = good, v.merges.push_back(line);
    ExpectCorrupt(v, fmt::format("tokenizer.ggml.merges[{}]", merges));
  }
  v = good, v.merges.push_back(v.merges[4]);
  ExpectCorrupt(v, fmt::format("tokenizer.ggml.merges[{}] repeats", merges));
  // User text must not be able to merge into a control token.
  v = good, v.Add("zq", 3), v.merges.push_back("z q");
  ExpectCorrupt(v, fmt::format("tokenizer.ggml.merges[{}]", merges));
  // As an added token U+00E9 is a character; in the alphabet it is the byte E9.
  v = TestVocabulary(), v.Add("a"), v.Add(ByteChar(0xe9)), v.Add("a" + ByteChar(0xe9), 4);
  v.merges.push_back("a " + ByteChar(0xe9));
  ExpectCorrupt(v, "tokenizer.ggml.merges[0] joins");
  v = good, v.Add(std::string(257, 'x'), 4);
  ExpectCorrupt(v, "added token of 257 bytes");
  v = good, v.Add("", 3);
  ExpectCorrupt(v, "added token of 0 bytes");
  for (const char* key : {"bos", "eos", "eot", "eom", "padding", "unknown"}) {
    v = good;
    v.ids = {{fmt::format("tokenizer.ggml.{}_token_id", key), static_cast<int64_t>(v.tokens.size())}};
    ExpectCorrupt(v, v.ids[0].first);
  }
}

TEST(Tokenizer, BytesThatTheVocabularyLacks) {
  TestVocabulary v;
  const int32_t a = v.Add("a"), b = v.Add("b"), ab = v.Add("ab");
  v.merges = {"a b"};
  EXPECT_EQ(Make(v)->Encode("abxba"), (Ids{ab, b, a}));  // dropped, but nothing merges across the gap
  EXPECT_EQ(Make(v)->Encode("axb"), (Ids{a, b}));
  const int32_t unknown = v.Add("[unk]", 2);
  v.ids = {{"tokenizer.ggml.unknown_token_id", unknown}};
  EXPECT_EQ(Make(v)->Encode("axb"), (Ids{a, unknown, b}));
  const int32_t x = v.Add("<0x78>", 6);
  const auto t = Make(v);
  EXPECT_EQ(t->Encode("axyb"), (Ids{a, x, unknown, b}));
  EXPECT_EQ(t->Piece(x), "x");
  // A control token or an added é never stands in for a byte.
  v = TestVocabulary(), v.Add("a", 3), v.Add(ByteChar(0xe9), 4);
  EXPECT_EQ(Make(v)->Encode("a\xe9"), Ids{});
}

// The shape of the synthetic files of benchmarks: placeholders, few bytes, one merge, eos = bos = a normal token.
TEST(Tokenizer, PlaceholderVocabularyLoads) {
  TestVocabulary v;
  for (const char c : std::string_view("abcdefghijklmnopqrstuvwxyz0123456789.,")) v.Add(std::string(1, c));
  v.Add("ab"), v.Add("\u0120"), v.Add("\u010a");
  for (int i = 0; v.tokens.size() < 151936; i++) v.Add(fmt::format("t{}", i));
  v.merges = {"a b"};
  v.ids = {{"tokenizer.ggml.eos_token_id", 151935}, {"tokenizer.ggml.bos_token_id", 151935}};
  const auto t = Make(v);
  EXPECT_EQ(t->Decode(t->Encode("ab t1, Xyz\n")), "ab t1, yz\n");  // there is no X
  EXPECT_TRUE(t->IsEndOfGeneration(151935));
}

TEST(Tokenizer, TokensOutsideTheAlphabetDecodeAsTheyStand) {
  TestVocabulary v = SmallVocabulary();
  const int32_t id = v.Add("\xe4\xbd\xa0 raw");
  EXPECT_EQ(Make(v)->Decode(Ids{id}), "\xe4\xbd\xa0 raw");
}

TEST(Tokenizer, RandomTextDecodesToItsNfc) {
  const auto t = Make(SmallVocabulary());
  Rng rng(5);
  for (int round = 0; round < 20000; round++) {
    const std::string s = RandomText(rng, 30);
    ASSERT_TRUE(IsUtf8(s));
    std::string storage;
    ASSERT_EQ(t->Decode(t->Encode(s)), NormalizeNfc(s, storage)) << testing::PrintToString(s);
  }
}

TEST(Tokenizer, RandomBytesPassThrough) {
  const auto t = Make(SmallVocabulary());
  Rng rng(6);
  for (int round = 0; round < 20000; round++) {
    const std::string s = RandomBytes(rng, 40);
    ASSERT_EQ(t->Decode(t->Encode(s)), NormalizeNfcBytes(s)) << testing::PrintToString(s);
  }
  // Bytes that are not UTF-8 delimit pieces as well: two of FF merge, but not with what stands around them.
  const TestVocabulary v = SmallVocabulary();
  EXPECT_EQ(t->Encode("he\xff\xff"), (Ids{IdOf(v, "he"), IdOf(v, Alphabet("\xff\xff"))}));
  EXPECT_EQ(t->Encode("e\xff\xcc\x81"), (Ids{IdOf(v, "e"), IdOf(v, Alphabet("\xff")), IdOf(v, Alphabet("\xcc\x81"))}));
}

TEST(Tokenizer, AMegabyteOfOneThing) {
  const auto t = Make(SmallVocabulary());
  constexpr size_t kBytes = size_t{1} << 20;
  for (const std::string unit : {"a", " ", "\n", "1", ".", "\xcc\x81", "\xcc\x81\xcc\xa3", "\xff", "\xf0", "\xe4\xbd",
                                 "<", "<think>", "\xe2\x80\x83", "\xe1\x84\x80", "'",
                                 "\xff"
                                 "a"}) {
    std::string s;
    while (s.size() < kBytes) s += unit;
    for (const bool parse_special : {false, true}) {
      const Ids ids = t->Encode(s, {.parse_special = parse_special});
      EXPECT_TRUE(t->Decode(ids, true) == NormalizeNfcBytes(s)) << testing::PrintToString(unit);
    }
  }
  EXPECT_EQ(t->Encode(std::string(kBytes, 'a')).size(), kBytes / 8);
}

TEST(Tokenizer, ManyAddedTokensWithLongCommonPrefixes) {
  TestVocabulary v = SmallVocabulary();
  for (size_t i = 1; i <= 250; i++) v.Add(std::string(i, '<') + "!", 4);
  for (int i = 0; i < 20000; i++) v.Add(fmt::format("<|special {}|>", i), 3);
  const auto t = Make(v);
  const std::string s = std::string(size_t{1} << 18, '<') + "!<|special 19999|>";
  const Ids ids = t->Encode(s, {.parse_special = true});
  EXPECT_EQ(ids[ids.size() - 1], t->vocab_size() - 1);
  EXPECT_EQ(ids[ids.size() - 2], IdOf(v, std::string(250, '<') + "!"));
  EXPECT_EQ(t->Decode(ids, true), s);
}

TEST(Tokenizer, ThreadsAgree) {
  const auto t = Make(SmallVocabulary());
  Rng rng(7);
  std::vector<std::string> texts;
  std::vector<Ids> serial;
  for (int i = 0; i < 500; i++) {
    texts.push_back(RandomText(rng, 200));
    serial.push_back(t->Encode(texts.back(), {.parse_special = true}));
  }
  std::vector<int> same(4, 0);
  std::vector<std::thread> threads;
  for (size_t k = 0; k < same.size(); k++) {
    threads.emplace_back([&, k] {
      for (size_t i = 0; i < texts.size(); i++) same[k] += t->Encode(texts[i], {.parse_special = true}) == serial[i];
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(same, std::vector<int>(4, 500));
}

TEST(StreamDecoder, HoldsBackHalfCharacters) {
  const TestVocabulary v = SmallVocabulary();
  const auto t = Make(v);
  const auto id = [&](std::string_view bytes) { return IdOf(v, Alphabet(bytes)); };
  StreamDecoder d(*t);
  EXPECT_EQ(d.Push(id("\xf0\x9f\x98")), "");
  EXPECT_EQ(d.Push(id("\x80")), "\xf0\x9f\x98\x80");
  EXPECT_EQ(d.Push(id("\xe4\xbd")), "");
  EXPECT_EQ(d.Push(id("he")), "\xe4\xbdhe");  // it can no longer become a character
  EXPECT_EQ(d.Push(id("\x80")), "\x80");
  EXPECT_EQ(d.Push(id("\xc3")), "");
  EXPECT_EQ(d.Push(IdOf(v, "<|im_end|>")), "");
  EXPECT_EQ(d.Push(1 << 30), "");
  EXPECT_EQ(d.Finish(), "\xc3");
  EXPECT_EQ(d.Finish(), "");
  StreamDecoder special(*t, true);
  EXPECT_EQ(special.Push(IdOf(v, "<|im_end|>")), "<|im_end|>");
}

TEST(StreamDecoder, AgreesWithDecodeOnRandomTokens) {
  const auto t = Make(SmallVocabulary());
  Rng rng(8);
  for (int round = 0; round < 5000; round++) {
    const bool text = round % 2 == 0;
    Ids ids = t->Encode(text ? RandomText(rng, 20) : RandomBytes(rng, 20));
    if (round % 3 == 0) std::reverse(ids.begin(), ids.end());
    StreamDecoder d(*t);
    std::string streamed;
    for (const int32_t id : ids) {
      const std::string part = d.Push(id);
      ASSERT_TRUE(!text || round % 3 == 0 || IsUtf8(part));
      streamed += part;
    }
    ASSERT_EQ(streamed + d.Finish(), t->Decode(ids));
  }
}

}  // namespace
}  // namespace bonsai::text
