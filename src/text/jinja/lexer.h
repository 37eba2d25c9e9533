// Template source → tokens, as Jinja 3 splits it with trim_blocks and lstrip_blocks on (what Hugging Face sets):
// the newline after a block or comment goes, and so does the white space between the start of a line and one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace bonsai::text::jinja {

struct Token {
  enum class Kind : uint8_t {
    kData,  ///< Text between tags, white space control applied.
    kPrintBegin,
    kPrintEnd,  ///< {{ }}
    kBlockBegin,
    kBlockEnd,  ///< {% %}
    kName,
    kString,  ///< `text` is what the literal means.
    kInteger,
    kFloat,
    kOperator,  ///< `text` is its spelling.
    kEnd,
  };
  Kind kind = Kind::kEnd;
  int line = 1;
  std::string text;
  int64_t integer = 0;
  double real = 0;
};

/// All tokens, kEnd last. kCorrupt: "line N: what". Linear.
Result<std::vector<Token>> Lex(std::string_view source);

}  // namespace bonsai::text::jinja
