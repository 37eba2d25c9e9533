#include <gtest/gtest.h>

#include "formats/gguf.h"
#include "formats/gguf_testing.h"

namespace bonsai::formats {
namespace {

using testing::FileBytes;
using testing::kF32Id;
using testing::kQ1Id;
using testing::OpenBytes;
using testing::SmallFile;

/// The bytes of a value as they replace a field.
template <class T>
std::string Raw(T value) {
  return FileBytes().Put(value).bytes;
}

/// Expects an error of this code whose message begins "small.gguf: WHERE (byte AT): " and contains `why`.
void ExpectFailure(const std::string& bytes, ErrorCode code, const std::string& where, size_t at,
                   const std::string& why) {
  const auto file = OpenBytes(bytes);
  ASSERT_FALSE(file.ok()) << "expected: " << why;
  const std::string& message = file.error().message();
  EXPECT_EQ(file.error().code(), code) << message;
  EXPECT_TRUE(message.starts_with(fmt::format("small.gguf: {} (byte {}): ", where, at))) << message << "\n" << where;
  EXPECT_NE(message.find(why), std::string::npos) << message << "\nexpected: " << why;
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

TEST(GgufReaderTest, ReadsEveryField) {
  for (const uint32_t version : {2u, 3u}) {
    const FileBytes bytes = SmallFile(version);
    const auto opened = OpenBytes(bytes.bytes);
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    const ModelFile& file = **opened;
    EXPECT_EQ(file.name(), "small.gguf");
    EXPECT_EQ(file.container(), fmt::format("GGUF v{}", version));
    const auto expect = [&](const char* key, ValueKind kind, decltype(Value::data) data) {
      const Value* v = file.metadata().Find(key);
      ASSERT_NE(v, nullptr) << key;
      EXPECT_EQ(v->kind, kind) << key;
      EXPECT_EQ(v->data, data) << key;
    };
    expect("general.alignment", ValueKind::kU32, 64);
    expect("a.u8", ValueKind::kU8, 200);
    expect("a.i8", ValueKind::kI8, -5);
    expect("a.u16", ValueKind::kU16, 65535);
    expect("a.i16", ValueKind::kI16, -300);
    expect("a.i32", ValueKind::kI32, -70000);
    expect("a.f32", ValueKind::kF32, 1.5);
    expect("a.bool", ValueKind::kBool, 1);
    expect("a.string", ValueKind::kString, std::string("qwen3"));
    expect("a.u64", ValueKind::kU64, -1);  // UINT64_MAX, its bits kept
    expect("a.i64", ValueKind::kI64, int64_t{-1} << 40);
    expect("a.f64", ValueKind::kF64, -0.1);
    expect("a.bools", ValueKind::kArray, Array(std::vector<int64_t>{1, 0, 1}));
    expect("a.floats", ValueKind::kArray, Array(std::vector<double>{0.25, -2}));
    EXPECT_EQ(file.metadata().Find("a.bools")->element, ValueKind::kBool);
    EXPECT_EQ(file.metadata().Find("a.strings")->element, ValueKind::kString);
    const StringList& strings = **file.metadata().GetStrings("a.strings");
    ASSERT_EQ(strings.size(), 3u);
    EXPECT_EQ(strings[0], "x");
    EXPECT_EQ(strings[1], "");
    EXPECT_EQ(strings[2], "\xff\n");
    EXPECT_EQ(file.metadata().entries().size(), 16u);
    EXPECT_EQ(file.metadata().entries()[8].first, "a.string");

    ASSERT_EQ(file.tensors().size(), 2u);
    const TensorInfo &w = file.tensors()[0], &n = file.tensors()[1];
    EXPECT_EQ(w.name, "w");
    EXPECT_EQ(w.shape, (std::vector<uint64_t>{3, 128}));  // slowest first here, fastest first in the file
    EXPECT_EQ(w.type->name, "Q1_0");
    EXPECT_EQ(w.offset, bytes.at.at("data"));
    EXPECT_EQ(w.bytes, 54u);
    EXPECT_EQ(n.shape, std::vector<uint64_t>{4});
    EXPECT_EQ(n.type->name, "F32");
    EXPECT_EQ(n.offset, bytes.at.at("data") + 64);
    EXPECT_EQ(n.bytes, 16u);
    EXPECT_EQ(n.offset + n.bytes, bytes.bytes.size());
  }
}

TEST(GgufReaderTest, FileWithoutKeysOrTensorsIsValid) {
  const std::string bytes = FileBytes().Header(0, 0).bytes;
  const auto file = OpenBytes(bytes);
  ASSERT_TRUE(file.ok()) << file.error().message();
  EXPECT_TRUE((*file)->tensors().empty());
  EXPECT_TRUE((*file)->metadata().entries().empty());
}

/// One field of SmallFile() replaced by other bytes of the same length.
struct Corruption {
  std::string field;
  std::string with;
  ErrorCode code;
  std::string where;     // what the message says it is about
  std::string reported;  // the field whose byte it names
  std::string why;
  size_t add = 0;  // bytes after the start of `reported`
};

const Corruption kCorruptions[] = {
    {"version", Raw(1u), ErrorCode::kUnsupported, "header", "version", "version 1"},
    {"version", Raw(0u), ErrorCode::kUnsupported, "header", "version", "version 0"},
    {"version", Raw(4u), ErrorCode::kUnsupported, "header", "version", "version 4"},
    {"version", Raw(3u << 24), ErrorCode::kUnsupported, "header", "version", "big-endian"},
    {"tensors", Raw(UINT64_MAX), ErrorCode::kCorrupt, "header", "tensors", "tensor count 18446744073709551615"},
    {"tensors", Raw(uint64_t{100}), ErrorCode::kCorrupt, "header", "tensors", "tensor count 100"},
    {"keys", Raw(uint64_t{1} << 60), ErrorCode::kCorrupt, "header", "keys", "key count 1152921504606846976"},
    {"keys", Raw(uint64_t{80}), ErrorCode::kCorrupt, "header", "keys", "key count 80"},
    {"keys", Raw(uint64_t{17}), ErrorCode::kCorrupt, "tensor 1 of 2", "w.dim0", "more than 1024", 2},
    {"keys", Raw(uint64_t{15}), ErrorCode::kCorrupt, "tensor 'split.count'", "split.count.kind", "2^63 - 1"},

    {"a.u8.key", Raw(UINT64_MAX), ErrorCode::kCorrupt, "key 2 of 16", "a.u8.key", "its name has 18446744073709551615"},
    {"a.u8.key", Raw(uint64_t{65536}), ErrorCode::kCorrupt, "key 2 of 16", "a.u8.key", "more than 65535"},
    {"a.u8.key", Raw(uint64_t{65535}), ErrorCode::kCorrupt, "key 2 of 16", "a.u8.key", "the file ends", 8},
    {"a.u8.key", Raw(uint64_t{0}), ErrorCode::kCorrupt, "key ''", "a.u8.key", "is empty", 8},
    {"a.u8.key",
     Raw(uint64_t{4}) + "a.\xff"
                        "8",
     ErrorCode::kCorrupt, "key 'a.\\xff8'", "a.u8.key", "UTF-8", 8},
    {"a.u8.key", Raw(uint64_t{4}) + "a.\n8", ErrorCode::kCorrupt, "key 'a.\\x0a8'", "a.u8.key", "control", 8},
    {"a.i8.key", Raw(uint64_t{4}) + "a.u8", ErrorCode::kCorrupt, "key 'a.u8'", "a.i8.key", "appears twice"},

    {"a.u8.kind", Raw(13u), ErrorCode::kCorrupt, "key 'a.u8'", "a.u8.kind", "unknown value kind 13"},
    {"a.u8.kind", Raw(UINT32_MAX), ErrorCode::kCorrupt, "key 'a.u8'", "a.u8.kind", "unknown value kind 4294967295"},
    {"a.bool", Raw(uint8_t{2}), ErrorCode::kCorrupt, "key 'a.bool'", "a.bool", "a bool is 2"},
    {"a.string", Raw(UINT64_MAX), ErrorCode::kCorrupt, "key 'a.string'", "a.string", "the file ends", 8},
    {"a.string", Raw(uint64_t{4000}), ErrorCode::kCorrupt, "key 'a.string'", "a.string", "4000 x 1", 8},
    {"a.bools", Raw(9u), ErrorCode::kUnsupported, "key 'a.bools'", "a.bools", "arrays of arrays"},
    {"a.bools", Raw(77u), ErrorCode::kCorrupt, "key 'a.bools'", "a.bools", "unknown value kind 77"},
    {"a.bools.items", Raw(uint16_t{0x0201}), ErrorCode::kCorrupt, "key 'a.bools'", "a.bools.items", "bool is 2", 1},
    {"a.bools.count", Raw(uint64_t{1} << 60), ErrorCode::kCorrupt, "key 'a.bools'", "a.bools.items", "the file ends"},
    {"a.floats.count", Raw(uint64_t{1} << 62), ErrorCode::kCorrupt, "key 'a.floats'", "a.floats.items", "file ends"},
    {"a.strings.count", Raw(uint64_t{1} << 61), ErrorCode::kCorrupt, "key 'a.strings'", "a.strings.items", "file ends"},
    {"a.strings.items", Raw(uint64_t{9999}), ErrorCode::kCorrupt, "key 'a.strings'", "a.strings.items", "9999", 8},

    {"general.alignment", Raw(0u), ErrorCode::kCorrupt, "key 'general.alignment'", "general.alignment.kind", "power"},
    {"general.alignment", Raw(33u), ErrorCode::kCorrupt, "key 'general.alignment'", "general.alignment.kind", "power"},
    {"general.alignment", Raw(4u), ErrorCode::kCorrupt, "key 'general.alignment'", "general.alignment.kind", "power"},
    {"general.alignment", Raw(1u << 21), ErrorCode::kCorrupt, "key 'general.alignment'", "general.alignment.kind",
     "power of two from 8 to 1048576"},
    {"general.alignment.kind", Raw(6u), ErrorCode::kCorrupt, "key 'general.alignment'", "general.alignment.kind",
     "power"},
    {"general.alignment", Raw(128u), ErrorCode::kCorrupt, "tensor 'n'", "n.offset", "alignment 128"},
    {"split.count", Raw(uint16_t{3}), ErrorCode::kUnsupported, "key 'split.count'", "split.count.kind", "file 1 of 3"},

    {"w.name", Raw(UINT64_MAX), ErrorCode::kCorrupt, "tensor 1 of 2", "w.name", "more than 1024"},
    {"w.name", Raw(uint64_t{1024}), ErrorCode::kCorrupt, "tensor 1 of 2", "w.name", "the file ends", 8},
    {"w.name", Raw(uint64_t{1}) + "\xff", ErrorCode::kCorrupt, "tensor '\\xff'", "w.name", "UTF-8", 8},
    {"w.name", Raw(uint64_t{1}) + "\x7f", ErrorCode::kCorrupt, "tensor '\\x7f'", "w.name", "control", 8},
    {"n.name", Raw(uint64_t{1}) + "w", ErrorCode::kCorrupt, "tensor 'w'", "n.name", "appears twice"},
    {"w.dims", Raw(0u), ErrorCode::kCorrupt, "tensor 'w'", "w.dims", "0 dimensions"},
    {"w.dims", Raw(5u), ErrorCode::kCorrupt, "tensor 'w'", "w.dims", "5 dimensions"},
    {"w.dims", Raw(UINT32_MAX), ErrorCode::kCorrupt, "tensor 'w'", "w.dims", "4294967295 dimensions"},
    {"w.dim0", Raw(uint64_t{0}), ErrorCode::kCorrupt, "tensor 'w'", "w.dims", "a dimension of 0"},
    {"w.dim1", Raw(uint64_t{0}), ErrorCode::kCorrupt, "tensor 'w'", "w.dims", "a dimension of 0"},
    {"w.dim0", Raw(uint64_t{129}), ErrorCode::kCorrupt, "tensor 'w'", "w.dims", "rows of 129 weights"},
    {"w.dim0", Raw(uint64_t{129}), ErrorCode::kCorrupt, "tensor 'w'", "w.dims", "type Q1_0 (128 weights each)"},
    {"w.dim0", Raw(UINT64_MAX - 127), ErrorCode::kCorrupt, "tensor 'w'", "w.dims", "more than 2^63 - 1 weights"},
    {"w.dim1", Raw(UINT64_MAX / 128), ErrorCode::kCorrupt, "tensor 'w'", "w.dims", "more than 2^63 - 1 weights"},
    {"n.dim0", Raw(uint64_t{1} << 62), ErrorCode::kCorrupt, "tensor 'n'", "n.dims", "overflows"},
    {"w.dim1", Raw(uint64_t{4}), ErrorCode::kCorrupt, "tensor 'n'", "n.name", "overlap tensor 'w'"},
    {"w.dim1", Raw(uint64_t{1} << 50), ErrorCode::kCorrupt, "tensor 'w'", "w.name", "beyond the end of the file"},
    {"n.dim0", Raw(uint64_t{5}), ErrorCode::kCorrupt, "tensor 'n'", "n.name", "beyond the end of the file"},
    {"w.type", Raw(12u), ErrorCode::kUnsupported, "tensor 'w'", "w.type", "weight type 12 (Q4_K) is not supported"},
    {"w.type", Raw(9999u), ErrorCode::kUnsupported, "tensor 'w'", "w.type", "weight type 9999 (unknown)"},
    {"w.type", Raw(8u), ErrorCode::kCorrupt, "tensor 'w'", "w.name", "its 408 bytes"},  // Q8_0: 3 rows of 136
    {"n.offset", Raw(uint64_t{1}), ErrorCode::kCorrupt, "tensor 'n'", "n.offset", "not a multiple of the alignment 64"},
    {"n.offset", Raw(uint64_t{0}), ErrorCode::kCorrupt, "tensor 'n'", "n.name", "overlap tensor 'w'"},
    {"n.offset", Raw(uint64_t{128}), ErrorCode::kCorrupt, "tensor 'n'", "n.name", "beyond the end of the file"},
    {"n.offset", Raw(UINT64_MAX - 63), ErrorCode::kCorrupt, "tensor 'n'", "n.name", "beyond the end of the file"},
};

TEST(GgufReaderTest, EveryCorruptedFieldIsNamed) {
  const FileBytes valid = SmallFile();
  for (const Corruption& c : kCorruptions) {
    SCOPED_TRACE(c.field + ": " + c.why);
    std::string bytes = valid.bytes;
    bytes.replace(valid.at.at(c.field), c.with.size(), c.with);
    ASSERT_EQ(bytes.size(), valid.bytes.size());
    ExpectFailure(bytes, c.code, c.where, valid.at.at(c.reported) + c.add, c.why);
  }
}

TEST(GgufReaderTest, SplitModelSaysWhichFileItIs) {
  FileBytes f;
  f.Header(0, 2).Key("split.count", ValueKind::kU16).Put(uint16_t{4});
  f.Key("split.no", ValueKind::kU16).Put(uint16_t{2});
  ExpectFailure(f.bytes, ErrorCode::kUnsupported, "key 'split.count'", f.at["split.count.kind"], "file 3 of 4");
}

TEST(GgufReaderTest, SplitCountMustBeANumber) {
  FileBytes f;
  f.Header(0, 1).Key("split.count", ValueKind::kF32).Put(2.0f);
  ExpectFailure(f.bytes, ErrorCode::kCorrupt, "key 'split.count'", f.at["split.count.kind"], "not a number of files");
}

TEST(GgufReaderTest, ManyKeysAreRefusedBeforeTheyAreRead) {
  FileBytes f;
  f.Header(0, 65537);
  f.bytes.resize(f.bytes.size() + 65537 * 14);
  ExpectFailure(f.bytes, ErrorCode::kUnsupported, "header", f.at["keys"], "65537 keys, more than 65536");
}

TEST(GgufReaderTest, OverlapsAreFoundWhateverTheOrder) {
  FileBytes f;
  f.Header(3, 0).Tensor("c", {8}, kF32Id, 64).Tensor("a", {8}, kF32Id, 32).Tensor("b", {9}, kF32Id, 0).Pad(32);
  f.bytes.resize(f.bytes.size() + 96);
  ExpectFailure(f.bytes, ErrorCode::kCorrupt, "tensor 'a'", f.at["a.name"], "overlap tensor 'b'");
}

TEST(GgufReaderTest, GapsAndAnyOrderAreFine) {
  FileBytes f;
  f.Header(2, 0).Tensor("b", {8}, kF32Id, 128).Tensor("a", {1, 2, 3, 1}, kF32Id, 0).Pad(32);
  f.bytes.resize(f.bytes.size() + 160);
  const auto file = OpenBytes(f.bytes);
  ASSERT_TRUE(file.ok()) << file.error().message();
  EXPECT_EQ((*file)->FindTensor("a")->shape, (std::vector<uint64_t>{1, 3, 2, 1}));
  EXPECT_EQ((*file)->FindTensor("a")->rows(), 6u);
  EXPECT_EQ((*file)->tensors()[0].name, "b");
}

TEST(GgufReaderTest, TruncationAtEveryByteIsAnError) {
  for (const uint32_t version : {2u, 3u}) {
    const std::string whole = SmallFile(version).bytes;
    ASSERT_TRUE(OpenBytes(whole).ok());
    for (size_t length = 0; length < whole.size(); length++) {
      // Its own allocation, so that AddressSanitizer sees a read past the end.
      const std::string cut(whole, 0, length);
      const auto file = OpenBytes(cut);
      ASSERT_FALSE(file.ok()) << length;
      EXPECT_TRUE(file.error().message().starts_with("small.gguf: ")) << file.error().message();
      EXPECT_NE(file.error().message().find("(byte "), std::string::npos) << file.error().message();
    }
  }
}

TEST(GgufReaderTest, EverySingleBitFlipIsAnErrorOrAModel) {
  const FileBytes valid = SmallFile();
  size_t models = 0, errors = 0;
  for (size_t bit = 0; bit < valid.at.at("data") * 8; bit++) {
    std::string bytes = valid.bytes;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    const auto file = OpenBytes(bytes);
    if (file.ok()) {
      EXPECT_TRUE(testing::ReadAllTensors(**file, bytes.size()).ok()) << bit;
      models++;
    } else {
      EXPECT_FALSE(file.error().message().empty());
      errors++;
    }
  }
  // Flips in names, numbers and padding leave a model; flips in counts, lengths and kinds mostly do not.
  EXPECT_GT(models, 0u);
  EXPECT_GT(errors, 0u);
}

/// Pretends to be a file of `size` bytes: `head`, then zeros. Counts what is read of it.
class CountingSource final : public ByteSource {
 public:
  struct Counter {
    uint64_t calls = 0, bytes = 0;
  };
  CountingSource(std::string head, uint64_t size, Counter& counter)
      : head_(std::move(head)), size_(size), counter_(counter) {}
  const std::string& name() const override { return name_; }
  uint64_t size() const override { return size_; }
  Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    counter_.calls++, counter_.bytes += out.size();
    if (offset > size_ || out.size() > size_ - offset) return Error(ErrorCode::kCorrupt, "outside");
    for (size_t i = 0; i < out.size(); i++)
      out[i] = offset + i < head_.size() ? static_cast<std::byte>(head_[offset + i]) : std::byte{0};
    return {};
  }

 private:
  std::string name_ = "small.gguf", head_;
  uint64_t size_;
  Counter& counter_;
};

TEST(GgufReaderTest, AbsurdClaimsAreRefusedAfterOneRead) {
  const auto array = [](ValueKind kind, uint64_t n) { return FileBytes().Header(0, 1).ArrayKey("k", kind, n).bytes; };
  const std::string claims[] = {
      array(ValueKind::kString, uint64_t{1} << 60),
      array(ValueKind::kU8, uint64_t{1} << 60),
      array(ValueKind::kF64, uint64_t{1} << 61),
      array(ValueKind::kString, uint64_t{1} << 40),  // fits the file below, not the limit of the header
      array(ValueKind::kU8, uint64_t{1} << 40),
      FileBytes().Header(0, 1).Key("k", ValueKind::kString).U64(uint64_t{1} << 40).bytes,
      FileBytes().Header(0, uint64_t{1} << 40).bytes,
      FileBytes().Header(uint64_t{1} << 60, 0).bytes,
      FileBytes().Header(uint64_t{1} << 40, 0).bytes,  // the first tensor has no name
  };
  for (const std::string& head : claims) {
    CountingSource::Counter counter;
    const auto file = OpenGguf(std::make_unique<CountingSource>(head, uint64_t{1} << 50, counter));
    ASSERT_FALSE(file.ok());
    EXPECT_NE(file.error().message().find("(byte "), std::string::npos) << file.error().message();
    EXPECT_EQ(counter.calls, 1u) << file.error().message();
    EXPECT_LE(counter.bytes, 64u << 10);
  }
}

TEST(GgufReaderTest, TensorsBeyondFourGibibytesArePlaced) {
  FileBytes f;
  const uint64_t far = uint64_t{5} << 30;
  f.Header(2, 0).Tensor("a", {uint64_t{1} << 30}, kF32Id, 0).Tensor("b", {128, 2}, kQ1Id, far).Pad(32);
  CountingSource::Counter counter;
  const uint64_t size = f.bytes.size() + far + 36;
  const auto file = OpenGguf(std::make_unique<CountingSource>(f.bytes, size, counter));
  ASSERT_TRUE(file.ok()) << file.error().message();
  EXPECT_EQ((*file)->FindTensor("a")->bytes, uint64_t{4} << 30);
  EXPECT_EQ((*file)->FindTensor("b")->offset, f.bytes.size() + far);
  EXPECT_FALSE(OpenGguf(std::make_unique<CountingSource>(f.bytes, size - 1, counter)).ok());
}

TEST(GgufReaderTest, VocabularyIsReadInLargePieces) {
  FileBytes f;
  constexpr uint64_t kTokens = 151669;
  f.Header(0, 3).ArrayKey("tokens", ValueKind::kString, kTokens);
  for (uint64_t i = 0; i < kTokens; i++) f.Str(fmt::format("token{}", i * 7919));
  f.ArrayKey("types", ValueKind::kI32, kTokens);
  for (uint64_t i = 0; i < kTokens; i++) f.Put(static_cast<int32_t>(i));
  const std::string long_string(300 << 10, 'x');  // longer than the cursor's buffer
  f.Key("long", ValueKind::kString).Str(long_string);
  CountingSource::Counter counter;
  const auto file = OpenGguf(std::make_unique<CountingSource>(f.bytes, f.bytes.size(), counter));
  ASSERT_TRUE(file.ok()) << file.error().message();
  const StringList& tokens = **(*file)->metadata().GetStrings("tokens");
  const std::vector<int64_t>& types = **(*file)->metadata().GetInts("types");
  ASSERT_EQ(tokens.size(), kTokens);
  ASSERT_EQ(types.size(), kTokens);
  for (uint64_t i = 0; i < kTokens; i++) {
    ASSERT_EQ(tokens[i], fmt::format("token{}", i * 7919));
    ASSERT_EQ(types[i], static_cast<int64_t>(i));
  }
  EXPECT_EQ((*file)->metadata().GetString("long").value(), long_string);
  // Chunks of 64 KiB; a field that straddles two of them (at most 16 KiB: 4096 numbers of 4 bytes) is read again.
  EXPECT_LE(counter.calls, f.bytes.size() / (48 << 10) + 2);
  EXPECT_LE(counter.bytes, f.bytes.size() / 3 * 4 + (64 << 10));
}

}  // namespace
}  // namespace bonsai::formats
