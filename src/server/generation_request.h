// What chat and text completions have in common: sampling, length, stop texts, choices, streaming.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/generation.h"
#include "server/fields.h"

namespace bonsai::server {

// Caps on what one request may ask for.
inline constexpr int kMaxChoices = 16;
inline constexpr size_t kMaxStops = 16, kMaxStopBytes = 512;
inline constexpr size_t kMaxLogitBiases = 1024;
inline constexpr int kMaxTopLogprobs = 20;

struct GenerationRequest {
  engine::GenerateOptions options;  ///< Of the first choice; the others differ in their seeds.
  int choices = 1;
  bool stream = false;
  bool include_usage = false;
  bool share_prefix = true;  ///< cache_prompt
  std::string cache_salt;
};

/// Reads `stream, stream_options, max_tokens, max_completion_tokens, temperature, top_p, top_k, min_p, repeat_penalty,
/// presence_penalty, frequency_penalty, n, stop, seed, logit_bias, cache_prompt, cache_salt` over `defaults`. A request
/// without a seed gets a random one. `vocab`: token ids are below it.
GenerationRequest ReadGeneration(Fields& fields, const engine::GenerateOptions& defaults, int32_t vocab);

/// A prompt as token ids: an array of integers from 0 to vocab - 1. `path` is for messages.
std::vector<int32_t> ReadTokens(const nlohmann::json& array, const std::string& path, int32_t vocab,
                                std::optional<ApiError>& error);

}  // namespace bonsai::server
