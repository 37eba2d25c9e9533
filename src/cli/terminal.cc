#include "cli/terminal.h"

#include <unistd.h>

#include <csignal>
#include <cstdio>

namespace bonsai::cli {
namespace {

volatile std::sig_atomic_t g_interrupted = 0;

extern "C" void OnInterrupt(int) {
  g_interrupted = 1;
  std::signal(SIGINT, SIG_DFL);
}

}  // namespace

bool StdoutIsTerminal() { return ::isatty(STDOUT_FILENO) != 0; }
bool StderrIsTerminal() { return ::isatty(STDERR_FILENO) != 0; }

int Fail(const ErrorValue& error) {
  fmt::print(stderr, "bonsai: {}\n", error.message());
  return error.code() == ErrorCode::kInvalidArgument ? kUsage : kFailed;
}

LogSink StderrLog() {
  return [](LogLevel level, std::string_view line) {
    if (level == LogLevel::kWarning) fmt::print(stderr, "bonsai: warning: {}\n", line);
    if (level == LogLevel::kError) fmt::print(stderr, "bonsai: {}\n", line);
  };
}

void Progress::Update(uint64_t done, uint64_t total) {
  using std::chrono::milliseconds;
  const auto now = std::chrono::steady_clock::now();
  if (!StderrIsTerminal() || now - start_ < milliseconds(1000) || now - last_ < milliseconds(100)) return;
  last_ = now;
  shown_ = true;
  const double share = total == 0 ? 0 : static_cast<double>(done) / static_cast<double>(total);
  const double spent = std::chrono::duration<double>(now - start_).count();
  fmt::print(stderr, "\r{} {:3.0f}% ", what_, 100 * share);
  if (share > 0.01) fmt::print(stderr, "({:.0f} s left)   ", spent / share - spent);
  std::fflush(stderr);
}

void Progress::Clear() {
  if (shown_) fmt::print(stderr, "\r\033[K");
  shown_ = false;
}

InterruptGuard::InterruptGuard() {
  g_interrupted = 0;
  std::signal(SIGINT, OnInterrupt);
}
InterruptGuard::~InterruptGuard() { std::signal(SIGINT, SIG_DFL); }
bool InterruptGuard::Requested() { return g_interrupted != 0; }

bool Emit(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

std::string HumanBytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(kUnits)) value /= 1000, unit++;
  if (unit == 0) return fmt::format("{} B", bytes);
  return fmt::format("{:.{}f} {}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, kUnits[unit]);
}

}  // namespace bonsai::cli
