#include "server/output_parser.h"

#include <gtest/gtest.h>

#include <vector>

namespace bonsai::server {
namespace {

using Kind = OutputEvent::Kind;

/// Everything that came of each kind, calls as "name(arguments)".
struct Parts {
  std::string content, reasoning;
  std::vector<std::string> calls;
  int events = 0;
  bool operator==(const Parts& o) const { return content == o.content && reasoning == o.reasoning && calls == o.calls; }
};

/// Pushes `text` in pieces of `step` bytes.
Parts Parse(const std::string& text, OutputOptions options, size_t step) {
  Parts p;
  OutputParser parser(options, [&](const OutputEvent& e) {
    p.events++;
    EXPECT_FALSE(e.text.empty());
    if (e.kind == Kind::kContent) p.content += e.text;
    if (e.kind == Kind::kReasoning) p.reasoning += e.text;
    if (e.kind == Kind::kCall) p.calls.push_back(e.text + ":");
    if (e.kind == Kind::kArguments) {
      ASSERT_EQ(static_cast<size_t>(e.call) + 1, p.calls.size());
      p.calls.back() += e.text;
    }
  });
  for (size_t i = 0; i < text.size(); i += step) parser.Push(std::string_view(text).substr(i, step));
  parser.Finish();
  return p;
}

struct Case {
  std::string text;
  OutputOptions options;
  Parts want;
};

TEST(OutputParserTest, HoweverItIsCutTheSameComesOut) {
  const OutputOptions tools = {.tools = true};
  const std::string weather = R"({"name": "weather", "arguments": {"city": "Ulm \"}</x>", "days": [1, 2]}})";
  const std::string weather_call = R"(weather:{"city": "Ulm \"}</x>", "days": [1, 2]})";
  const Case cases[] = {
      {"Hello world ", {}, {"Hello world", "", {}}},
      {"  \n Hello\n\nworld", {}, {"Hello\n\nworld", "", {}}},
      {"<think>\nHm, well.\n</think>\n\nYes.", {}, {"Yes.", "Hm, well.", {}}},
      {"<think>\n\n</think>\n\nYes.", {}, {"Yes.", "", {}}},
      {"Hm.\n</think>\nYes.", {.starts_in_reasoning = true}, {"Yes.", "Hm.", {}}},
      {"<think>no end", {}, {"", "no end", {}}},
      {"The tag <think> is text", {}, {"The tag <think> is text", "", {}}},
      {"<think>a</think>b", {.reasoning = false}, {"<think>a</think>b", "", {}}},
      {"<thinking>", {}, {"<thinking>", "", {}}},
      {"<think", {}, {"<think", "", {}}},
      {"a < b <tool_", tools, {"a < b <tool_", "", {}}},
      {"<tool_call>\n" + weather + "\n</tool_call>", tools, {"", "", {weather_call}}},
      {"<tool_call>" + weather + "</tool_call>", {}, {"<tool_call>" + weather + "</tool_call>", "", {}}},
      {"<think>x</think>Let me see.\n<tool_call>\n" + weather + "\n</tool_call>\n<tool_call>\n" +
           R"({"arguments": {}, "name": "f"})" + "\n</tool_call>",
       tools,
       {"Let me see.", "x", {weather_call, "f:{}"}}},
      {R"(<tool_call>{"name": "f", "arguments": "{\"a\": \"\\u00e4\"}"}</tool_call> done)",
       tools,
       {"done", "", {R"(f:{"a": "\u00e4"})"}}},
      {R"(<tool_call>{"name": "f", "arguments": null, "id": 3}</tool_call>)", tools, {"", "", {"f:null"}}},
      {R"(<tool_call>{"name": "f"}</tool_call>)", tools, {"", "", {"f:"}}},
      // Not calls: the text stays.
      {"<tool_call>weather in Ulm</tool_call>!", tools, {"<tool_call>weather in Ulm</tool_call>!", "", {}}},
      {R"(<tool_call>{"name": 3}</tool_call>)", tools, {R"(<tool_call>{"name": 3}</tool_call>)", "", {}}},
      {"<tool_call>", tools, {"<tool_call>", "", {}}},
      {"<tool_call>{\"nam", tools, {"<tool_call>{\"nam", "", {}}},
      // Cut off while the arguments come: what was said stays said.
      {R"(<tool_call>{"name": "f", "arguments": {"a": 1)", tools, {"", "", {R"(f:{"a": 1)"}}},
  };
  for (const Case& c : cases) {
    for (size_t step = 1; step <= c.text.size(); step++) {
      const Parts got = Parse(c.text, c.options, step);
      EXPECT_EQ(got.content, c.want.content) << c.text << " in steps of " << step;
      EXPECT_EQ(got.reasoning, c.want.reasoning) << c.text << " in steps of " << step;
      EXPECT_EQ(got.calls, c.want.calls) << c.text << " in steps of " << step;
    }
  }
}

TEST(OutputParserTest, StreamsAsItComes) {
  std::vector<std::string> events;
  OutputParser parser({.tools = true}, [&](const OutputEvent& e) { events.push_back(e.text); });
  parser.Push("One");
  EXPECT_EQ(events, (std::vector<std::string>{"One"}));
  parser.Push(" two ");
  EXPECT_EQ(events.back(), " two");
  parser.Push("<tool_call>{\"name\": \"f\", \"arg");
  EXPECT_EQ(events.back(), "f");
  parser.Push("uments\": {\"city\": \"U");
  EXPECT_EQ(events.back(), "{\"city\": \"U");
  parser.Push("lm\"}}</tool_call>");
  EXPECT_EQ(events.back(), "lm\"}");
  EXPECT_EQ(parser.calls(), 1);
}

}  // namespace
}  // namespace bonsai::server
