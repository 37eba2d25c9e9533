// CHECK: for what a programmer can get wrong. What data or a user can cause is a Result (base/status.h) instead.
#pragma once

namespace bonsai {

/// Prints `file:line: CHECK failed: what` to stderr and aborts. Never returns; thread safe.
[[noreturn]] void CheckFailed(const char* file, int line, const char* what);

}  // namespace bonsai

/// Aborts when `cond` is false, in every build type: an invariant that is broken must not go on to corrupt memory.
#define BONSAI_CHECK(cond) \
  (static_cast<bool>(cond) ? static_cast<void>(0) : ::bonsai::CheckFailed(__FILE__, __LINE__, #cond))
