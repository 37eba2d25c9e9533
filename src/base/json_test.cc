#include "base/json.h"

#include <gtest/gtest.h>

#include <string>

namespace bonsai {
namespace {

std::string ErrorOf(const std::string& text, const JsonLimits& limits = {}) {
  const auto doc = ParseJson("a.json", text, limits);
  EXPECT_FALSE(doc.ok()) << text.substr(0, 80);
  if (doc.ok()) return "";
  EXPECT_EQ(doc.error().code(), ErrorCode::kCorrupt);
  return doc.error().message();
}

TEST(Json, BuildsTheDocument) {
  const std::string text =
      R"({"a": [1, -2, 3.5, "x\u00e9", true, false, null, [], {}], "b": {"a": {"a": 18446744073709551615}}})";
  const auto doc = ParseJson("a.json", text);
  ASSERT_TRUE(doc.ok()) << doc.error().message();
  EXPECT_EQ(*doc, nlohmann::json::parse(text));
  EXPECT_EQ((*doc)["b"]["a"]["a"].get<uint64_t>(), 18446744073709551615u);
  for (const char* scalar : {"1", "\"s\"", "null", " [ ] "}) EXPECT_TRUE(ParseJson("a.json", scalar).ok()) << scalar;
}

TEST(Json, ErrorsNameFileByteAndWhatWasExpected) {
  EXPECT_EQ(ErrorOf("{\"a\": 1,}"),
            "a.json: byte 9: syntax error while parsing object key - unexpected '}'; expected string literal");
  EXPECT_EQ(ErrorOf(""),
            "a.json: byte 1: syntax error while parsing value - unexpected end of input; expected '[', "
            "'{', or a literal");
  EXPECT_EQ(ErrorOf("[1] 2"),
            "a.json: byte 5: syntax error while parsing value - unexpected number literal; expected end of input");
  EXPECT_EQ(ErrorOf("nul"), "a.json: byte 4: syntax error while parsing value - invalid literal");
  EXPECT_EQ(ErrorOf(std::string("[1]\0 x", 6)), "a.json: byte 4: a zero byte; expected text");
  EXPECT_NE(ErrorOf("1e999").find("number overflow"), std::string::npos);
}

// What was read is not repeated: it may be long, and bytes of it may be no text.
TEST(Json, MessagesAreShortAndPrintable) {
  for (const std::string& text : {"\"" + std::string(1000000, 'x'), std::string("\"\xff\xfe\n"), std::string("[\x01"),
                                  "{\"" + std::string(1000, '\n')}) {
    const std::string message = ErrorOf(text);
    EXPECT_LT(message.size(), 300u);
    for (const char c : message) EXPECT_TRUE(c >= ' ' && c <= '~');
  }
  const std::string key(1000, 'k');
  EXPECT_LT(ErrorOf("{\"" + key + "\":1,\"" + key + "\":2}").size(), 300u);
}

TEST(Json, RefusesAKeyTwice) {
  EXPECT_EQ(ErrorOf(R"({"a":1,"b":{"a":1},"a":2})"), "a.json: byte 22: key \"a\" comes a second time in one object");
  EXPECT_EQ(ErrorOf("{\"a\":1,\"\\u0061\":2}"), "a.json: byte 15: key \"a\" comes a second time in one object");
}

TEST(Json, Limits) {
  EXPECT_TRUE(ParseJson("a.json", std::string(64, '[') + std::string(64, ']')).ok());
  EXPECT_EQ(ErrorOf(std::string(65, '[') + std::string(65, ']')),
            "a.json: byte 65: arrays and objects are nested deeper than 64");
  EXPECT_NE(ErrorOf(std::string(10000000, '[')).find("nested deeper"), std::string::npos);
  EXPECT_TRUE(ParseJson("a.json", "[1,2,{\"a\":3}]", {.values = 6}).ok());  // [, 1, 2, {, "a", 3
  EXPECT_EQ(ErrorOf("[1,2,{\"a\":3}]", {.values = 5}), "a.json: byte 12: more than 5 values in one document");
  EXPECT_TRUE(ParseJson("a.json", "[1]", {.bytes = 3}).ok());
  EXPECT_EQ(ErrorOf("[1] ", {.bytes = 3}), "a.json: 4 bytes of JSON; at most 3 are read");
}

}  // namespace
}  // namespace bonsai
