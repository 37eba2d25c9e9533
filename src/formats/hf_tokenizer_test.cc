#include "formats/hf_tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace bonsai::formats {
namespace {

using Json = nlohmann::json;
using Strings = std::vector<std::string>;
using Ints = std::vector<int64_t>;

constexpr const char* kQwenRegex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

Metadata Read(const HfTokenizerFiles& files, int64_t rows = 0) {
  Metadata m("m");
  const Status status = AddHfTokenizer(files, rows, m);
  EXPECT_TRUE(status.ok()) << status.error().message();
  return m;
}

ErrorValue Refused(const HfTokenizerFiles& files, int64_t rows = 0) {
  Metadata m("m");
  const Status status = AddHfTokenizer(files, rows, m);
  EXPECT_FALSE(status.ok());
  return status.ok() ? ErrorValue(ErrorCode::kIo, "accepted") : status.error();
}

Strings StringsOf(const Metadata& m, const std::string& key) {
  const auto list = m.GetStrings("tokenizer.ggml." + key);
  EXPECT_TRUE(list.ok()) << list.error().message();
  Strings out;
  for (size_t i = 0; list.ok() && i < (*list)->size(); i++) out.emplace_back((**list)[i]);
  return out;
}

Ints IntsOf(const Metadata& m, const std::string& key) { return **m.GetInts("tokenizer.ggml." + key); }
std::string TextOf(const Metadata& m, const std::string& key) {
  return std::string(*m.GetString("tokenizer.ggml." + key));
}
/// -1: absent.
int64_t IdOf(const Metadata& m, const std::string& key) {
  return m.Has("tokenizer.ggml." + key) ? int64_t{*m.GetU32("tokenizer.ggml." + key)} : -1;
}

Json Added(const std::string& text, int id, bool special) {
  return {{"id", id}, {"content", text}, {"special", special}, {"normalized", false}};
}

Json Split(const std::string& regex) {
  return {{"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}},
            {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
}

/// Byte-level, Qwen's: two merges, an id that nobody has (5), two added tokens.
Json QwenJson() {
  return {{"added_tokens", {Added("<|end|>", 6, true), Added("<think>", 7, false)}},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", Split(kQwenRegex)},
          {"post_processor", {{"type", "ByteLevel"}}},
          {"model",
           {{"type", "BPE"},
            {"byte_fallback", false},
            {"ignore_merges", false},
            {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}, {"\u0120", 3}, {"\u0120a", 4}}},
            {"merges", {"a b", "\u0120 a"}}}}};
}

/// SentencePiece-style, Llama 2's.
Json LlamaJson() {
  return {{"added_tokens", {Added("<unk>", 0, true), Added("<s>", 1, true), Added("</s>", 2, true)}},
          {"normalizer",
           {{"type", "Sequence"},
            {"normalizers",
             {{{"type", "Prepend"}, {"prepend", "\u2581"}},
              {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}}}}}},
          {"pre_tokenizer", nullptr},
          {"post_processor",
           {{"type", "TemplateProcessing"},
            {"single", {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}}}}}}}},
          {"model",
           {{"type", "BPE"},
            {"byte_fallback", true},
            {"unk_token", "<unk>"},
            {"vocab",
             {{"<unk>", 0},
              {"<s>", 1},
              {"</s>", 2},
              {"<0x0A>", 3},
              {"\u2581", 4},
              {"a", 5},
              {"b", 6},
              {"ab", 7},
              {"\u2581ab", 8},
              {"never", 9}}},
            {"merges", Json::array({Json::array({"a", "b"}), Json::array({"\u2581", "ab"})})}}}};
}

HfTokenizerFiles Files(const Json& tokenizer, const Json& config = nullptr) {
  HfTokenizerFiles files{.tokenizer_json = tokenizer.dump(), .name = "dir"};
  if (!config.is_null()) files.tokenizer_config_json = config.dump();
  return files;
}

TEST(HfTokenizer, ByteLevel) {
  const Metadata m = Read(Files(QwenJson(), {{"eos_token", "<|end|>"},
                                             {"pad_token", {{"content", "<|end|>"}}},
                                             {"add_bos_token", false},
                                             {"chat_template", "{{x}}"}}));
  EXPECT_EQ(TextOf(m, "model"), "gpt2");
  EXPECT_EQ(TextOf(m, "pre"), "qwen2");
  EXPECT_EQ(StringsOf(m, "tokens"), (Strings{"a", "b", "ab", "\u0120", "\u0120a", "[PAD5]", "<|end|>", "<think>"}));
  EXPECT_EQ(IntsOf(m, "token_type"), (Ints{1, 1, 1, 1, 1, 5, 3, 4}));
  EXPECT_EQ(StringsOf(m, "merges"), (Strings{"a b", "\u0120 a"}));
  EXPECT_EQ(IdOf(m, "eos_token_id"), 6);
  EXPECT_EQ(IdOf(m, "padding_token_id"), 6);
  EXPECT_EQ(IdOf(m, "bos_token_id"), -1);
  EXPECT_FALSE(*m.GetBool("tokenizer.ggml.add_bos_token"));
  EXPECT_EQ(*m.GetString("tokenizer.chat_template"), "{{x}}");
  EXPECT_FALSE(m.Has("tokenizer.ggml.scores"));
}

