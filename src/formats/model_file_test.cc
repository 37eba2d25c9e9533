#include "formats/model_file.h"

#include <gtest/gtest.h>

#include "formats/gguf_testing.h"
#include "tests/support.h"

namespace bonsai::formats {
namespace {

using testing::FileBytes;
using testing::OpenBytes;
using testing::SmallFile;

std::string FailureOf(const std::string& bytes) {
  const auto file = OpenBytes(bytes);
  if (file.ok()) return "opened";
  EXPECT_EQ(file.error().code(), ErrorCode::kUnsupported);
  EXPECT_TRUE(file.error().message().starts_with("small.gguf: not a model (byte 0): it is ")) << file.error().message();
  return file.error().message();
}

TEST(OpenModelTest, ForeignFilesAreNamed) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "an empty file"},
      {"PK\x03\x04rest", "zip"},
      {"\x80\x02}q", "pickle"},
      {"\r\n<!DOCTYPE html><html>", "web page"},
      {"<HTML lang=en>", "web page"},
      {"lmgg", "GGML"},
      {"tjgg\x03", "GGML"},
      {"FUGG", "big-endian"},
      {"version https://git-lfs.github.com/spec/v1", "git lfs pull"},
      {"\x1f\x8b\x08", "gzip"},
      {" {\"a\": 1}", "JSON"},
      {std::string(100, '\0'), "zeros"},
      {"GGU", "its first bytes are 47 47 55)"},
      {"\x01\xff\x1b[31m", "its first bytes are 01 ff 1b 5b 33 31 6d)"},
  };
  for (const auto& [bytes, words] : cases) {
    const std::string message = FailureOf(bytes);
    EXPECT_NE(message.find(words), std::string::npos) << message;
    EXPECT_TRUE(message.ends_with("; supported: GGUF, safetensors")) << message;
  }
}

TEST(OpenModelTest, SafetensorsNeedTheirDirectory) {
  FileBytes f;
  f.U64(2).bytes += "{}";
  const auto file = OpenBytes(f.bytes);
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code(), ErrorCode::kUnsupported);
  EXPECT_NE(file.error().message().find("open it by its path"), std::string::npos) << file.error().message();
  FileBytes longer;
  longer.U64(3).bytes += "{}";  // three bytes promised, two there
  EXPECT_NE(FailureOf(longer.bytes).find("unknown kind"), std::string::npos);
}

TEST(ModelFileTest, ReadsAnyRows) {
  const FileBytes bytes = SmallFile();
  const auto file = OpenBytes(bytes.bytes).value();
  const TensorInfo& w = *file->FindTensor("w");
  EXPECT_EQ(w.rows(), 3u);
  EXPECT_EQ(w.cols(), 128u);
  EXPECT_EQ(w.elements(), 384u);
  for (uint64_t row = 0; row <= 3; row++) {
    for (uint64_t rows = 0; row + rows <= 3; rows++) {
      std::vector<std::byte> out(rows * 18);
      ASSERT_TRUE(file->ReadRows(w, row, rows, out));
      for (size_t i = 0; i < out.size(); i++) EXPECT_EQ(static_cast<uint64_t>(out[i]), row * 18 + i);
    }
  }
  EXPECT_EQ(file->FindTensor("absent"), nullptr);
  EXPECT_EQ(file->FindTensor(""), nullptr);
}

TEST(ModelFileTest, RowsThatDoNotExistAreRefused) {
  const FileBytes bytes = SmallFile();
  const auto file = OpenBytes(bytes.bytes).value();
  const TensorInfo& w = *file->FindTensor("w");
  std::vector<std::byte> out(54);
  const std::tuple<uint64_t, uint64_t, size_t> cases[] = {
      {0, 4, 54}, {1, 3, 54}, {4, 0, 0}, {UINT64_MAX, 2, 36}, {2, UINT64_MAX, 18}, {0, 3, 53}, {0, 0, 1},
  };
  for (const auto& [row, rows, size] : cases) {
    const Status status = file->ReadRows(w, row, rows, std::span(out).first(size));
    ASSERT_FALSE(status.ok()) << row << " " << rows;
    EXPECT_EQ(status.error().code(), ErrorCode::kInvalidArgument);
    const uint64_t byte = w.offset + std::min<uint64_t>(row, 3) * 18;
    EXPECT_TRUE(status.error().message().starts_with(fmt::format("small.gguf: tensor 'w' (byte {}): ", byte)))
        << status.error().message();
  }
}

