// Conversions over the whole registry of formats, so that a new format is tested by being registered.
#include "compress/convert.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/rng.h"
#include "compress/check.h"
#include "formats/gguf.h"
#include "quant/repack.h"
#include "tests/support.h"

namespace bonsai::compress {
namespace {

namespace fs = std::filesystem;
using formats::GgufTensor;
using formats::ModelFile;

constexpr int64_t kRows = 5, kCols = 512;

class ConvertTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const { return dir_ / name; }

  /// A file with one matrix of these floats in a format, and a vector in F16.
  std::string Write(const std::string& name, const quant::Type& type, const std::vector<float>& w) {
    const std::vector<GgufTensor> tensors = {
        {"w.weight", {static_cast<uint64_t>(kRows), static_cast<uint64_t>(kCols)}, &type},
        {"norm.weight", {8}, quant::FindByName("F16")}};
    formats::Metadata m("test");
    EXPECT_TRUE(m.Add("general.name", {.kind = formats::ValueKind::kString, .data = std::string("x")}));
    EXPECT_TRUE(m.Add("general.file_type", {.kind = formats::ValueKind::kU32, .data = int64_t{1}}));
    std::vector<std::byte> rows(*type.RowBytes(kCols) * kRows);
    // The converter of a format's own data: what its codes can hold, they hold.
    if (!quant::EncodeExactly(type, w.data(), rows.data(), kRows * kCols))
      type.encode(w.data(), rows.data(), kRows * kCols);
    const std::vector<uint16_t> norm(8, 0x3c00);
    std::ofstream out(Path(name), std::ios::binary);
    const Status status = formats::WriteGguf(
        m, tensors,
        [&](size_t i, const formats::GgufSink& emit) {
          return emit(i == 0 ? std::span<const std::byte>(rows) : std::as_bytes(std::span(norm)));
        },
        [&](std::span<const std::byte> bytes) -> Status {
          out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
          return {};
        });
    EXPECT_TRUE(status) << status.error().message();
    return Path(name);
  }

  /// Converts, checks the predicted size, and returns what was reported of the matrix.
  Result<Change> To(const std::string& in, const std::string& out, const ConvertOptions& options) {
    BONSAI_ASSIGN(const auto file, formats::OpenModelPath(in));
    BONSAI_ASSIGN(const Plan plan, PlanConversion(*file, options));
    BONSAI_ASSIGN(const Report report, Convert(*file, plan, out, {.threads = 3}));
    EXPECT_EQ(fs::file_size(out), plan.bytes);
    return report.at(0);
  }

  static std::vector<std::byte> Rows(const std::string& path, const quant::Type*& type) {
    const auto file = formats::OpenModelPath(path);
    EXPECT_TRUE(file) << file.error().message();
    const formats::TensorInfo& t = *(*file)->FindTensor("w.weight");
    type = t.type;
    std::vector<std::byte> rows(t.bytes);
    EXPECT_TRUE((*file)->ReadRows(t, 0, t.rows(), rows));
    return rows;
  }
  static std::vector<float> Floats(const std::string& path) {
    const quant::Type* type = nullptr;
    const std::vector<std::byte> rows = Rows(path, type);
    std::vector<float> w(kRows * kCols);
    type->decode(rows.data(), w.data(), kRows * kCols);
    return w;
  }

