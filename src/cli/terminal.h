// Output for people: errors, warnings, progress. Plain when piped.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/status.h"
#include "cli/verb.h"

namespace bonsai::cli {

bool StdinIsTerminal();
bool StdoutIsTerminal();
bool StderrIsTerminal();
/// By TERM, which is neither missing nor "dumb".
bool TerminalKnowsEscapes();
/// The same, and NO_COLOR (no-color.org) is not set.
bool ColourWanted();

/// Text from a model or a file, harmless to a terminal: control characters but \n and \t become visible ones (U+2400
/// and on), bytes that are not UTF-8 and the controls U+0080 to U+009F become U+FFFD.
std::string ForTerminal(std::string_view text);

/// Prints "bonsai: message" on stderr; kUsage for kInvalidArgument, else kFailed.
int Fail(const ErrorValue& error);
/// Prints warnings and errors on stderr.
LogSink StderrLog();

/// A progress line on stderr that appears only when work takes longer than a second and only on a terminal, and
/// disappears at the end. Not thread safe.
class Progress {
 public:
  explicit Progress(std::string what) : what_(std::move(what)) {}
  ~Progress() { Clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// `done` of `total` in any unit.
  void Update(uint64_t done, uint64_t total);
  void Clear();

 private:
  std::string what_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now(), last_ = start_;
  bool shown_ = false;
};

/// Turns Ctrl-C into a flag for as long as it lives: the first asks to stop, the second ends the program, unless it
/// `stays`.
class InterruptGuard {
 public:
  explicit InterruptGuard(bool stays = false);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  static bool Requested();
  /// Forgets what was requested.
  static void Clear();
};

/// Writes to stdout and flushes; false when nobody reads any more (a closed pipe).
bool Emit(std::string_view text);

/// "1.15 GB", "733 kB": decimal units, three digits.
std::string HumanBytes(uint64_t bytes);

}  // namespace bonsai::cli
