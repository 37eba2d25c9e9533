// Type ids that several programs use: files of each, small and large, and files that lie.
#include "formats/gguf_types.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>

#include "base/half.h"
#include "base/rng.h"
#include "formats/gguf.h"
#include "formats/gguf_testing.h"
#include "quant/types.h"

namespace bonsai::formats {
namespace {

using testing::FileBytes;

struct TestTensor {
  uint64_t rows, cols;
};

/// Ternary weights whose scales vary as those of a model do, encoded in the format.
std::string Data(const quant::Type& type, const TestTensor& t, Rng& rng) {
  std::vector<float> w(t.rows * t.cols);
  for (size_t i = 0; i < w.size(); i += 32) {
    const double scale = 0.01 * std::exp(rng.Uniform());
    for (size_t j = i; j < i + 32; j++) w[j] = static_cast<float>(scale * (std::floor(rng.Uniform() * 3) - 1));
  }
  std::string bytes(*type.RowBytes(static_cast<int64_t>(t.cols)) * t.rows, '\0');
  type.encode(w.data(), reinterpret_cast<std::byte*>(bytes.data()), static_cast<int64_t>(w.size()));
  return bytes;
}

/// A GGUF file with these tensors ("t0", "t1", …) of one type id, and a float vector behind them.
std::string File(uint32_t id, const std::vector<std::string>& data, const std::vector<TestTensor>& tensors) {
  FileBytes f;
  f.Header(tensors.size() + 1, 0);
  uint64_t offset = 0;
  for (size_t i = 0; i < tensors.size(); i++) {
    f.Tensor("t" + std::to_string(i), {tensors[i].cols, tensors[i].rows}, id, offset);
    offset += (data[i].size() + 31) / 32 * 32;
  }
  f.Tensor("norm", {4}, testing::kF32Id, offset).Pad(32);
  for (const std::string& d : data) f.bytes += d, f.Pad(32);
  for (int i = 0; i < 4; i++) f.Put(1.0f);
  return f.bytes;
}

std::string FileOf(const quant::Type& type, uint32_t id, const std::vector<TestTensor>& tensors, uint64_t seed = 1) {
  Rng rng(seed);
  std::vector<std::string> data;
  for (const TestTensor& t : tensors) data.push_back(Data(type, t, rng));
  return File(id, data, tensors);
}

Result<std::unique_ptr<ModelFile>> Open(const std::string& bytes, const std::string& weight_type = "") {
  return OpenModel(MemorySource("x.gguf", std::as_bytes(std::span(bytes))), {.weight_type = weight_type});
}

const std::vector<TestTensor> kSmall = {{1, 256}, {3, 256}}, kLarge = {{64, 1024}, {256, 256}, {1, 2048}};

struct Colliding {
  const char* type;
  uint32_t id;
  const char* stored;
};
constexpr Colliding kColliding[] = {
    {"Q1_0_G32", 40, "withdrawn"}, {"Q2_0", 42, ""}, {"PQ2_0", 42, "legacy Prism"}, {"TQ2_0_G128", 42, "scale last"}};

TEST(GgufTypesTest, EachCollidingFormatIsRecognised) {
  for (const Colliding& c : kColliding) {
    const quant::Type* type = quant::FindByName(c.type);
    ASSERT_NE(type, nullptr) << c.type;
    for (const auto& tensors : {kSmall, kLarge}) {
      for (uint64_t seed = 1; seed <= 20; seed++) {
        const std::string bytes = FileOf(*type, c.id, tensors, seed);
        const auto file = Open(bytes);
        ASSERT_TRUE(file) << c.type << ": " << file.error().message();
        for (const TensorInfo& t : (*file)->tensors()) {
          if (t.name == "norm") continue;
          EXPECT_EQ(t.type, type) << c.type;
          EXPECT_EQ(t.stored.empty(), *c.stored == '\0') << t.stored;
          EXPECT_NE(t.stored.find(c.stored), std::string::npos) << t.stored;
        }
        // The rows are the bytes of the file.
        const TensorInfo& t = *(*file)->FindTensor("t0");
        std::vector<std::byte> row(t.bytes);
        ASSERT_TRUE((*file)->ReadRows(t, 0, t.rows(), row));
        EXPECT_EQ(std::memcmp(row.data(), bytes.data() + t.offset, row.size()), 0);
      }
    }
  }
}

TEST(GgufTypesTest, Nvfp4IsRefusedByName) {
  const auto file = Open(File(40, {std::string(36 * 4 * 64, '\1')}, {{64, 256}}));
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code(), ErrorCode::kUnsupported);
  EXPECT_NE(file.error().message().find("NVFP4"), std::string::npos) << file.error().message();
  EXPECT_NE(file.error().message().find("'t0'"), std::string::npos) << file.error().message();
}

TEST(GgufTypesTest, UndecidedNamesTheCandidatesAndTheWayOut) {
  // Zeros: every layout fits, nothing tells them apart.
  const std::vector<TestTensor> tensors = {{8, 256}};
  const std::string bytes = File(42, {std::string(16 * 34, '\0')}, tensors);
  const auto file = Open(bytes);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code(), ErrorCode::kUnsupported);
  for (const char* part : {"x.gguf", "42", "'t0'", "PQ2_0", "TQ2_0_G128", "--weight-type"})
    EXPECT_NE(file.error().message().find(part), std::string::npos) << part << ": " << file.error().message();
  for (const char* name : {"PQ2_0", "tq2_0_g128"}) {
    const auto named = Open(bytes, name);
    ASSERT_TRUE(named) << named.error().message();
    EXPECT_EQ((*named)->FindTensor("t0")->type, quant::FindByName(name));
  }
  // What was named but does not fit its room is refused, not read beyond it.
  const auto large = Open(bytes, "Q2_0");
  ASSERT_FALSE(large);
  EXPECT_NE(large.error().message().find("room"), std::string::npos) << large.error().message();
}