  test::TempDir dir_;
};

/// Weights that binary formats hold, or ternary ones: a scale of few bits for each 256 (for I2_S: one for all).
std::vector<float> Weights(bool zeros, bool one_scale) {
  Rng rng(7);
  std::vector<float> w(kRows * kCols);
  float d = 0;
  for (size_t i = 0; i < w.size(); i++) {
    if (i % 256 == 0 && (i == 0 || !one_scale)) d = 0.125f * static_cast<float>(1 + rng.Next() % 16);
    w[i] = d * static_cast<float>(zeros ? static_cast<int>(rng.Next() % 3) - 1 : rng.Next() % 2 == 0 ? -1 : 1);
  }
  return w;
}

TEST_F(ConvertTest, EveryPairOfFormatsIsARoundTripForDataThatBothHold) {
  int pairs = 0;
  for (const bool zeros : {false, true}) {
    for (const bool one_scale : {false, true}) {
      const std::vector<float> w = Weights(zeros, one_scale);
      std::vector<const quant::Type*> holders;
      for (const quant::Type& type : quant::Types()) {
        std::vector<std::byte> rows(*type.RowBytes(kCols) * kRows);
        if (type.name == "I2_S" && !one_scale) continue;  // a file holds one scale a tensor
        if (quant::EncodeExactly(type, w.data(), rows.data(), kRows * kCols)) holders.push_back(&type);
      }
      ASSERT_GE(holders.size(), 9u);
      for (const quant::Type* a : holders) {
        const std::string from = Write("a", *a, w);
        for (const quant::Type* b : holders) {
          const auto there = To(from, Path("b"), {.type = b});
          ASSERT_TRUE(there) << a->name << " to " << b->name << ": " << there.error().message();
          EXPECT_TRUE(there->exact) << a->name << " to " << b->name;
          EXPECT_EQ(Floats(Path("b")), w) << a->name << " to " << b->name;
          const auto back = To(Path("b"), Path("c"), {.type = a});
          ASSERT_TRUE(back) << back.error().message();
          EXPECT_TRUE(back->exact);
          const quant::Type *ta = nullptr, *tc = nullptr;
          EXPECT_EQ(Rows(from, ta), Rows(Path("c"), tc)) << a->name << " over " << b->name;
          EXPECT_EQ(ta, tc);
          pairs++;
        }
      }
    }
  }
  EXPECT_GT(pairs, 400);
}

TEST_F(ConvertTest, WhatIsLostIsMeasured) {
  Rng rng(11);
  std::vector<float> w(kRows * kCols);
  for (float& x : w) x = static_cast<float>(rng.Uniform() + rng.Uniform() + rng.Uniform() - 1.5);
  const std::string from = Write("a", *quant::FindByName("F32"), w);
  for (const quant::Type& type : quant::Types()) {
    if (type.name == "F32" || type.name == "I2_S") continue;
    for (const quant::TernaryRule rule :
         {quant::TernaryRule::kMax, quant::TernaryRule::kAbsMean, quant::TernaryRule::kLeastSquares}) {
      const auto change = To(from, Path("b"), {.type = &type, .rule = rule});
      ASSERT_TRUE(change) << type.name << change.error().message();
      EXPECT_FALSE(change->exact);
      const std::vector<float> after = Floats(Path("b"));
      double error = 0, magnitude = 0;
      uint64_t zeros = 0;
      for (size_t i = 0; i < w.size(); i++) {
        error += std::pow(double{after[i]} - w[i], 2), magnitude += std::pow(double{w[i]}, 2);
        zeros += after[i] == 0 ? 1 : 0;
      }
      // The same sums in another order: n additions of positive doubles, each off by 2^-53.
      EXPECT_NEAR(change->RelativeError(), std::sqrt(error / magnitude), 2 * kRows * kCols * 0x1p-53) << type.name;
      EXPECT_EQ(change->weights, w.size());
      if (IsTernary(type)) {
        EXPECT_EQ(change->zeros(), zeros) << type.name;
        EXPECT_EQ(change->codes[0] + change->codes[1] + change->codes[2], w.size());
      }
    }
  }
}

TEST_F(ConvertTest, LeastSquaresLosesLeast) {
  Rng rng(13);
  std::vector<float> w(kRows * kCols);
  for (float& x : w) x = static_cast<float>(rng.Uniform() + rng.Uniform() + rng.Uniform() - 1.5);
  const std::string from = Write("a", *quant::FindByName("F32"), w);
  const auto error = [&](quant::TernaryRule rule) {
    return To(from, Path("b"), {.type = quant::FindByName("PQ2_0"), .rule = rule})->RelativeError();
  };
  const double least = error(quant::TernaryRule::kLeastSquares);
  EXPECT_LT(least, error(quant::TernaryRule::kAbsMean));
  EXPECT_LT(least, error(quant::TernaryRule::kMax));
}

TEST_F(ConvertTest, VectorsBecomeFloatsAndKeysOfTheFileGo) {
  const std::string from = Write("a", *quant::FindByName("F16"), Weights(true, false));
  ASSERT_TRUE(To(from, Path("b"), {.type = quant::FindByName("TQ1_0")}));
  const auto file = formats::OpenModelPath(Path("b"));
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->FindTensor("norm.weight")->type->name, "F32");
  EXPECT_EQ((*file)->metadata().GetString("general.name").value(), "x");
  EXPECT_FALSE((*file)->metadata().Has("general.file_type"));
  EXPECT_EQ((*file)->metadata().GetU32("general.quantization_version").value(), 2u);
}

