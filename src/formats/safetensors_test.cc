#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include "formats/safetensors_testing.h"

namespace bonsai::formats::safetensors {
namespace {

using formats::testing::HeaderOf;
using formats::testing::Safetensors;
using formats::testing::SmallSafetensors;

void ExpectFailure(const std::string& bytes, ErrorCode code, const std::string& why) {
  const auto tensors = HeaderOf(bytes);
  ASSERT_FALSE(tensors.ok()) << why;
  const std::string& message = tensors.error().message();
  EXPECT_EQ(tensors.error().code(), code) << message;
  EXPECT_TRUE(message.starts_with("small.safetensors: ")) << message;
  EXPECT_NE(message.find(why), std::string::npos) << message << "\nexpected: " << why;
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

TEST(SafetensorsTest, ReadsEveryField) {
  const std::string bytes = SmallSafetensors();
  const auto tensors = HeaderOf(bytes);
  ASSERT_TRUE(tensors.ok()) << tensors.error().message();
  ASSERT_EQ(tensors->size(), 4u);
  const size_t data = bytes.size() - 21;
  const Tensor &w = (*tensors)[0], &b = (*tensors)[1], &e = (*tensors)[2], &s = (*tensors)[3];
  EXPECT_EQ(w.name, "w");
  EXPECT_EQ(w.dtype->name, "F16");
  EXPECT_EQ(w.shape, (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(w.offset, data);
  EXPECT_EQ(w.bytes, 12u);
  EXPECT_EQ(b.name, "b");
  EXPECT_EQ(b.offset, data + 12);
  EXPECT_EQ(b.bytes, 8u);
  EXPECT_EQ(e.name, "e");
  EXPECT_EQ(e.bytes, 0u);
  EXPECT_EQ(s.name, "s");
  EXPECT_TRUE(s.shape.empty());
  EXPECT_EQ(s.bytes, 1u);
}

TEST(SafetensorsTest, HeaderLengthThatCannotBe) {
  ExpectFailure("", ErrorCode::kCorrupt, "too short");
  ExpectFailure(std::string(7, '\0'), ErrorCode::kCorrupt, "too short");
  std::string bytes = SmallSafetensors();
  for (const uint64_t length : {UINT64_MAX, uint64_t{1} << 63, kMaxHeaderBytes + 1}) {
    std::memcpy(bytes.data(), &length, sizeof length);
    ExpectFailure(bytes, ErrorCode::kUnsupported, fmt::format("a header of {} bytes (byte 0)", length));
  }
  for (const uint64_t length : {kMaxHeaderBytes, bytes.size() - 7}) {
    std::memcpy(bytes.data(), &length, sizeof length);
    ExpectFailure(bytes, ErrorCode::kCorrupt, "the file is truncated");
  }
}

TEST(SafetensorsTest, HeaderThatIsNoTable) {
  for (const char* header : {"", "{", "{}x", "\xff", "nul"})
    ExpectFailure(Safetensors(header, ""), ErrorCode::kCorrupt, "header: ");
  for (const char* header : {"[]", "1", "null", "\"a\""})
    ExpectFailure(Safetensors(header, ""), ErrorCode::kCorrupt, "is no object");
  ExpectFailure(Safetensors(std::string(100000, '['), ""), ErrorCode::kCorrupt, "nested deeper than 64");
  std::string deep;
  for (int i = 0; i < 100000; i++) deep += "{\"a\":";
  ExpectFailure(Safetensors(deep, ""), ErrorCode::kCorrupt, "nested deeper than 64");
}

TEST(SafetensorsTest, EntriesThatBreakTheRules) {
  struct Case {
    const char* entry;
    ErrorCode code;
    const char* why;
  };
  const Case cases[] = {
      {R"([])", ErrorCode::kCorrupt, "not described"},
      {R"({"dtype":"U8","shape":[4]})", ErrorCode::kCorrupt, "not described"},
      {R"({"dtype":"U8","shape":[4],"data_offsets":[0,4],"x":1})", ErrorCode::kCorrupt, "not described"},
      {R"({"dtype":8,"shape":[4],"data_offsets":[0,4]})", ErrorCode::kCorrupt, "no dtype"},
      {R"({"dtype":"Q4","shape":[4],"data_offsets":[0,4]})", ErrorCode::kUnsupported, "unknown dtype 'Q4'"},
      {R"({"dtype":"U8","shape":4,"data_offsets":[0,4]})", ErrorCode::kCorrupt, "no shape"},
      {R"({"dtype":"U8","shape":[-4],"data_offsets":[0,4]})", ErrorCode::kCorrupt, "no shape"},
      {R"({"dtype":"U8","shape":[4.0],"data_offsets":[0,4]})", ErrorCode::kCorrupt, "no shape"},
      {R"({"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,4]})", ErrorCode::kCorrupt, "no shape"},
      {R"({"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,4],"data_offsets":[0,4]})", ErrorCode::kCorrupt,
       "at most 16"},
      {R"({"dtype":"U8","shape":[4],"data_offsets":[0]})", ErrorCode::kCorrupt, "two numbers"},
      {R"({"dtype":"U8","shape":[4],"data_offsets":[0,2,4]})", ErrorCode::kCorrupt, "two numbers"},
      {R"({"dtype":"U8","shape":[4],"data_offsets":["0",4]})", ErrorCode::kCorrupt, "two numbers"},
      {R"({"dtype":"U8","shape":[4],"data_offsets":[4,0]})", ErrorCode::kCorrupt, "outside the file"},
      {R"({"dtype":"U8","shape":[5],"data_offsets":[0,5]})", ErrorCode::kCorrupt, "the file is truncated"},
      {R"({"dtype":"U8","shape":[4],"data_offsets":[0,18446744073709551615]})", ErrorCode::kCorrupt, "outside"},
      {R"({"dtype":"U8","shape":[4],"data_offsets":[18446744073709551612,18446744073709551615]})", ErrorCode::kCorrupt,
       "outside"},
      {R"({"dtype":"U8","shape":[3],"data_offsets":[0,4]})", ErrorCode::kCorrupt, "4 bytes of data"},
      {R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", ErrorCode::kCorrupt, "its shape [2] takes as F32"},
      {R"({"dtype":"F32","shape":[4294967296,4294967297],"data_offsets":[0,4]})", ErrorCode::kCorrupt, "takes as F32"},
      {R"({"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]})", ErrorCode::kCorrupt, "takes as F64"},
      {R"({"dtype":"F4","shape":[7],"data_offsets":[0,4]})", ErrorCode::kCorrupt, "takes as F4"},
      {R"({"dtype":"U8","shape":[3],"data_offsets":[1,4]})", ErrorCode::kCorrupt, "1 bytes before it belong to no"},
      {R"({"dtype":"U8","shape":[3],"data_offsets":[0,3]})", ErrorCode::kCorrupt, "the 1 bytes from byte"},
      {R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})", ErrorCode::kCorrupt, "the 4 bytes from byte"},
  };
  for (const Case& c : cases) ExpectFailure(Safetensors(fmt::format("{{\"t\":{}}}", c.entry), "data"), c.code, c.why);
  ExpectFailure(Safetensors("{}", "data"), ErrorCode::kCorrupt, "the 4 bytes from byte 10");
}

