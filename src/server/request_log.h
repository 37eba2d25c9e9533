// One line for each request: JSON for programs, or a short text for people. What anybody wrote is in it only when the
// server was asked for that.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/exchange.h"

namespace bonsai::server {

struct RequestRecord {
  std::string id, remote, method, path;
  int status = 0;
  double seconds = 0;
  bool disconnected = false;  ///< The client went before the end.
  std::string error = {};
  /// Of generations.
  struct Tokens {
    int prompt = 0, cached = 0, completion = 0;
    double queue_seconds = 0, first_token_seconds = 0;
    std::vector<std::string> finish = {};  ///< For each choice.
  };
  std::optional<Tokens> tokens = {};
  /// The request's body and what the model wrote: only with --log-content.
  std::optional<std::string> asked = {}, answered = {};
};

/// {"time":…,"level":"info","event":"request","id":…}. `time`: as Now().
std::string JsonLine(const RequestRecord& record, const std::string& time);
/// req-7 POST /v1/chat/completions 200 1.25 s, 30 + 12 tokens, stop
std::string TextLine(const RequestRecord& record);
/// UTC, RFC 3339 with milliseconds.
std::string Now();

}  // namespace bonsai::server
