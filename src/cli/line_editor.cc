#include "cli/line_editor.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "cli/terminal.h"

#ifdef BONSAI_LIBEDIT
#include <histedit.h>

#include <clocale>
#endif

namespace bonsai::cli {
namespace {

constexpr std::string_view kFence = "\"\"\"";
/// A line of a pipe has no end in sight: 64 MB is more than any context.
constexpr size_t kMaxLine = size_t{64} << 20;

Input ReadPlainLine(const char* prompt) {
  if (StdinIsTerminal() && StdoutIsTerminal()) Emit(prompt);
  std::string line;
  for (int c = 0; (c = std::getc(stdin)) != EOF && c != '\n';)
    if (line.size() < kMaxLine) line += static_cast<char>(c);
  if (line.empty() && (std::feof(stdin) != 0 || std::ferror(stdin) != 0)) return {Input::Kind::kEnd};
  if (line.ends_with('\r')) line.pop_back();
  return {Input::Kind::kText, std::move(line)};
}

std::string Environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

Input ReadMessage(const std::function<Input(bool more)>& read) {
  Input line = read(false);
  if (line.kind != Input::Kind::kText) return line;
  std::string message;
  bool begun = false;
  const bool fenced = line.text.starts_with(kFence);
  if (fenced) line.text.erase(0, kFence.size());
  for (bool first = true;; first = false) {
    std::string& text = line.text;
    const bool last = fenced ? text.ends_with(kFence) : !text.ends_with('\\');
    if (fenced && last) text.erase(text.size() - kFence.size());
    if (!fenced && !last) text.pop_back();
    const bool only_fence = fenced && text.empty() && (first || last);
    if (!only_fence) {
      message += (begun ? "\n" : "") + text;
      begun = true;
    }
    if (last) return {Input::Kind::kText, std::move(message)};
    line = read(true);
    if (line.kind == Input::Kind::kInterrupted) return line;
    if (line.kind == Input::Kind::kEnd) return {Input::Kind::kText, std::move(message)};
  }
}

Completion CompleteFrom(std::string_view word, std::vector<std::string> names, std::string_view end) {
  std::erase_if(names, [&](const std::string& name) { return !name.starts_with(word); });
  if (names.empty()) return {};
  std::sort(names.begin(), names.end());
  const std::string &low = names.front(), &high = names.back();
  const auto differ = std::mismatch(low.begin(), low.end(), high.begin(), high.end());
  std::string common(low.begin(), differ.first);
  while (!common.empty() && differ.first != low.end() && (static_cast<unsigned char>(*differ.first) & 0xc0) == 0x80 &&
         common.size() > word.size()) {
    // They differ within a character of UTF-8: it is not common.
    const bool lead = (static_cast<unsigned char>(common.back()) & 0xc0) == 0xc0;
    common.pop_back();
    if (lead) break;
  }
  Completion c{.insert = common.substr(std::min(word.size(), common.size()))};
  if (names.size() > 1)
    c.choices = std::move(names);
  else if (!common.ends_with('/'))
    c.insert += end;
  return c;
}

std::string ExpandHome(std::string_view path) {
  const std::string home = Environment("HOME");
  return path.starts_with("~/") && !home.empty() ? home + std::string(path.substr(1)) : std::string(path);
}

Completion CompletePath(std::string_view path) {
  namespace fs = std::filesystem;
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string_view::npos ? "." : ExpandHome(path.substr(0, slash + 1));
  const std::string_view word = path.substr(slash == std::string_view::npos ? 0 : slash + 1);
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end && names.size() < 1000;
       it.increment(error)) {
    std::error_code unknown;
    std::string name = it->path().filename().string();
    if (word.empty() && name.starts_with('.')) continue;
    if (it->is_directory(unknown)) name += '/';
    names.push_back(std::move(name));
  }
  return CompleteFrom(word, std::move(names), "");
}

std::string HistoryFile() {
  const std::string state = Environment("XDG_STATE_HOME"), home = Environment("HOME");
  if (state.starts_with('/')) return state + "/bonsai/history";  // its specification: a relative path does not count
  return home.empty() ? "" : home + "/.local/state/bonsai/history";
}

#ifndef BONSAI_LIBEDIT

struct LineEditor::Impl {};
LineEditor::LineEditor(LineEditorOptions) {}
LineEditor::~LineEditor() = default;
Input LineEditor::Read(const char* prompt) { return ReadPlainLine(prompt); }
void LineEditor::Remember(const std::string&) {}

#else

struct LineEditor::Impl {
  explicit Impl(LineEditorOptions o);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  Input Read(const char* text);
  void Remember(const std::string& message);

  static Impl& Of(EditLine* el) {
    void* data = nullptr;
    el_get(el, EL_CLIENTDATA, &data);
    return *static_cast<Impl*>(data);
  }
  static char* Prompt(EditLine* el) { return Of(el).prompt.data(); }
  static unsigned char Complete(EditLine* el, int);
  static unsigned char Paste(EditLine* el, int);

