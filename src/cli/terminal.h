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

bool StdoutIsTerminal();
bool StderrIsTerminal();

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

/// Turns Ctrl-C into a flag for as long as it lives: the first asks to stop, the second ends the program.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  static bool Requested();
};

/// Writes to stdout and flushes; false when nobody reads any more (a closed pipe).
bool Emit(std::string_view text);

/// "1.15 GB", "733 kB": decimal units, three digits.
std::string HumanBytes(uint64_t bytes);

}  // namespace bonsai::cli