TEST(GgufTypesTest, RoomThatNothingFillsIsAnError) {
  const std::vector<TestTensor> tensors = {{4, 1024}};
  for (const size_t bytes : {size_t{0}, size_t{4 * 8 * 34 - 64}, size_t{4 * 16 * 18 + 32}, size_t{100000}}) {
    const auto file = Open(File(42, {std::string(bytes, '\1')}, tensors));
    ASSERT_FALSE(file) << bytes;
    EXPECT_EQ(file.error().code(), ErrorCode::kCorrupt) << file.error().message();
  }
  // Rows of 64 weights exclude groups of 128.
  const auto narrow = Open(FileOf(*quant::FindByName("Q2_0"), 42, {{8, 64}}));
  ASSERT_TRUE(narrow) << narrow.error().message();
  EXPECT_EQ((*narrow)->FindTensor("t0")->type->name, "Q2_0");
}

/// A tensor as the converter of BitNet writes it, by its description: 128 values in 32 bytes, value 32·k + p of them in
/// byte p from bit 6 − 2k on; a float behind all.
std::string I2s(const std::vector<int>& values, float scale) {
  std::string bytes(values.size() / 4, '\0');
  for (size_t i = 0; i < values.size(); i++) {
    const size_t block = i / 128, k = i % 128 / 32, p = i % 32;
    bytes[block * 32 + p] = static_cast<char>(bytes[block * 32 + p] | (values[i] + 1) << (6 - 2 * k));
  }
  bytes.append(reinterpret_cast<const char*>(&scale), sizeof scale);
  return bytes + std::string(28, '\0');
}

TEST(GgufTypesTest, I2sHasOneScaleATensor) {
  Rng rng(3);
  std::vector<int> values(5 * 256);
  for (int& v : values) v = static_cast<int>(rng.Uniform() * 3) - 1;
  // A scale that fp16 holds, so that the rows come in a format with kernels, and one that it does not.
  for (const float scale : {0.75f, 0.1f}) {
    const std::string bytes = File(36, {I2s(values, scale)}, {{5, 256}});
    const auto file = Open(bytes);
    ASSERT_TRUE(file) << file.error().message();
    const TensorInfo& t = *(*file)->FindTensor("t0");
    EXPECT_EQ(t.type->name, scale == 0.75f ? "PQ2_0" : "I2_S");
    EXPECT_NE(t.stored.find("I2_S"), std::string::npos);
    ASSERT_EQ((*file)->warnings().size(), 1u);
    EXPECT_NE((*file)->warnings()[0].find("x.gguf"), std::string::npos);
    std::vector<std::byte> rows(t.bytes / 5 * 3);
    ASSERT_TRUE((*file)->ReadRows(t, 2, 3, rows));
    std::vector<float> decoded(3 * 256);
    t.type->decode(rows.data(), decoded.data(), 3 * 256);
    for (size_t i = 0; i < decoded.size(); i++)
      ASSERT_EQ(decoded[i], scale * static_cast<float>(values[2 * 256 + i])) << i;
  }
}

