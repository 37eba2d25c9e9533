#include <gtest/gtest.h>

#include <limits>

#include "base/rng.h"
#include "formats/gguf.h"
#include "formats/gguf_testing.h"
#include "formats/gguf_types.h"

namespace bonsai::formats {
namespace {

using testing::OpenBytes;

using TensorBytes = std::vector<std::vector<std::byte>>;

GgufSink AppendTo(std::string& out) {
  return [&out](std::span<const std::byte> bytes) -> Status {
    out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  };
}

/// Gives tensor i data[i], in pieces of at most `piece` bytes.
GgufFill From(const TensorBytes& data, size_t piece) {
  return [&data, piece](size_t i, const GgufSink& emit) -> Status {
    std::span<const std::byte> rest(data[i]);
    while (!rest.empty()) {
      const size_t n = std::min(piece, rest.size());
      BONSAI_RETURN_IF_ERROR(emit(rest.first(n)));
      rest = rest.subspan(n);
    }
    return {};
  };
}

/// Random values of every kind, at the limits of each kind more often than chance has it.
class RandomFile {
 public:
  explicit RandomFile(uint64_t seed) : rng_(seed) {}

  size_t Below(size_t n) { return rng_.Next() % n; }

  int64_t Integer(ValueKind kind) {
    if (kind == ValueKind::kBool) return static_cast<int64_t>(Below(2));
    const bool is_signed =
        kind == ValueKind::kI8 || kind == ValueKind::kI16 || kind == ValueKind::kI32 || kind == ValueKind::kI64;
    const int bits = kind == ValueKind::kU8 || kind == ValueKind::kI8     ? 8
                     : kind == ValueKind::kU16 || kind == ValueKind::kI16 ? 16
                     : kind == ValueKind::kU32 || kind == ValueKind::kI32 ? 32
                                                                          : 64;
    const uint64_t ends[] = {0, uint64_t{1} << (bits - 1), (uint64_t{1} << (bits - 1)) - 1, UINT64_MAX};
    const uint64_t raw = Below(2) == 0 ? ends[Below(4)] : rng_.Next();
    const uint64_t top = raw << (64 - bits);  // the low bits, moved to the top, then back with or without the sign
    return is_signed ? static_cast<int64_t>(top) >> (64 - bits) : static_cast<int64_t>(top >> (64 - bits));
  }

  double Float(ValueKind kind) {
    const double specials[] = {0.0, -0.0, std::numeric_limits<double>::infinity(), 1e-45, 3.4028234e38};
    const double value = Below(4) == 0 ? specials[Below(5)] : (rng_.Uniform() - 0.5) * 1e6;
    return kind == ValueKind::kF32 ? static_cast<double>(static_cast<float>(value)) : value;
  }

  std::string Text() {
    std::string s(Below(3) == 0 ? 0 : Below(40), '\0');
    for (char& c : s) c = static_cast<char>(rng_.Next());
    return s;
  }

  Array Elements(ValueKind kind) {
    const size_t n = Below(5) == 0 ? 0 : Below(6000);  // more than one piece of 4096
    if (kind == ValueKind::kString) {
      StringList strings;
      for (size_t i = 0; i < n; i++) strings.Add(Text());
      return strings;
    }
    if (IsFloat(kind)) {
      std::vector<double> v(n);
      for (double& d : v) d = Float(kind);
      return v;
    }
    std::vector<int64_t> v(n);
    for (int64_t& i : v) i = Integer(kind);
    return v;
  }

  Value Make(ValueKind kind, ValueKind element) {
    if (kind == ValueKind::kArray) return {kind, element, Elements(element)};
    if (kind == ValueKind::kString) return {kind, ValueKind::kU32, Text()};
    if (IsFloat(kind)) return {kind, ValueKind::kU32, Float(kind)};
    return {kind, ValueKind::kU32, Integer(kind)};
  }

  GgufTensor Tensor(const std::string& name) {
    // Ids that several formats share need real weights: gguf_types_test has them.
    const auto types = quant::Types();
    GgufTensor t{name, {}, &types[Below(types.size())]};
    while (gguf::IsAmbiguous(t.type->file_id)) t.type = &types[Below(types.size())];
    for (size_t d = Below(4); d > 0; d--) t.shape.push_back(1 + Below(4));
    t.shape.push_back(static_cast<uint64_t>(t.type->block_weights) * (1 + Below(9)));
    return t;
  }

  std::vector<std::byte> Bytes(size_t n) {
    std::vector<std::byte> out(n);
    for (std::byte& b : out) b = static_cast<std::byte>(rng_.Next());
    return out;
  }

