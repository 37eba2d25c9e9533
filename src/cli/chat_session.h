// A chat, apart from where its lines come from and its text goes: messages and commands in, answers out.
//
//   BONSAI_ASSIGN(const auto session, ChatSession::Make(*engine, settings, {.answer = Emit, .note = ...}));
//   while (!session->done()) {
//     if (const Status s = session->Handle(line); !s) ...   // say it, go on
//   }
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cli/conversation.h"
#include "cli/line_editor.h"
#include "engine/engine.h"

namespace bonsai::cli {

struct ChatSettings {
  std::string model = {};                 ///< The file's name, for messages.
  std::string system_prompt = {};         ///< Empty: none.
  ChatVariables variables = {};           ///< Of the template.
  engine::GenerateOptions generate = {};  ///< Each answer adds one to the seed.
  int32_t batch_rows = 512;               ///< Of the engine: how far each batch brings a prompt.
  bool terminal = false;                  ///< Answers go to a terminal: made harmless to it, reasoning is shown.
  bool colour = false;                    ///< Reasoning is dim.
  bool hide_reasoning = false;            ///< On a terminal, too.
};

/// Where text goes.
struct ChatOutput {
  std::function<bool(std::string_view text)> answer;  ///< Answers, and what commands were asked to show; false: stop.
  std::function<void(const std::string& line)> note;  ///< A line about what happened, without its newline.
  std::function<bool()> interrupted = {};             ///< Whether the answer is to stop; asked often.
};

/// Not thread safe.
class ChatSession {
 public:
  /// `engine` outlives it. Errors of ChatPrompter::Make.
  static Result<std::unique_ptr<ChatSession>> Make(engine::Engine& engine, ChatSettings settings, ChatOutput output);

  /// A message, which the model answers, or a command: one line of a slash and letters, and perhaps an argument. White
  /// space alone is nothing. kInvalidArgument for what is no command and for arguments that it does not take; errors of
  /// files, templates and the engine. After an error the conversation is what it was; after a message and every command
  /// each of its turns has an answer.
  Status Handle(std::string_view input);
  /// /exit was given, or nobody reads the answers any more.
  bool done() const { return done_; }
  const Conversation& conversation() const { return conversation_; }

  /// What Tab adds to a line: names of commands, and of files for those that take one.
  static Completion Complete(std::string_view before_cursor);

 private:
  struct Command {
    std::string_view name, argument, help;  // argument: "", "NAME" or, if it can be left out, "[NAME]"
    Status (ChatSession::*run)(const std::string& argument);
  };
  static std::span<const Command> Commands();

  ChatSession(engine::Engine& engine, ChatSettings settings, ChatOutput output, ChatPrompter prompter);
  Status Run(std::string_view line);
  Status Say(std::string_view message);
  Status Answer();
  Result<engine::GenerateResult> Generate(const ChatPrompt& prompt, std::string& answer);
  void NoteEnd(const engine::GenerateResult& result);

  Status Help(const std::string&);
  Status Clear(const std::string&);
  Status Regenerate(const std::string&);
  Status Read(const std::string& path);
  Status System(const std::string& text);
  Status Stats(const std::string&);
  Status Save(const std::string& path);
  Status Load(const std::string& path);
  Status Exit(const std::string&);

  engine::Engine& engine_;
  const ChatSettings settings_;
  const ChatOutput output_;
  const ChatPrompter prompter_;
  Conversation conversation_;
  std::string attached_;  // texts of files, for the next message
  uint64_t answers_ = 0;  // begun, so that each has a seed of its own
  bool done_ = false;

  std::vector<int32_t> cached_;                 // the last prompt and answer
  std::optional<engine::GenerateResult> last_;  // the last answer; none after /clear and /load
  int64_t total_tokens_ = 0;                    // of all answers
};

}  // namespace bonsai::cli