TEST_F(ConvertTest, RulesKeepTensorsAndMustMatch) {
  const std::string from = Write("a", *quant::FindByName("F16"), Weights(true, false));
  const auto file = formats::OpenModelPath(from);
  ASSERT_TRUE(file);
  const auto kept =
      PlanConversion(**file, {.type = quant::FindByName("Q1_0"),
                              .keep = {{"w*", quant::FindByName("Q8_0")}, {"*", quant::FindByName("F16")}}});
  ASSERT_TRUE(kept) << kept.error().message();
  EXPECT_EQ(kept->to[0].type->name, "Q8_0");
  EXPECT_EQ(kept->to[1].type->name, "F16");
  const auto none = PlanConversion(**file, {.keep = {{"nothing*", quant::FindByName("F16")}}});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_NE(none.error().message().find("nothing*"), std::string::npos);
  // Eight weights are no block.
  const auto narrow = PlanConversion(**file, {.keep = {{"norm*", quant::FindByName("Q1_0")}}});
  ASSERT_FALSE(narrow);
  EXPECT_NE(narrow.error().message().find("--keep 'norm.weight=F16'"), std::string::npos) << narrow.error().message();
}

TEST_F(ConvertTest, NothingIsLeftWhenItFailsOrIsCancelled) {
  std::vector<float> w(kRows * kCols, 1.0f);
  w[700] = INFINITY;
  const std::string bad = Write("bad", *quant::FindByName("F32"), w);
  const auto failed = To(bad, Path("b"), {.type = quant::FindByName("Q1_0")});
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message().find("'w.weight'"), std::string::npos) << failed.error().message();
  const auto file = formats::OpenModelPath(bad);
  ASSERT_TRUE(file);
  const auto plan = PlanConversion(**file, {});
  ASSERT_TRUE(plan);
  const auto cancelled =
      Convert(**file, *plan, Path("b"), {.threads = 2, .progress = [](uint64_t, uint64_t) { return false; }});
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code(), ErrorCode::kCancelled);
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_ / ""), fs::directory_iterator()), 1);  // "bad"
}