/// A file of one tensor, whose rows are given three bytes at a time.
Result<std::string> Write(const quant::Type& type, const TestTensor& t, std::span<const std::byte> rows) {
  std::string out;
  const GgufFill fill = [&](size_t, const GgufSink& emit) -> Status {
    for (std::span<const std::byte> rest = rows; !rest.empty(); rest = rest.subspan(std::min<size_t>(3, rest.size())))
      BONSAI_RETURN_IF_ERROR(emit(rest.first(std::min<size_t>(3, rest.size()))));
    return {};
  };
  const std::vector<GgufTensor> tensors = {{"t0", {t.rows, t.cols}, &type}};
  BONSAI_RETURN_IF_ERROR(WriteGguf(Metadata("out"), tensors, fill, [&](std::span<const std::byte> bytes) -> Status {
    return out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size()), Status();
  }));
  EXPECT_EQ(out.size(), GgufBytes(Metadata("out"), tensors).value());
  return out;
}

TEST(GgufTypesTest, WhatIsWrittenIsRecognisedAndReadsBackTheSame) {
  const TestTensor shape = {6, 512};
  Rng rng(5);
  for (const quant::Type& type : quant::Types()) {
    if (!gguf::IsAmbiguous(type.file_id) || type.file_id == 36) continue;
    const std::string data = Data(type, shape, rng);
    const auto file_bytes = Write(type, shape, std::as_bytes(std::span(data)));
    ASSERT_TRUE(file_bytes) << file_bytes.error().message();
    const auto file = Open(*file_bytes);
    ASSERT_TRUE(file) << type.name << ": " << file.error().message();
    const TensorInfo& t = (*file)->tensors()[0];
    EXPECT_EQ(t.type, &type);
    std::string back(data.size(), '\0');
    ASSERT_TRUE((*file)->ReadRows(t, 0, t.rows(), std::as_writable_bytes(std::span(back))));
    EXPECT_EQ(back, data) << type.name;
  }
}

TEST(GgufTypesTest, I2sIsWrittenWithOneScale) {
  const quant::Type& type = *quant::FindByName("I2_S");
  std::vector<float> w(4 * 256);
  for (size_t i = 0; i < w.size(); i++) w[i] = i < 128 ? 0 : 0.1f * (static_cast<float>(i * 7 % 3) - 1);
  std::vector<std::byte> rows(8 * 36);
  type.encode(w.data(), rows.data(), 4 * 256);
  const auto bytes = Write(type, {4, 256}, rows);
  ASSERT_TRUE(bytes) << bytes.error().message();
  const auto file = Open(*bytes);
  ASSERT_TRUE(file) << file.error().message();
  const TensorInfo& t = (*file)->tensors()[0];
  std::vector<std::byte> back(t.bytes);
  ASSERT_TRUE((*file)->ReadRows(t, 0, 4, back));
  std::vector<float> decoded(w.size());
  t.type->decode(back.data(), decoded.data(), 4 * 256);
  EXPECT_EQ(decoded, w);
  // Two scales do not fit.
  for (size_t i = 512; i < w.size(); i++) w[i] *= 2;
  type.encode(w.data(), rows.data(), 4 * 256);
  const auto refused = Write(type, {4, 256}, rows);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kUnsupported);
}

TEST(GgufTypesTest, I2sWithoutANumberForAScaleIsRefused) {
  const std::vector<int> values(128, 1);
  const auto file = Open(File(36, {I2s(values, std::nanf(""))}, {{1, 128}}));
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code(), ErrorCode::kCorrupt);
  EXPECT_NE(file.error().message().find("scale"), std::string::npos) << file.error().message();
}

}  // namespace
}  // namespace bonsai::formats