TEST(HfTokenizer, RowsOfTheEmbedding) {
  EXPECT_EQ(StringsOf(Read(Files(QwenJson()), 8), "tokens").size(), 8u);
  const Metadata m = Read(Files(QwenJson()), 10);
  EXPECT_EQ(StringsOf(m, "tokens")[9], "[PAD9]");
  EXPECT_EQ(IntsOf(m, "token_type")[9], 5);
  EXPECT_EQ(Refused(Files(QwenJson()), 7).message(),
            "dir/tokenizer.json: token '<think>' has id '7'; expected 0 to 6, the last row of the embedding");
  Json taken = QwenJson();  // the name of a hole may be a token
  taken["model"]["vocab"]["[PAD9]"] = 8;
  EXPECT_EQ(StringsOf(Read(Files(taken), 10), "tokens")[9], "[PAD9]_");
}

TEST(HfTokenizer, PatternsByTheirRegex) {
  Json doc = QwenJson();
  doc["normalizer"] = nullptr;
  doc["pre_tokenizer"] = Split(kLlama3Regex);
  doc["model"]["ignore_merges"] = true;
  EXPECT_EQ(TextOf(Read(Files(doc)), "pre"), "llama-bpe");
  doc["model"].erase("ignore_merges");
  EXPECT_EQ(TextOf(Read(Files(doc)), "pre"), "llama-bpe");
  doc["model"]["ignore_merges"] = false;
  EXPECT_NE(Refused(Files(doc)).message().find("model.ignore_merges = false with the pattern of llama-bpe"),
            std::string::npos);
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  doc["pre_tokenizer"] = byte_level;
  EXPECT_EQ(TextOf(Read(Files(doc)), "pre"), "gpt-2");
  doc["pre_tokenizer"] = {{"type", "Sequence"},
                          {"pretokenizers", {{{"type", "Digits"}, {"individual_digits", true}}, byte_level}}};
  EXPECT_EQ(TextOf(Read(Files(doc)), "pre"), "smollm");
  doc["pre_tokenizer"]["pretokenizers"][0]["individual_digits"] = false;
  EXPECT_NE(Refused(Files(doc)).message().find("pre-tokenizer 'Digits' + 'ByteLevel' is not supported"),
            std::string::npos);
  doc["pre_tokenizer"] = Split("\\w+\n");
  EXPECT_EQ(Refused(Files(doc)).code(), ErrorCode::kUnsupported);
  EXPECT_EQ(Refused(Files(doc)).message(),
            "dir/tokenizer.json: the splitting pattern is none of those that are known (qwen2, llama-bpe, gpt-2, "
            "smollm): \\w+?");
  doc["pre_tokenizer"] = Split(kQwenRegex);  // needs NFC
  EXPECT_NE(Refused(Files(doc)).message().find("normalizer none with the pattern of qwen2"), std::string::npos);
}