 private:
  static bool IsFloat(ValueKind kind) { return kind == ValueKind::kF32 || kind == ValueKind::kF64; }
  Rng rng_;
};

uint64_t BytesOf(const GgufTensor& t) {
  uint64_t n = 1;
  for (const uint64_t d : t.shape) n *= d;
  return n / static_cast<uint64_t>(t.type->block_weights) * static_cast<uint64_t>(t.type->block_bytes);
}

void ExpectSame(const Metadata& a, const Metadata& b) {
  ASSERT_EQ(a.entries().size(), b.entries().size());
  for (size_t i = 0; i < a.entries().size(); i++) EXPECT_TRUE(a.entries()[i] == b.entries()[i]) << a.entries()[i].first;
}

TEST(GgufWriterTest, WhatIsWrittenReadsBackTheSame) {
  for (uint64_t seed = 0; seed < 40; seed++) {
    RandomFile random(seed);
    Metadata metadata("test");
    const uint64_t alignment = uint64_t{8} << random.Below(8);
    if (seed % 4 != 0) {
      const Value value{ValueKind::kU32, ValueKind::kU32, static_cast<int64_t>(alignment)};
      ASSERT_TRUE(metadata.Add("general.alignment", value));
    }
    for (uint32_t kind = 0; kind <= 12; kind++) {
      for (uint32_t element = 0; element <= 12; element++) {
        const bool is_array = ValueKind{kind} == ValueKind::kArray;
        if (is_array ? ValueKind{element} == ValueKind::kArray : element > 1) continue;
        const std::string key = fmt::format("k.{}.{}", kind, element);
        ASSERT_TRUE(metadata.Add(key, random.Make(ValueKind{kind}, ValueKind{element})));
      }
    }
    std::vector<GgufTensor> tensors;
    TensorBytes data;
    for (size_t i = random.Below(8); i > 0; i--) {
      tensors.push_back(random.Tensor(fmt::format("blk.{}.weight", i)));
      data.push_back(random.Bytes(BytesOf(tensors.back())));
    }
    std::string bytes;
    const Status written = WriteGguf(metadata, tensors, From(data, 1 + random.Below(70000)), AppendTo(bytes));
    ASSERT_TRUE(written.ok()) << written.error().message();

    const auto file = OpenBytes(bytes);
    ASSERT_TRUE(file.ok()) << file.error().message();
    EXPECT_EQ((*file)->container(), "GGUF v3");
    ExpectSame((*file)->metadata(), metadata);
    ASSERT_EQ((*file)->tensors().size(), tensors.size());
    for (size_t i = 0; i < tensors.size(); i++) {
      const TensorInfo& t = (*file)->tensors()[i];
      EXPECT_EQ(t.name, tensors[i].name);
      EXPECT_EQ(t.shape, tensors[i].shape);
      EXPECT_EQ(t.type, tensors[i].type);
      EXPECT_EQ(t.offset % (seed % 4 != 0 ? alignment : 32), 0u);
      std::vector<std::byte> read(t.bytes);
      ASSERT_TRUE((*file)->ReadRows(t, 0, t.rows(), read));
      EXPECT_EQ(read, data[i]);
    }
    EXPECT_EQ(bytes.size() % (tensors.empty() ? 1 : 8), 0u);  // the last tensor is padded, too
  }
}

TEST(GgufWriterTest, HandBuiltFileIsReproducedByteForByte) {
  const std::string original = testing::SmallFile().Pad(64).bytes;
  const auto file = OpenBytes(original).value();
  std::vector<GgufTensor> tensors;
  TensorBytes data;
  for (const TensorInfo& t : file->tensors()) {
    tensors.push_back({t.name, t.shape, t.type});
    data.emplace_back(t.bytes);
    ASSERT_TRUE(file->ReadRows(t, 0, t.rows(), data.back()));
  }
  std::string bytes;
  ASSERT_TRUE(WriteGguf(file->metadata(), tensors, From(data, 7), AppendTo(bytes)));
  EXPECT_EQ(bytes, original);
}

/// Writes one tensor "t" of 8 floats and the given metadata; returns the message of the refusal.
std::string RefusalOf(const Metadata& metadata, const GgufTensor& tensor, size_t given = 32) {
  std::string bytes;
  const TensorBytes data{std::vector<std::byte>(given)};
  const Status status = WriteGguf(metadata, {tensor}, From(data, 16), AppendTo(bytes));
  if (status.ok()) return "written";
  EXPECT_EQ(status.error().code(), ErrorCode::kInvalidArgument);
  return status.error().message();
}

TEST(GgufWriterTest, BadTensorsAreRefusedByName) {
  const quant::Type *f32 = quant::FindByName("F32"), *q1 = quant::FindByName("Q1_0");
  const Metadata none("out.gguf");
  EXPECT_EQ(RefusalOf(none, {"t", {8}, f32}), "written");
  EXPECT_EQ(RefusalOf(none, {"t", {8}, nullptr}), "out.gguf: tensor 't' has no type");
  EXPECT_EQ(RefusalOf(none, {"t", {}, f32}), "out.gguf: tensor 't' has 0 dimensions, expected 1 to 4");
  EXPECT_EQ(RefusalOf(none, {"t", {1, 1, 1, 1, 8}, f32}), "out.gguf: tensor 't' has 5 dimensions, expected 1 to 4");
  EXPECT_EQ(RefusalOf(none, {"t", {0, 8}, f32}), "out.gguf: tensor 't' has a dimension of 0");
  EXPECT_EQ(RefusalOf(none, {"t", {64}, q1}),
            "out.gguf: tensor 't' has rows of 64 weights, not whole blocks of type Q1_0 (128 weights each)");
  EXPECT_EQ(RefusalOf(none, {"", {8}, f32}), "out.gguf: tensor '' is empty");
  EXPECT_EQ(RefusalOf(none, {"\n", {8}, f32}), "out.gguf: tensor '\\x0a' has a control character");
  EXPECT_EQ(RefusalOf(none, {"t", {8}, f32}, 31), "tensor 't': fewer than its 32 bytes were given");
  EXPECT_EQ(RefusalOf(none, {"t", {8}, f32}, 33), "tensor 't': more than its 32 bytes were given");
  std::string bytes;
  const Status twice = WriteGguf(none, {{"t", {8}, f32}, {"t", {8}, f32}}, {}, AppendTo(bytes));
  ASSERT_FALSE(twice.ok());
  EXPECT_EQ(twice.error().message(), "out.gguf: tensor 't' is given twice");
  EXPECT_TRUE(bytes.empty()) << "checked before anything is written";
}

TEST(GgufWriterTest, ValuesThatDoNotFitTheirKindAreRefusedByKey) {
  const GgufTensor tensor{"t", {8}, quant::FindByName("F32")};
  const auto array = [](ValueKind element, Array a) { return Value{ValueKind::kArray, element, std::move(a)}; };
  const Value bad[] = {
      {ValueKind::kU8, ValueKind::kU32, 256},
      {ValueKind::kU8, ValueKind::kU32, -1},
      {ValueKind::kI8, ValueKind::kU32, 128},
      {ValueKind::kU32, ValueKind::kU32, int64_t{1} << 32},
      {ValueKind::kBool, ValueKind::kU32, 2},
      {ValueKind::kU32, ValueKind::kU32, 1.0},
      {ValueKind::kF32, ValueKind::kU32, 1},
      {ValueKind::kF32, ValueKind::kU32, 1e39},
      {ValueKind::kString, ValueKind::kU32, 1},
      {ValueKind::kU32, ValueKind::kU32, std::string("1")},
      {ValueKind::kArray, ValueKind::kU32, 1},
      {ValueKind{13}, ValueKind::kU32, 1},
      {ValueKind::kU32, ValueKind::kU32, Array(std::vector<int64_t>{1})},
      array(ValueKind::kU8, std::vector<int64_t>{1, 256}),
      array(ValueKind::kArray, std::vector<int64_t>{}),
      array(ValueKind::kF32, std::vector<int64_t>{}),
      array(ValueKind::kI32, std::vector<double>{}),
      array(ValueKind::kString, std::vector<int64_t>{}),
      array(ValueKind::kU8, StringList()),
  };
  for (const Value& value : bad) {
    Metadata metadata("out.gguf");
    ASSERT_TRUE(metadata.Add("k", value));
    EXPECT_EQ(RefusalOf(metadata, tensor),
              fmt::format("out.gguf: key 'k': its value does not fit its kind {}", ValueKindName(value.kind)));
  }
  Metadata alignment("out.gguf");
  ASSERT_TRUE(alignment.Add("general.alignment", {ValueKind::kU32, ValueKind::kU32, 48}));
  EXPECT_EQ(RefusalOf(alignment, tensor), "out.gguf: key 'general.alignment' is not a power of two from 8 to 1048576");
  Metadata name("out.gguf");
  ASSERT_TRUE(name.Add("\xff", {ValueKind::kU32, ValueKind::kU32, 1}));
  EXPECT_EQ(RefusalOf(name, tensor), "out.gguf: key '\\xff' is not UTF-8");
}

TEST(GgufWriterTest, ErrorsOfSinkAndFillComeBack) {
  const Metadata none("out.gguf");
  const std::vector<GgufTensor> tensors{{"t", {1 << 16}, quant::FindByName("F32")}};
  const TensorBytes data{std::vector<std::byte>(4 << 16)};
  size_t accepted = 0;
  const GgufSink full = [&](std::span<const std::byte> bytes) -> Status {
    if (accepted + bytes.size() > 100000) return Error(ErrorCode::kIo, "disk full");
    accepted += bytes.size();
    return {};
  };
  const Status status = WriteGguf(none, tensors, From(data, 1000), full);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message(), "disk full");
  std::string bytes;
  const GgufFill broken = [](size_t, const GgufSink&) -> Status { return Error(ErrorCode::kCancelled, "stopped"); };
  const Status cancelled = WriteGguf(none, tensors, broken, AppendTo(bytes));
  ASSERT_FALSE(cancelled.ok());
  EXPECT_EQ(cancelled.error().code(), ErrorCode::kCancelled);
}

}  // namespace
}  // namespace bonsai::formats