TEST_F(ConvertTest, ThroughDirectoriesAndBackEveryBitStays) {
  const std::string original = test::SourcePath("models/tiny-q1.gguf");
  const auto convert = [](const std::string& in, const std::string& out, const ConvertOptions& o) -> Status {
    BONSAI_ASSIGN(const auto file, formats::OpenModelPath(in));
    BONSAI_ASSIGN(const Plan plan, PlanConversion(*file, o));
    BONSAI_ASSIGN(const Report report, Convert(*file, plan, out, {.threads = 2}));
    for (const Change& c : report) EXPECT_TRUE(c.exact);
    uint64_t bytes = fs::is_directory(out) ? 0 : fs::file_size(out);
    if (fs::is_directory(out))
      for (const auto& entry : fs::directory_iterator(out)) bytes += entry.file_size();
    EXPECT_EQ(bytes, plan.bytes) << out;
    return {};
  };
  const quant::Type* q1 = quant::FindByName("Q1_0");
  ASSERT_TRUE(convert(original, Path("mlx"), {.to = Container::kMlx}));
  ASSERT_TRUE(convert(Path("mlx"), Path("floats"), {.to = Container::kSafetensors}));
  ASSERT_TRUE(convert(Path("floats"), Path("back.gguf"), {.type = q1}));
  const auto before = formats::OpenModelPath(original), after = formats::OpenModelPath(Path("back.gguf"));
  ASSERT_TRUE(before && after);
  ASSERT_EQ((*before)->tensors().size(), (*after)->tensors().size());
  for (const formats::TensorInfo& t : (*before)->tensors()) {
    const formats::TensorInfo* u = (*after)->FindTensor(t.name);
    ASSERT_NE(u, nullptr) << t.name;
    EXPECT_EQ(u->type, t.type);
    std::vector<std::byte> a(t.bytes), b(u->bytes);
    ASSERT_TRUE((*before)->ReadRows(t, 0, t.rows(), a) && (*after)->ReadRows(*u, 0, u->rows(), b));
    EXPECT_EQ(a, b) << t.name;
  }
  // A directory that is there is not touched, and what a container does not hold is refused before anything is made.
  const Status exists = convert(original, Path("mlx"), {.to = Container::kMlx});
  ASSERT_FALSE(exists);
  EXPECT_EQ(exists.error().code(), ErrorCode::kInvalidArgument);
  const Status bits = convert(original, Path("x"), {.to = Container::kSafetensors, .type = q1});
  ASSERT_FALSE(bits);
  EXPECT_NE(bits.error().message().find("--to mlx"), std::string::npos) << bits.error().message();
  const Status eight = convert(original, Path("x"), {.to = Container::kMlx, .type = quant::FindByName("Q8_0")});
  ASSERT_FALSE(eight);
  EXPECT_EQ(eight.error().code(), ErrorCode::kUnsupported);
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_ / ""), fs::directory_iterator()), 3);
}

TEST_F(ConvertTest, CheckCountsWhatIsWrong) {
  // Three blocks of Q2_0 in 5·8: a scale that is no number, a negative one, one of zeros; and a code 3.
  const quant::Type& type = *quant::FindByName("Q2_0");
  const std::string path = Write("a", type, Weights(true, true));
  std::string bytes;
  {
    std::ifstream in(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  const auto clean = formats::OpenModelPath(path);
  ASSERT_TRUE(clean);
  const auto none = CheckTensors(**clean, {.threads = 2});
  ASSERT_TRUE(none);
  for (const TensorCheck& c : *none) {
    EXPECT_FALSE(c.suspicious()) << c.Text();
    EXPECT_EQ(c.Text(), "");
  }
  const uint64_t at = (*clean)->FindTensor("w.weight")->offset;
  const auto put = [&](uint64_t block, uint16_t scale) { std::memcpy(&bytes[at + block * 18], &scale, 2); };
  put(1, 0x7e00), put(7, 0xb800), put(9, 0);
  bytes[at + 20 * 18 + 2] = static_cast<char>(bytes[at + 20 * 18 + 2] | 3);
  const auto file = formats::OpenModel(MemorySource("bad", std::as_bytes(std::span(bytes))), {.weight_type = "Q2_0"});
  ASSERT_TRUE(file) << file.error().message();
  const auto found = CheckTensors(**file, {.threads = 2});
  ASSERT_TRUE(found);
  const TensorCheck& c = found->at(0);
  EXPECT_EQ(c.blocks, static_cast<uint64_t>(kRows * kCols / 64));
  EXPECT_EQ(c.not_finite, 1u);
  EXPECT_EQ(c.negative_scales, 1u);
  EXPECT_EQ(c.zero_blocks, 1u);
  EXPECT_EQ(c.twos, 1u);
  EXPECT_TRUE(c.suspicious());
  EXPECT_NE(c.Text().find("1 of 40 scales are infinite or NaN"), std::string::npos) << c.Text();
}

}  // namespace
}  // namespace bonsai::compress
