#include "server/generation_request.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <random>

namespace bonsai::server {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxTokens = 1 << 27;

/// `stop`: a text, or several.
std::vector<std::string> ReadStops(Fields& fields) {
  const Json* v = fields.Find("stop");
  if (v == nullptr) return {};
  const Json list = v->is_array() ? *v : Json::array({*v});
  if (list.size() > kMaxStops) {
    fields.Fail("stop", fmt::format("has {} texts; at most {} are taken", list.size(), kMaxStops));
    return {};
  }
  std::vector<std::string> stops;
  for (const Json& item : list) {
    if (!item.is_string()) {
      fields.Fail("stop", fmt::format("must be a string or an array of strings, not {}", KindName(item)));
      return {};
    }
    auto text = item.get<std::string>();
    if (text.size() > kMaxStopBytes) {
      fields.Fail("stop", fmt::format("has a text of {} bytes; at most {} are taken", text.size(), kMaxStopBytes));
      return {};
    }
    if (!text.empty()) stops.push_back(std::move(text));
  }
  return stops;
}

/// `logit_bias`: {"1234": -100, …}
std::vector<engine::LogitBias> ReadBiases(Fields& fields, int32_t vocab) {
  const Json* v = fields.Find("logit_bias");
  if (v == nullptr) return {};
  Fields biases(*v, fields.PathOf("logit_bias"));
  std::vector<engine::LogitBias> out;
  if (v->is_object() && v->size() > kMaxLogitBiases)
    biases.Fail("", fmt::format("has {} tokens; at most {} are taken", v->size(), kMaxLogitBiases));
  for (const auto& item : v->items()) {
    if (!biases.ok()) break;
    const std::string& key = item.key();
    int32_t id = -1;
    const auto [end, failure] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (failure != std::errc() || end != key.data() + key.size() || id < 0 || id >= vocab) {
      biases.Fail("", fmt::format("has a key that is no token id from 0 to {}", vocab - 1));
    } else {
      out.push_back({id, static_cast<float>(biases.Number(key, 0, -100, 100))});
    }
  }
  if (!biases.ok()) fields.Fail(*biases.error());
  return out;
}

void ReadStream(Fields& fields, GenerationRequest& r) {
  r.stream = fields.Bool("stream", false);
  const Json* v = fields.Find("stream_options");
  if (v == nullptr) return;
  if (!r.stream) return fields.Fail("stream_options", "is for streams only: set 'stream', too");
  Fields options(*v, fields.PathOf("stream_options"));
  r.include_usage = options.Bool("include_usage", false);
  if (!options.ok()) fields.Fail(*options.error());
}

int32_t ReadMaxTokens(Fields& fields, int32_t fallback) {
  for (const char* name : {"max_completion_tokens", "max_tokens"})  // the newer name counts
    if (fields.Find(name) != nullptr) {
      // -1, llama.cpp's "no limit", comes from its users.
      const auto n = static_cast<int32_t>(fields.Integer(name, -1, -1, kMaxTokens));
      if (n == 0) fields.Fail(name, "must be at least 1");
      return n;
    }
  return fallback;
}

}  // namespace

GenerationRequest ReadGeneration(Fields& fields, const engine::GenerateOptions& defaults, int32_t vocab) {
  GenerationRequest r;
  engine::GenerateOptions& o = r.options = defaults;
  sampling::Params& p = o.sampling;
  ReadStream(fields, r);
  o.max_tokens = ReadMaxTokens(fields, defaults.max_tokens);
  const auto number = [&](const char* name, float& value, double lo, double hi) {
    value = static_cast<float>(fields.Number(name, value, lo, hi));
  };
  number("temperature", p.temperature, 0, 100);
  number("top_p", p.top_p, 0, 1);
  number("min_p", p.min_p, 0, 1);
  number("presence_penalty", p.presence_penalty, -2, 2);
  number("frequency_penalty", p.frequency_penalty, -2, 2);
  number("repeat_penalty", p.repeat_penalty, 0.01, 100);
  p.top_k = static_cast<int32_t>(fields.Integer("top_k", p.top_k, -1, vocab));
  const int64_t seed = fields.Integer("seed", -1, INT64_MIN, INT64_MAX);
  p.seed = seed != -1 ? static_cast<uint64_t>(seed) : std::random_device{}();  // -1: llama.cpp's "any"
  r.choices = static_cast<int>(fields.Integer("n", 1, 1, kMaxChoices));
  o.stop = ReadStops(fields);
  o.logit_bias = ReadBiases(fields, vocab);
  r.share_prefix = fields.Bool("cache_prompt", true);
  r.cache_salt = fields.Text("cache_salt", "", 256);
  if (fields.ok())
    if (const Status status = sampling::Validate(p); !status) fields.Fail(ToApiError(status.error()));
  return r;
}

std::vector<int32_t> ReadTokens(const Json& array, const std::string& path, int32_t vocab,
                                std::optional<ApiError>& error) {
  std::vector<int32_t> ids;
  ids.reserve(array.size());
  for (const Json& item : array) {
    const bool fits = item.is_number_unsigned() && item.get<uint64_t>() < static_cast<uint64_t>(vocab);
    if (!fits) {
      error = ApiError{.message = fmt::format("'{}[{}]' must be a token id from 0 to {}", path, ids.size(), vocab - 1),
                       .param = path};
      return {};
    }
    ids.push_back(item.get<int32_t>());
  }
  return ids;
}

}  // namespace bonsai::server