TEST(HfTokenizer, SentencePieceStyle) {
  const Metadata m = Read(Files(LlamaJson(), {{"bos_token", "<s>"}, {"eos_token", "</s>"}}));
  EXPECT_EQ(TextOf(m, "model"), "llama");
  EXPECT_EQ(IntsOf(m, "token_type"), (Ints{2, 3, 3, 6, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(**m.GetFloats("tokenizer.ggml.scores"), (std::vector<double>{0, 0, 0, 0, -2, -2, -2, 0, -1, -2}));
  EXPECT_EQ(StringsOf(m, "merges"), (Strings{"a b", "\u2581 ab"}));
  EXPECT_TRUE(*m.GetBool("tokenizer.ggml.add_space_prefix"));
  EXPECT_TRUE(*m.GetBool("tokenizer.ggml.add_bos_token"));  // by the template
  EXPECT_FALSE(*m.GetBool("tokenizer.ggml.add_eos_token"));
  EXPECT_EQ(IdOf(m, "unknown_token_id"), 0);
  EXPECT_EQ(IdOf(m, "bos_token_id"), 1);
  EXPECT_EQ(IdOf(m, "eos_token_id"), 2);
}

TEST(HfTokenizer, Metaspace) {
  Json doc = LlamaJson();
  doc["normalizer"] = nullptr;
  doc["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "first"}, {"split", false}};
  EXPECT_TRUE(*Read(Files(doc)).GetBool("tokenizer.ggml.add_space_prefix"));
  doc["pre_tokenizer"]["prepend_scheme"] = "never";
  EXPECT_FALSE(*Read(Files(doc)).GetBool("tokenizer.ggml.add_space_prefix"));
  doc["pre_tokenizer"].erase("split");  // words apart: the same, as long as no token spans two
  EXPECT_TRUE(AddHfTokenizer(Files(doc), 0, *std::make_unique<Metadata>("m")).ok());
  doc["model"]["vocab"]["a\u2581b"] = 10;
  EXPECT_NE(Refused(Files(doc)).message().find("token 10 spans words"), std::string::npos);
}

TEST(HfTokenizer, OtherModelsAreRefusedByName) {
  Json doc = LlamaJson();
  for (const char* type : {"Unigram", "WordPiece", "WordLevel"}) {
    doc["model"]["type"] = type;
    EXPECT_EQ(Refused(Files(doc)).code(), ErrorCode::kUnsupported);
    EXPECT_NE(Refused(Files(doc)).message().find(type), std::string::npos);
  }
  doc = LlamaJson();
  doc["model"]["byte_fallback"] = false;
  EXPECT_NE(Refused(Files(doc)).message().find("BPE over characters"), std::string::npos);
  doc = LlamaJson();
  doc["normalizer"] = {{"type", "NFKC"}};
  EXPECT_NE(Refused(Files(doc)).message().find("normalizer 'NFKC'"), std::string::npos);
  doc = LlamaJson();
  doc["model"]["end_of_word_suffix"] = "</w>";
  EXPECT_NE(Refused(Files(doc)).message().find("model.end_of_word_suffix '</w>'"), std::string::npos);
  EXPECT_EQ(Refused({.name = "dir"}).code(), ErrorCode::kNotFound);
}

HfTokenizerFiles SlowFiles() {
  return {.tokenizer_config_json = R"({"tokenizer_class": "Qwen2TokenizerFast", "eos_token": "<e>",
            "added_tokens_decoder": {"3": {"content": "<e>", "special": true}}})",
          .vocab_json = R"({"a": 0, "b": 1, "ab": 2})",
          .merges_txt = "#version: 0.2\na b\r\n\n",
          .added_tokens_json = R"({"<t>": 4})",
          .name = "dir"};
}

TEST(HfTokenizer, VocabAndMerges) {
  const Metadata m = Read(SlowFiles());
  EXPECT_EQ(TextOf(m, "pre"), "qwen2");
  EXPECT_EQ(StringsOf(m, "tokens"), (Strings{"a", "b", "ab", "<e>", "<t>"}));
  EXPECT_EQ(IntsOf(m, "token_type"), (Ints{1, 1, 1, 3, 4}));
  EXPECT_EQ(StringsOf(m, "merges"), Strings{"a b"});
  EXPECT_EQ(IdOf(m, "eos_token_id"), 3);
  HfTokenizerFiles files = SlowFiles();
  files.special_tokens_map_json = R"({"additional_special_tokens": ["<t>", "b"]})";
  EXPECT_EQ(IntsOf(Read(files), "token_type"), (Ints{1, 3, 1, 3, 3}));
  files.merges_txt = "a b c\n";
  EXPECT_EQ(Refused(files).message(), "dir/merges.txt: merge 0 is not two tokens with a space between them");
  files = SlowFiles();
  files.tokenizer_config_json = R"({"tokenizer_class": "LlamaTokenizer"})";
  EXPECT_NE(Refused(files).message().find("tokenizer_class 'LlamaTokenizer'"), std::string::npos);
}

TEST(HfTokenizer, SpecialIdsAndTemplates) {
  HfTokenizerFiles files =
      Files(QwenJson(),
            {{"eos_token", "<|end|>"},
             {"chat_template", {{{"name", "tool_use"}, {"template", "t"}}, {{"name", "default"}, {"template", "d"}}}}});
  files.generation_config_json = R"({"eos_token_id": [7, 6], "pad_token_id": 1, "bos_token_id": -1})";
  files.config_json = R"({"bos_token_id": 0, "pad_token_id": 2})";
  const Metadata m = Read(files);
  EXPECT_EQ(IdOf(m, "eos_token_id"), 7);
  EXPECT_EQ(IntsOf(m, "eos_token_ids"), (Ints{7, 6}));
  EXPECT_EQ(IdOf(m, "padding_token_id"), 1);
  EXPECT_EQ(IdOf(m, "bos_token_id"), 0);
  EXPECT_EQ(*m.GetString("tokenizer.chat_template"), "d");
  files.chat_template_jinja = "j";
  EXPECT_EQ(*Read(files).GetString("tokenizer.chat_template"), "j");
  files.generation_config_json = R"({"eos_token_id": 8})";
  EXPECT_EQ(Refused(files).message(),
            "dir/generation_config.json: eos_token_id is '8'; expected the id of a token, below 8");
  files.generation_config_json = std::nullopt;
  files.tokenizer_config_json = R"({"pad_token": "<nope>"})";
  EXPECT_EQ(IdOf(Read(files), "padding_token_id"), 2);  // config.json's
  files.tokenizer_config_json = R"({"eos_token": "<nope>"})";
  EXPECT_EQ(Refused(files).message(), "dir/tokenizer_config.json: eos_token is '<nope>', which is no token");
}

TEST(HfTokenizer, BrokenFilesAreNamed) {
  const auto expect = [](auto change, const std::string& part) {
    Json doc = QwenJson();
    change(doc);
    const ErrorValue e = Refused(Files(doc));
    EXPECT_EQ(e.code(), ErrorCode::kCorrupt) << e.message();
    EXPECT_NE(e.message().find("dir/tokenizer.json: " + part), std::string::npos) << e.message();
  };
  expect([](Json& d) { d["model"] = 1; }, "has no object \"model\"");
  expect([](Json& d) { d["model"]["vocab"] = Json::array(); }, "has no vocabulary");
  expect([](Json& d) { d["model"]["vocab"]["x"] = 1; }, "tokens 'b' and 'x' have the id 1");
  expect([](Json& d) { d["model"]["vocab"]["x"] = -1; }, "token 'x' has id '-1'; expected 0 to 4194303");
  expect([](Json& d) { d["model"]["vocab"]["x"] = 1.0; }, "token 'x' has id '1.0'");
  expect([](Json& d) { d["model"]["vocab"]["x"] = 1e18; }, "token 'x' has id '1e+18'");
  expect([](Json& d) { d["model"]["vocab"]["x"] = uint64_t{1} << 63; }, "token 'x' has id '9223372036854775808'");
  expect([](Json& d) { d["model"]["vocab"]["x"] = 1 << 22; }, "token 'x' has id '4194304'");
  expect([](Json& d) { d["model"]["merges"] = "a b"; }, "has no list model.merges");
  for (const Json& merge : {Json("ab"), Json("a  b"), Json(" ab"), Json("ab "), Json(7), Json::array({"a b", "c"})}) {
    expect([&](Json& d) { d["model"]["merges"] = Json::array({"a b", merge}); }, "merge 1 is not two tokens");
  }
  expect([](Json& d) { d["added_tokens"] = 3; }, "added_tokens is no list");
  expect([](Json& d) { d["added_tokens"] = {{{"id", 9}}}; }, "the added token of id '9' has no content");
  expect([](Json& d) { d["added_tokens"] = {{{"content", "x"}}}; }, "token 'x' has id 'null'");
  expect([](Json& d) { d["added_tokens"] = {Added("a", 9, true)}; }, "token 'a' has the ids 0 and 9");
  HfTokenizerFiles files = Files(QwenJson());
  files.tokenizer_json->pop_back();
  EXPECT_EQ(Refused(files).code(), ErrorCode::kCorrupt);
  EXPECT_NE(Refused(files).message().find("dir/tokenizer.json: byte "), std::string::npos);
}

/// All keys, whatever their order.
std::vector<std::pair<std::string, Value>> Sorted(const Metadata& m) {
  auto entries = m.entries();
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return entries;
}

void ExpectSameAfterWriting(const Metadata& m) {
  const auto files = WriteHfTokenizer(m);
  ASSERT_TRUE(files.ok()) << files.error().message();
  const auto before = Sorted(m), after = Sorted(Read(*files));
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); i++) {
    EXPECT_EQ(before[i].first, after[i].first);
    EXPECT_TRUE(before[i].second == after[i].second) << before[i].first;
  }
}

