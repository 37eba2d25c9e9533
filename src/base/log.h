// Log lines go to whoever owns the program: the library never prints.
#pragma once

#include <functional>
#include <string_view>

namespace bonsai {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// Receives one line without its newline. Must be thread safe. An empty function drops everything.
using LogSink = std::function<void(LogLevel level, std::string_view line)>;

}  // namespace bonsai
