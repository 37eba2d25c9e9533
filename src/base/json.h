// The one way in for JSON from outside: files of models, requests, answers of servers. Only .cc files include this.
//
//   BONSAI_ASSIGN(const nlohmann::json doc, ParseJson("model/config.json", text));
//   BONSAI_ASSIGN(doc, ParseJson(name, text, {.bytes = size_t{1} << 20}));
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/status.h"

namespace bonsai {

/// What a document may cost. A value (number, string, array …) takes 16 bytes of memory and up.
struct JsonLimits {
  size_t bytes = size_t{1} << 28;
  size_t values = 8'000'000;  ///< Keys count as well. The largest tokenizer.json that we know has 2.1 million.
  int depth = 64;             ///< Of arrays and objects inside each other; [] has depth 1.
};

/// Parses RFC 8259 JSON, strictly: one value, no comments, well-formed UTF-8, no key twice in an object (RFC 8259
/// leaves open which one counts, so two readers of a file would see two models). The limits hold while the document is
/// built, so a hostile text never costs more than they say. kCorrupt, in one line: `name`, the byte and what was
/// expected there. Thread safe; no exception but std::bad_alloc leaves it.
Result<nlohmann::json> ParseJson(std::string_view name, std::string_view text, const JsonLimits& limits = {});

/// The same document as events in the order of the text, for readers to whom the order of keys matters (nlohmann::json
/// sorts them). ParseJson comes first, so `events` sees only what it accepts, and no parse_error.
Status ReadJson(std::string_view name, std::string_view text, nlohmann::json_sax<nlohmann::json>& events,
                const JsonLimits& limits = {});

}  // namespace bonsai