  LineEditorOptions options;
  EditLine* el;
  History* history;
  std::string prompt;
};

namespace {

constexpr int kHistorySize = 1000;
/// What terminals send before and after a pasted text when asked to (xterm's "bracketed paste").
constexpr const char *kPasteOn = "\033[?2004h", *kPasteOff = "\033[?2004l";
constexpr std::wstring_view kPasteEnd = L"\033[201~";

/// The editor counts columns and so needs to know characters: UTF-8, or it is not used.
bool SetUtf8Locale() {
  for (const char* name : {"", "C.UTF-8"}) {
    wchar_t c = 0;
    if (std::setlocale(LC_CTYPE, name) != nullptr && std::mbtowc(&c, "\u00e9", 2) == 2 && c == L'\u00e9') return true;
  }
  std::setlocale(LC_CTYPE, "C");
  return false;
}

/// Makes the file and its directories, for their owner alone; false where that cannot be.
bool PrepareHistory(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path directory = fs::path(path).parent_path();
  if (fs::create_directories(directory, error)) fs::permissions(directory, fs::perms::owner_all, error);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

}  // namespace

LineEditor::Impl::Impl(LineEditorOptions o)
    : options(std::move(o)), el(el_init("bonsai", stdin, stdout, stderr)), history(history_init()) {
  HistEvent event;
  ::history(history, &event, H_SETSIZE, kHistorySize);
  ::history(history, &event, H_SETUNIQUE, 1);
  if (!options.history_file.empty() && PrepareHistory(options.history_file))
    ::history(history, &event, H_LOAD, options.history_file.c_str());
  else
    options.history_file.clear();
  el_set(el, EL_CLIENTDATA, this);
  el_set(el, EL_HIST, ::history, history);
  el_set(el, EL_PROMPT_ESC, &Prompt, '\1');
  el_set(el, EL_EDITOR, "emacs");
  el_set(el, EL_SIGNAL, 1);  // a signal gives the terminal back first; Ctrl-C then ends el_gets
  // Wide, or el_set makes copies that nobody frees.
  el_wset(el, EL_ADDFN, L"bonsai-complete", L"Complete a word", &Complete);
  el_wset(el, EL_ADDFN, L"bonsai-paste", L"Insert a pasted text", &Paste);
  el_set(el, EL_BIND, "^I", "bonsai-complete", nullptr);
  el_set(el, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(el, EL_BIND, "\\e[200~", "bonsai-paste", nullptr);
  el_source(el, nullptr);
}

LineEditor::Impl::~Impl() {
  el_end(el);
  history_end(history);
}

unsigned char LineEditor::Impl::Complete(EditLine* el, int) {
  const Impl& self = Of(el);
  const LineInfo* const line = el_line(el);
  const std::string_view before(line->buffer, static_cast<size_t>(line->cursor - line->buffer));
  if (!self.options.complete) return CC_ERROR;
  const Completion c = self.options.complete(before);
  if (!c.insert.empty()) return el_insertstr(el, ForTerminal(c.insert).c_str()) == 0 ? CC_REFRESH : CC_ERROR;
  if (c.choices.empty()) return CC_ERROR;
  std::string list = "\n";
  for (const std::string& choice : c.choices) list += ForTerminal(choice) + "  ";
  Emit(list + "\n");
  return CC_REDISPLAY;
}

/// Everything up to the end mark, newlines too; other controls are left out.
unsigned char LineEditor::Impl::Paste(EditLine* el, int) {
  std::wstring text;
  for (wchar_t c = 0; !text.ends_with(kPasteEnd) && text.size() < kMaxLine && el_wgetc(el, &c) == 1;)
    text += c == L'\r' ? L'\n' : c;
  if (text.ends_with(kPasteEnd)) text.erase(text.size() - kPasteEnd.size());
  std::erase_if(text, [](wchar_t c) { return (c < 0x20 && c != L'\n' && c != L'\t') || (c >= 0x7f && c < 0xa0); });
  while (text.ends_with(L'\n')) text.pop_back();
  return text.empty() || el_winsertstr(el, text.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
}

Input LineEditor::Impl::Read(const char* text) {
  prompt = options.colour ? std::string("\1\033[1m\1") + text + "\1\033[0m\1" : text;
  el_resize(el);  // the window may have changed while nobody looked
  Emit(kPasteOn);
  int count = 0;
  const char* const line = el_gets(el, &count);
  Emit(kPasteOff);
  if (line == nullptr || count <= 0) {
    Emit("\n");
    return {InterruptGuard::Requested() ? Input::Kind::kInterrupted : Input::Kind::kEnd};
  }
  std::string_view read(line, static_cast<size_t>(count));
  if (read.ends_with('\n')) read.remove_suffix(1);
  return {Input::Kind::kText, std::string(read)};
}

void LineEditor::Impl::Remember(const std::string& message) {
  constexpr size_t kLongest = 1 << 16;  // a pasted book is not worth finding again
  if (message.size() > kLongest) return;
  HistEvent event;
  ::history(history, &event, H_ENTER, message.c_str());
  if (!options.history_file.empty()) ::history(history, &event, H_SAVE, options.history_file.c_str());
}

LineEditor::LineEditor(LineEditorOptions options) {
  if (StdinIsTerminal() && StdoutIsTerminal() && TerminalKnowsEscapes() && SetUtf8Locale())
    impl_ = std::make_unique<Impl>(std::move(options));
}
LineEditor::~LineEditor() = default;
Input LineEditor::Read(const char* prompt) { return impl_ ? impl_->Read(prompt) : ReadPlainLine(prompt); }
void LineEditor::Remember(const std::string& message) {
  if (impl_) impl_->Remember(message);
}

#endif

}  // namespace bonsai::cli
