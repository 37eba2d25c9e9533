// Lines from a user: edited, with a history and completion, where somebody sits at a terminal; else as they come.
//
//   LineEditor editor({.history_file = HistoryFile(), .complete = ...});
//   for (;;) {
//     const Input input = ReadMessage([&](bool more) { return editor.Read(more ? "... " : "> "); });
//     if (input.kind == Input::Kind::kEnd) break;
//     if (input.kind == Input::Kind::kText) editor.Remember(input.text);
//   }
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace bonsai::cli {

struct Input {
  enum class Kind {
    kText,         ///< `text`, without the newline at its end.
    kInterrupted,  ///< Ctrl-C: what was typed does not count.
    kEnd,          ///< The end of the input, or Ctrl-D.
  };
  Kind kind = Kind::kEnd;
  std::string text = {};
};

/// Reads a message of one line or more: a line that ends in \ goes on in the next, and one that begins with """ goes on
/// until a line ends with """. `read` gives the next line; `more` says that a message has begun. At the end of the
/// input a message that has begun is complete.
Input ReadMessage(const std::function<Input(bool more)>& read);

/// What to do when somebody presses Tab.
struct Completion {
  std::string insert = {};                ///< At the cursor.
  std::vector<std::string> choices = {};  ///< To list, if there are several.
};
/// How names that all begin with `word` continue it. `end` follows when there is just one, unless that ends in '/'.
Completion CompleteFrom(std::string_view word, std::vector<std::string> names, std::string_view end);
/// Continues the path of a file; ~/ is the home directory. At most 1,000 names of a directory are looked at.
Completion CompletePath(std::string_view path);
/// `path` with the home directory for "~/".
std::string ExpandHome(std::string_view path);

/// Where messages are remembered: $XDG_STATE_HOME/bonsai/history or ~/.local/state/bonsai/history. Empty when there is
/// no home.
std::string HistoryFile();

struct LineEditorOptions {
  std::string history_file = {};  ///< Only for its owner to read; directories are made. Empty: none is written.
  bool colour = false;            ///< A bold prompt.
  std::function<Completion(std::string_view before_cursor)> complete = {};
};

/// The terminal's line editor (libedit: Emacs keys, the user's ~/.editrc). It stands aside, and plain lines are read,
/// when standard input or output is no terminal or a "dumb" one, the locale knows no UTF-8, or it was not built in. A
/// pasted text is one message, whatever newlines it has. Somebody else catches SIGINT (InterruptGuard) and clears it
/// before a line is read; plain lines do not notice it. One at a time; not thread safe.
class LineEditor {
 public:
  explicit LineEditor(LineEditorOptions options);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  /// The prompt is for terminals: a pipe does not see it.
  Input Read(const char* prompt);
  /// Adds a message to the history and its file. A history that cannot be written is none: no error.
  void Remember(const std::string& message);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;  // null: plain lines
};

}  // namespace bonsai::cli