TEST(ModelFileTest, FileThatShrinksIsAnErrorThatNamesTheTensor) {
  const test::TempDir dir;
  const std::string path = dir / "shrinks.gguf";
  std::ofstream(path, std::ios::binary) << SmallFile().bytes;
  const auto file = OpenModel(OpenFile(path).value()).value();
  const TensorInfo& n = *file->FindTensor("n");
  std::filesystem::resize_file(path, n.offset + 7);
  std::vector<std::byte> out(16);
  const Status status = file->ReadRows(n, 0, 1, out);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kCorrupt);
  const std::string& message = status.error().message();
  EXPECT_NE(message.find("tensor 'n'"), std::string::npos) << message;
  EXPECT_NE(message.find(path), std::string::npos) << message;
  EXPECT_NE(message.find(fmt::format("byte {}", n.offset + 7)), std::string::npos) << message;
}

TEST(ModelFileTest, BuiltInModelOpens) {
  const auto file = OpenModel(OpenFile(test::SourcePath("models/tiny-q1.gguf")).value()).value();
  EXPECT_EQ(file->container(), "GGUF v3");
  EXPECT_EQ(file->tensors().size(), 46u);
  EXPECT_EQ(file->metadata().entries().size(), 27u);
  const Metadata& m = file->metadata();
  EXPECT_EQ(m.GetString("general.architecture").value(), "qwen3");
  const auto width = m.GetU32("qwen3.embedding_length").value(), inner = m.GetU32("qwen3.feed_forward_length").value();
  const auto vocabulary = (*m.GetStrings("tokenizer.ggml.tokens"))->size();
  using Shape = std::vector<uint64_t>;
  EXPECT_EQ(file->FindTensor("token_embd.weight")->shape, (Shape{vocabulary, width}));
  EXPECT_EQ(file->FindTensor("output_norm.weight")->shape, Shape{width});
  EXPECT_EQ(file->FindTensor("output_norm.weight")->type->name, "F32");
  const auto layers = m.GetU32("qwen3.block_count").value();
  const auto q =
      uint64_t{m.GetU32("qwen3.attention.head_count").value()} * m.GetU32("qwen3.attention.key_length").value();
  const auto kv =
      uint64_t{m.GetU32("qwen3.attention.head_count_kv").value()} * m.GetU32("qwen3.attention.key_length").value();
  for (uint32_t i = 0; i < layers; i++) {
    const std::pair<const char*, Shape> matrices[] = {{"attn_q", {q, width}},       {"attn_k", {kv, width}},
                                                      {"attn_v", {kv, width}},      {"attn_output", {width, q}},
                                                      {"ffn_gate", {inner, width}}, {"ffn_up", {inner, width}},
                                                      {"ffn_down", {width, inner}}};
    for (const auto& [name, shape] : matrices) {
      const TensorInfo* t = file->FindTensor(fmt::format("blk.{}.{}.weight", i, name));
      ASSERT_NE(t, nullptr) << name;
      EXPECT_EQ(t->shape, shape) << name;
      EXPECT_EQ(t->type->name, "Q1_0") << name;
      EXPECT_EQ(t->bytes, t->elements() / 128 * 18) << name;
    }
  }
  EXPECT_EQ(file->tensors().size(), 2 + layers * 11);  // 7 matrices and 4 norms a layer; the head is tied
  EXPECT_TRUE(testing::ReadAllTensors(*file, 1 << 20).ok());
}

}  // namespace
}  // namespace bonsai::formats