TEST(SafetensorsTest, TensorsThatShareBytesOrNames) {
  const auto two = [](const std::string& name, int begin, int end) {
    return Safetensors(fmt::format(R"({{"a":{{"dtype":"U8","shape":[2],"data_offsets":[0,2]}},)"
                                   R"("{}":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}}}})",
                                   name, end - begin, begin, end),
                       "data");
  };
  EXPECT_TRUE(HeaderOf(two("b", 2, 4)).ok());
  ExpectFailure(two("b", 1, 4), ErrorCode::kCorrupt, "tensor 'b' (byte ");
  ExpectFailure(two("b", 1, 4), ErrorCode::kCorrupt, "overlap");
  ExpectFailure(two("b", 0, 2), ErrorCode::kCorrupt, "overlap");
  ExpectFailure(two("b", 3, 4), ErrorCode::kCorrupt, "the 1 bytes before it");
  ExpectFailure(two("a", 2, 4), ErrorCode::kCorrupt, "second time");
  ExpectFailure(two("", 2, 4), ErrorCode::kCorrupt, "has no name");
  ExpectFailure(two("x\\u0007", 2, 4), ErrorCode::kCorrupt, "control character");
  ExpectFailure(two(std::string(1025, 'x'), 2, 4), ErrorCode::kCorrupt, "1025 bytes");
}

