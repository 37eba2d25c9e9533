#include "server/fields.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace bonsai::server {
namespace {

using Json = nlohmann::json;

/// What Integer says about {"n": value} with the bounds -5 … 10: its value, or its message.
std::string Read(const std::string& value) {
  const Json object = Json::parse("{\"n\": " + value + "}");
  Fields f(object);
  const int64_t n = f.Integer("n", 7, -5, 10);
  return f.ok() ? std::to_string(n) : f.error()->message;
}

TEST(FieldsTest, IntegersAndTheirBounds) {
  EXPECT_EQ(Read("-5"), "-5");
  EXPECT_EQ(Read("10"), "10");
  EXPECT_EQ(Read("3.0"), "3");
  EXPECT_EQ(Read("-2e0"), "-2");
  EXPECT_EQ(Read("null"), "7");
  for (const char* beyond : {"-6", "11", "11.0", "-6.0", "9223372036854775807", "18446744073709551615",
                             "-9223372036854775808", "9007199254740992.0"})
    EXPECT_EQ(Read(beyond), "'n' must be from -5 to 10") << beyond;
  for (const char* number : {"3.5", "1e300", "1e-3"})
    EXPECT_EQ(Read(number), "'n' must be an integer, not a number") << number;
  EXPECT_EQ(Read("\"3\""), "'n' must be an integer, not a string");
  EXPECT_EQ(Read("true"), "'n' must be an integer, not a boolean");
  EXPECT_EQ(Read("[3]"), "'n' must be an integer, not an array");
}

TEST(FieldsTest, TheWholeRangeOfIntegers) {
  const Json o = {{"lo", INT64_MIN}, {"hi", INT64_MAX}, {"more", UINT64_MAX}};
  Fields f(o);
  EXPECT_EQ(f.Integer("lo", 0, INT64_MIN, INT64_MAX), INT64_MIN);
  EXPECT_EQ(f.Integer("hi", 0, INT64_MIN, INT64_MAX), INT64_MAX);
  EXPECT_TRUE(f.ok());
  f.Integer("more", 0, INT64_MIN, INT64_MAX);
  EXPECT_FALSE(f.ok());
}

TEST(FieldsTest, OtherKinds) {
  const Json o = {{"yes", true}, {"half", 0.5}, {"text", "abc"}, {"nothing", nullptr}, {"one", 1}};
  Fields f(o);
  EXPECT_TRUE(f.Bool("yes", false));
  EXPECT_TRUE(f.Bool("absent", true));
  EXPECT_EQ(f.Number("half", 0, 0.5, 0.5), 0.5);
  EXPECT_EQ(f.Number("one", 0, 0, 2), 1);
  EXPECT_EQ(f.Number("nothing", 3, 0, 1), 3);  // a fallback need not be within the bounds
  EXPECT_EQ(f.Text("text", "", 3), "abc");
  EXPECT_EQ(f.Text("nothing", "else", 0), "else");
  EXPECT_EQ(f.Find("nothing"), nullptr);
  EXPECT_TRUE(f.ok());
  EXPECT_EQ(f.Text("text", "else", 2), "else");
  EXPECT_EQ(f.error()->message, "'text' is longer than 2 bytes");
}

TEST(FieldsTest, TheFirstErrorCountsAndEndsTheReading) {
  const Json o = {{"a", "x"}, {"b", 2}, {"c", 99}};
  Fields f(o, "outer");
  EXPECT_FALSE(f.Bool("a", false));
  EXPECT_EQ(f.error()->message, "'outer.a' must be true or false, not a string");
  EXPECT_EQ(f.error()->param, "outer.a");
  EXPECT_EQ(f.Integer("b", 7, 0, 9), 7);  // a fallback, although it is right
  f.Number("c", 0, 0, 1);
  EXPECT_EQ(f.error()->param, "outer.a");
  EXPECT_EQ(Fields(o, "list").PathOf("[3]"), "list[3]");
}

TEST(FieldsTest, WhatIsNoObject) {
  for (const char* text : {"[]", "3", "\"x\"", "null", "true"}) {
    const Json value = Json::parse(text);
    Fields f(value, "stream_options");
    EXPECT_EQ(f.Integer("n", 1, 0, 9), 1);
    ASSERT_FALSE(f.ok()) << text;
    EXPECT_NE(f.error()->message.find("'stream_options' must be an object"), std::string::npos);
  }
}

TEST(FieldsTest, Bodies) {
  std::optional<ApiError> error;
  EXPECT_EQ(ParseBody(R"({"a": 1})", error)["a"], 1);
  EXPECT_FALSE(error);
  for (const char* body : {"", "{", "{\"a\":1,\"a\":2}", "{\"a\":\"\xff\"}", "{} x", "{\"a\":1e999}", "nul"}) {
    error.reset();
    EXPECT_TRUE(ParseBody(body, error).is_object()) << body;
    ASSERT_TRUE(error) << body;
    EXPECT_EQ(error->code, "invalid_json") << body;
  }
  error.reset();
  ParseBody("[1]", error);
  EXPECT_EQ(error->message, "the request's body must be a JSON object, not an array");
  error.reset();
  std::string many = "{\"a\":[0";
  for (int i = 0; i < 2'000'000; i++) many += ",0";
  ParseBody(many + "]}", error);
  ASSERT_TRUE(error);
  EXPECT_NE(error->message.find("values"), std::string::npos) << error->message;
}

TEST(FieldsTest, WhatIsNotUtf8IsReplaced) { EXPECT_EQ(Dump(Json("a\xff")), "\"a\xef\xbf\xbd\""); }

}  // namespace
}  // namespace bonsai::server
