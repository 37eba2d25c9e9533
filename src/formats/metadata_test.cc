#include "formats/metadata.h"

#include <gtest/gtest.h>

#include <limits>

namespace bonsai::formats {
namespace {

Value Int(ValueKind kind, int64_t v) { return {kind, ValueKind::kU32, v}; }
Value Float(ValueKind kind, double v) { return {kind, ValueKind::kU32, v}; }
Value Text(std::string s) { return {ValueKind::kString, ValueKind::kU32, std::move(s)}; }
Value List(ValueKind element, Array a) { return {ValueKind::kArray, element, std::move(a)}; }

Metadata Sample() {
  StringList strings;
  strings.Add("one"), strings.Add(""), strings.Add("three");
  Metadata m("m.gguf");
  const std::pair<const char*, Value> entries[] = {
      {"u32", Int(ValueKind::kU32, 7)},
      {"max", Int(ValueKind::kU64, 4294967295)},
      {"above", Int(ValueKind::kU64, 4294967296)},
      {"huge", Int(ValueKind::kU64, -1)},  // UINT64_MAX
      {"negative", Int(ValueKind::kI8, -1)},
      {"yes", Int(ValueKind::kBool, 1)},
      {"f32", Float(ValueKind::kF32, 0.5)},
      {"f64", Float(ValueKind::kF64, 1e39)},
      {"nan", Float(ValueKind::kF32, std::numeric_limits<double>::quiet_NaN())},
      {"text", Text("hello")},
      {"strings", List(ValueKind::kString, strings)},
      {"ints", List(ValueKind::kI32, std::vector<int64_t>{1, -2})},
      {"floats", List(ValueKind::kF32, std::vector<double>{0.5})},
  };
  for (const auto& [key, value] : entries) EXPECT_TRUE(m.Add(key, value));
  return m;
}

template <class T>
void ExpectError(const Result<T>& r, ErrorCode code, const std::string& message) {
  ASSERT_FALSE(r.ok());
  EXPECT_EQ(r.error().code(), code) << r.error().message();
  EXPECT_EQ(r.error().message(), message);
}

TEST(MetadataTest, EntriesStayInFileOrderAndAreFound) {
  const Metadata m = Sample();
  ASSERT_EQ(m.entries().size(), 13u);
  EXPECT_EQ(m.entries()[0].first, "u32");
  EXPECT_EQ(m.entries()[12].first, "floats");
  for (const auto& [key, value] : m.entries()) EXPECT_EQ(m.Find(key), &value);
  EXPECT_EQ(m.Find("absent"), nullptr);
  EXPECT_EQ(m.Find(""), nullptr);
  EXPECT_FALSE(m.Has("u3"));
}

TEST(MetadataTest, SecondKeyOfOneNameIsRefused) {
  Metadata m = Sample();
  ExpectError(m.Add("text", Text("other")), ErrorCode::kCorrupt, "m.gguf: key 'text' appears twice");
  EXPECT_EQ(m.entries().size(), 13u);
  EXPECT_EQ(*m.GetString("text"), "hello");
}

TEST(MetadataTest, GettersReturnWhatTheFileStored) {
  const Metadata m = Sample();
  EXPECT_EQ(m.GetU32("u32").value(), 7u);
  EXPECT_EQ(m.GetU32("max").value(), 4294967295u);
  EXPECT_EQ(m.GetF32("f32").value(), 0.5f);
  EXPECT_EQ(m.GetF32("negative").value(), -1.0f);
  EXPECT_EQ(m.GetF32("huge").value(), 0x1p64f);
  EXPECT_TRUE(m.GetBool("yes").value());
  EXPECT_EQ(m.GetString("text").value(), "hello");
  const StringList& strings = **m.GetStrings("strings");
  ASSERT_EQ(strings.size(), 3u);
  EXPECT_EQ(strings[0], "one");
  EXPECT_EQ(strings[1], "");
  EXPECT_EQ(strings[2], "three");
  EXPECT_EQ(**m.GetInts("ints"), (std::vector<int64_t>{1, -2}));
  EXPECT_EQ(**m.GetFloats("floats"), std::vector<double>{0.5});
}

TEST(MetadataTest, MissingKeyNamesFileAndKey) {
  const Metadata m = Sample();
  const std::string message = "m.gguf: key 'k' is missing";
  ExpectError(m.GetU32("k"), ErrorCode::kNotFound, message);
  ExpectError(m.GetF32("k"), ErrorCode::kNotFound, message);
  ExpectError(m.GetBool("k"), ErrorCode::kNotFound, message);
  ExpectError(m.GetString("k"), ErrorCode::kNotFound, message);
  ExpectError(m.GetStrings("k"), ErrorCode::kNotFound, message);
  ExpectError(m.GetInts("k"), ErrorCode::kNotFound, message);
  ExpectError(m.GetFloats("k"), ErrorCode::kNotFound, message);
}

TEST(MetadataTest, WrongKindNamesBothKinds) {
  const Metadata m = Sample();
  const auto message = [](const char* key, const char* is, const char* want) {
    return fmt::format("m.gguf: key '{}' is of kind {}, expected {}", key, is, want);
  };
  ExpectError(m.GetU32("text"), ErrorCode::kCorrupt, message("text", "string", "an integer"));
  ExpectError(m.GetU32("yes"), ErrorCode::kCorrupt, message("yes", "bool", "an integer"));
  ExpectError(m.GetU32("f32"), ErrorCode::kCorrupt, message("f32", "f32", "an integer"));
  ExpectError(m.GetF32("yes"), ErrorCode::kCorrupt, message("yes", "bool", "a number"));
  ExpectError(m.GetF32("ints"), ErrorCode::kCorrupt, message("ints", "array of i32", "a number"));
  ExpectError(m.GetBool("u32"), ErrorCode::kCorrupt, message("u32", "u32", "bool"));
  ExpectError(m.GetString("strings"), ErrorCode::kCorrupt, message("strings", "array of string", "string"));
  ExpectError(m.GetStrings("ints"), ErrorCode::kCorrupt, message("ints", "array of i32", "array of string"));
  ExpectError(m.GetInts("floats"), ErrorCode::kCorrupt, message("floats", "array of f32", "array of integers"));
  ExpectError(m.GetFloats("u32"), ErrorCode::kCorrupt, message("u32", "u32", "array of floats"));
}

TEST(MetadataTest, NumbersOutOfRangeAreCorrupt) {
  const Metadata m = Sample();
  ExpectError(m.GetU32("above"), ErrorCode::kCorrupt, "m.gguf: key 'above' is 4294967296, outside 0..4294967295");
  ExpectError(m.GetU32("negative"), ErrorCode::kCorrupt, "m.gguf: key 'negative' is -1, outside 0..4294967295");
  ExpectError(m.GetU32("huge"), ErrorCode::kCorrupt,
              "m.gguf: key 'huge' is 18446744073709551615, outside 0..4294967295");
  ExpectError(m.GetF32("f64"), ErrorCode::kCorrupt, "m.gguf: key 'f64' is 1e+39, not a finite 32-bit float");
  ExpectError(m.GetF32("nan"), ErrorCode::kCorrupt, "m.gguf: key 'nan' is nan, not a finite 32-bit float");
}

TEST(MetadataTest, FallbacksAreForAbsentKeysOnly) {
  const Metadata m = Sample();
  EXPECT_EQ(m.GetU32Or("k", 3).value(), 3u);
  EXPECT_EQ(m.GetF32Or("k", 3).value(), 3.0f);
  EXPECT_FALSE(m.GetBoolOr("k", false).value());
  EXPECT_EQ(m.GetStringOr("k", "none").value(), "none");
  EXPECT_EQ(m.GetU32Or("u32", 3).value(), 7u);
  EXPECT_EQ(m.GetF32Or("f32", 3).value(), 0.5f);
  EXPECT_TRUE(m.GetBoolOr("yes", false).value());
  EXPECT_EQ(m.GetStringOr("text", "none").value(), "hello");
  EXPECT_FALSE(m.GetU32Or("text", 3).ok());
  EXPECT_FALSE(m.GetF32Or("text", 3).ok());
  EXPECT_FALSE(m.GetBoolOr("text", true).ok());
  EXPECT_FALSE(m.GetStringOr("u32", "none").ok());
}

TEST(QuoteTest, HostileNamesStayOnOneShortLine) {
  EXPECT_EQ(Quote("blk.0.attn_q.weight"), "'blk.0.attn_q.weight'");
  EXPECT_EQ(Quote(""), "''");
  EXPECT_EQ(Quote("a\n\x1b[31m\xc3\xa9"), "'a\\x0a\\x1b[31m\\xc3\\xa9'");
  EXPECT_EQ(Quote(std::string(64, 'x')), "'" + std::string(64, 'x') + "'");
  EXPECT_EQ(Quote(std::string(65, 'x')), "'" + std::string(64, 'x') + "...'");
}

TEST(ValueKindTest, NamesFollowTheNumbersOfGguf) {
  EXPECT_EQ(ValueKindName(ValueKind{0}), "u8");
  EXPECT_EQ(ValueKindName(ValueKind{7}), "bool");
  EXPECT_EQ(ValueKindName(ValueKind{12}), "f64");
  EXPECT_EQ(ValueKindName(ValueKind{13}), "?");
}

}  // namespace
}  // namespace bonsai::formats
