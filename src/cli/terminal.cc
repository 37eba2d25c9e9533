#include "cli/terminal.h"

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "base/utf8.h"

namespace bonsai::cli {
namespace {

volatile std::sig_atomic_t g_interrupted = 0, g_stays = 0;

extern "C" void OnInterrupt(int) {
  g_interrupted = 1;
  if (g_stays == 0) std::signal(SIGINT, SIG_DFL);
}

}  // namespace

bool StdinIsTerminal() { return ::isatty(STDIN_FILENO) != 0; }
bool StdoutIsTerminal() { return ::isatty(STDOUT_FILENO) != 0; }
bool StderrIsTerminal() { return ::isatty(STDERR_FILENO) != 0; }

bool TerminalKnowsEscapes() {
  const char* const term = std::getenv("TERM");
  return term != nullptr && *term != 0 && std::string_view(term) != "dumb";
}

bool ColourWanted() {
  const char* const no = std::getenv("NO_COLOR");
  return (no == nullptr || *no == 0) && TerminalKnowsEscapes();
}

std::string ForTerminal(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t n = Utf8CharLength(text);
    const auto c = static_cast<unsigned char>(text[0]);
    if (n == 0 || (n == 2 && c == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0))
      out += "\xef\xbf\xbd";
    else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
      out += {'\xe2', '\x90', static_cast<char>(c == 0x7f ? 0xa1 : 0x80 + c)};
    else
      out += text.substr(0, n);
    text.remove_prefix(std::max<size_t>(n, 1));
  }
  return out;
}

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

InterruptGuard::InterruptGuard(bool stays) {
  g_interrupted = 0;
  g_stays = stays ? 1 : 0;
  std::signal(SIGINT, OnInterrupt);
}
InterruptGuard::~InterruptGuard() { std::signal(SIGINT, SIG_DFL); }
bool InterruptGuard::Requested() { return g_interrupted != 0; }
void InterruptGuard::Clear() { g_interrupted = 0; }

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
