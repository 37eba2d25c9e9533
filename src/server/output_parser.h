// What a chat model writes, taken apart while it streams: reasoning (<think>…</think>), tool calls
// (<tool_call>{"name": …, "arguments": …}</tool_call>) and the answer itself.
//
//   OutputParser parser({.tools = true}, [&](const OutputEvent& e) { … });
//   parser.Push("<think>\nHm");  parser.Push(".</think>\n\nYes");  parser.Finish();
//   // kReasoning "Hm", kReasoning ".", kContent "Yes"
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace bonsai::server {

struct OutputEvent {
  enum class Kind {
    kContent,    ///< More of the answer.
    kReasoning,  ///< More of the reasoning.
    kCall,       ///< A tool call begins: `text` is the function's name.
    kArguments,  ///< More of its arguments' JSON text.
  };
  Kind kind;
  std::string text;
  int call = 0;  ///< Number of the call, from 0, of the last two.
};

struct OutputOptions {
  bool reasoning = true;             ///< Recognise <think>; else it is part of the answer.
  bool starts_in_reasoning = false;  ///< The prompt has opened <think> already.
  bool tools = false;                ///< Recognise <tool_call>.
};

/// The object of one tool call, character by character. Whoever wrote it may have got it wrong: then nothing of it
/// counts, and the text is part of the answer.
class ToolCallScanner {
 public:
  /// False as soon as it is no JSON object with a name and arguments.
  bool Push(char c);
  /// The name, once it is complete: empty before.
  const std::string& name() const { return name_; }
  /// Takes what has come of the arguments' text, if the name is known.
  std::string TakeArguments();
  /// Whether the object has ended, with a name.
  bool complete() const { return state_ == State::kEnd && !name_.empty(); }

 private:
  enum class State { kStart, kKey, kInKey, kColon, kValue, kInValue, kNext, kEnd };
  bool PushValue(char c);
  bool EndValue();

  State state_ = State::kStart;
  std::string key_, value_, name_, arguments_;
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false;
};

/// Not thread safe. Text comes in whole characters; events never split one.
class OutputParser {
 public:
  OutputParser(const OutputOptions& options, std::function<void(const OutputEvent&)> sink);
  void Push(std::string_view text);
  /// The end of the text: hands out what was held back.
  void Finish();
  /// Whether what comes next is reasoning, as far as one can tell.
  bool reasoning() const { return mode_ == Mode::kReasoning; }
  /// Complete tool calls so far.
  int calls() const { return calls_; }

 private:
  enum class Mode { kContent, kReasoning, kCall };
  bool Step();
  bool StepText(std::string_view tag, Mode next);
  bool StepCall();
  void Emit(OutputEvent::Kind kind, std::string_view text);
  void Enter(Mode mode);

  const OutputOptions options_;
  const std::function<void(const OutputEvent&)> sink_;
  Mode mode_;
  std::string pending_;  // not handed out yet
  std::string spaces_;   // white space that counts only if text follows
  bool fresh_ = true;    // nothing but white space since the mode began
  ToolCallScanner scanner_;
  std::string call_text_;
  bool call_broken_ = false, call_named_ = false;
  int calls_ = 0;
};

}  // namespace bonsai::server