std::vector<Tensor> ToWrite() {
  return {{"model.norm", FindDtype("F32"), {3}},
          {"a \"b\"\xc3\xa9", FindDtype("U8"), {2, 3}},
          {"none", FindDtype("I8"), {0}}};
}

TEST(SafetensorsTest, WhatIsWrittenReadsBack) {
  const std::vector<Tensor> tensors = ToWrite();
  std::string file;
  const GgufSink sink = [&](std::span<const std::byte> bytes) -> Status {
    file.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  };
  const std::string data[] = {"0123456789ab", "cdefgh", ""};
  const GgufFill fill = [&](size_t i, const GgufSink& emit) -> Status {
    for (const char& c : data[i]) BONSAI_RETURN_IF_ERROR(emit(std::as_bytes(std::span(&c, 1))));
    return {};
  };
  ASSERT_TRUE(Write(tensors, fill, sink));
  EXPECT_EQ(FileBytes(tensors).value(), file.size());
  const auto read = HeaderOf(file);
  ASSERT_TRUE(read.ok()) << read.error().message();
  ASSERT_EQ(read->size(), 3u);
  EXPECT_EQ((*read)[0].offset % 8, 0u);
  for (const Tensor& t : *read) {
    const auto i = static_cast<size_t>(
        std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& w) { return w.name == t.name; }) -
        tensors.begin());
    ASSERT_LT(i, 3u);
    EXPECT_EQ(t.dtype, tensors[i].dtype);
    EXPECT_EQ(t.shape, tensors[i].shape);
    EXPECT_EQ(file.substr(t.offset, t.bytes), data[i]);
  }
}

TEST(SafetensorsTest, WhatCannotBeWritten) {
  const GgufSink sink = [](std::span<const std::byte>) -> Status { return {}; };
  const auto failure = [&](const std::vector<Tensor>& tensors, const std::string& bytes) -> std::string {
    const GgufFill fill = [&](size_t, const GgufSink& emit) { return emit(std::as_bytes(std::span(bytes))); };
    const Status status = Write(tensors, fill, sink);
    return status.ok() ? "written" : status.error().message();
  };
  const Dtype* u8 = FindDtype("U8");
  EXPECT_EQ(failure({{"t", u8, {4}}}, "data"), "written");
  EXPECT_NE(failure({{"t", u8, {3}}}, "data").find("more than its 3 bytes"), std::string::npos);
  EXPECT_NE(failure({{"t", u8, {5}}}, "data").find("fewer than its 5 bytes"), std::string::npos);
  EXPECT_NE(failure({{"t", u8, {4}}, {"t", u8, {4}}}, "data").find("twice"), std::string::npos);
  EXPECT_NE(failure({{"", u8, {4}}}, "data").find("name"), std::string::npos);
  EXPECT_NE(failure({{"\xff", u8, {4}}}, "data").find("name"), std::string::npos);
  EXPECT_NE(failure({{"__metadata__", u8, {4}}}, "data").find("name"), std::string::npos);
  EXPECT_NE(failure({{"t", u8, {UINT64_MAX, 2}}}, "data").find("too large"), std::string::npos);
  EXPECT_NE(failure({{"t", FindDtype("F4"), {7}}}, "data").find("whole number"), std::string::npos);
}

}  // namespace
}  // namespace bonsai::formats::safetensors