TEST(HfTokenizer, WritesWhatItReads) {
  const Json config = {
      {"eos_token", "<|end|>"}, {"bos_token", "<think>"}, {"add_bos_token", true}, {"chat_template", "{{x}}\n\u00e9"}};
  HfTokenizerFiles files = Files(QwenJson(), config);
  files.generation_config_json = R"({"eos_token_id": [6, 7], "pad_token_id": 3})";
  ExpectSameAfterWriting(Read(files, 10));
  Json doc = QwenJson();
  doc["normalizer"] = nullptr;
  doc["pre_tokenizer"] = Split(kLlama3Regex);
  doc["model"]["ignore_merges"] = true;
  ExpectSameAfterWriting(Read(Files(doc, config)));
  doc["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  doc["model"]["ignore_merges"] = false;
  ExpectSameAfterWriting(Read(Files(doc, config)));
  doc["pre_tokenizer"] = {{"type", "Sequence"},
                          {"pretokenizers", {{{"type", "Digits"}, {"individual_digits", true}}, doc["pre_tokenizer"]}}};
  ExpectSameAfterWriting(Read(Files(doc)));
  ExpectSameAfterWriting(Read(Files(LlamaJson(), {{"eos_token", "</s>"}, {"add_eos_token", true}})));
  doc = LlamaJson();
  doc["normalizer"]["normalizers"].erase(0);
  ExpectSameAfterWriting(Read(Files(doc), 12));
}

// Scores only, as most GGUF files have them: the merges are those that the scores imply, none of them with the
// user-defined token.
TEST(HfTokenizer, WritesMergesOfScores) {
  Metadata m("m");
  const auto add = [&](const std::string& key, ValueKind kind, auto data) {
    ASSERT_TRUE(m.Add("tokenizer.ggml." + key, {.kind = kind, .element = ValueKind::kI32, .data = std::move(data)}));
  };
  StringList tokens;
  for (const char* t : {"<unk>", "a", "b", "ab", "ba", "aba", "</s>", "bb", "bba"}) tokens.Add(t);
  add("model", ValueKind::kString, std::string("llama"));
  add("tokens", ValueKind::kArray, Array(std::move(tokens)));
  add("token_type", ValueKind::kArray, Array(Ints{2, 1, 1, 1, 1, 1, 3, 4, 1}));
  add("scores", ValueKind::kArray, Array(std::vector<double>{0, -9, -9, -2, -1, -3, 0, -4, -5}));
  add("unknown_token_id", ValueKind::kU32, int64_t{0});
  add("eos_token_id", ValueKind::kU32, int64_t{6});
  add("eot_token_id", ValueKind::kU32, int64_t{1});
  const auto files = WriteHfTokenizer(m);
  ASSERT_TRUE(files.ok()) << files.error().message();
  const Metadata back = Read(*files);
  EXPECT_EQ(StringsOf(back, "merges"), (Strings{"b a", "a b", "a ba", "ab a", "b ba"}));
  EXPECT_EQ(**back.GetFloats("tokenizer.ggml.scores"), (std::vector<double>{0, -5, -5, -1, 0, -2, 0, 0, -4}));
  EXPECT_EQ(IntsOf(back, "token_type"), (Ints{2, 1, 1, 1, 1, 1, 3, 4, 1}));
  EXPECT_EQ(IntsOf(back, "eos_token_ids"), (Ints{6, 1}));
  EXPECT_FALSE(*back.GetBool("tokenizer.ggml.add_bos_token"));  // there is none
}

TEST(HfTokenizer, WriteRefusesByName) {
  const auto error = [](const std::string& model, const std::string& pre, const std::string& token) {
    Metadata m("m");
    StringList tokens;
    tokens.Add(token);
    EXPECT_TRUE(m.Add("tokenizer.ggml.model", {.kind = ValueKind::kString, .data = model}));
    EXPECT_TRUE(m.Add("tokenizer.ggml.pre", {.kind = ValueKind::kString, .data = pre}));
    EXPECT_TRUE(m.Add("tokenizer.ggml.tokens", {.kind = ValueKind::kArray, .data = Array(std::move(tokens))}));
    const auto files = WriteHfTokenizer(m);
    EXPECT_FALSE(files.ok());
    return files.ok() ? std::string() : files.error().message();
  };
  EXPECT_EQ(error("bert", "", "a"), "m: tokenizer model 'bert' has no tokenizer.json here (gpt2 and llama have)");
  EXPECT_EQ(error("gpt2", "falcon", "a"), "m: pre-tokenizer 'falcon' has no pattern in tokenizer.json that we know");
  EXPECT_EQ(error("gpt2", "qwen2", "\xff"), "m: token 0 is not UTF-8, which JSON needs");
  EXPECT_EQ(error("gpt2", "qwen2", "a"), "m: key 'tokenizer.ggml.merges' is missing");
}

}  // namespace
}  // namespace bonsai::formats
