// Template source → syntax tree: the language of Jinja 3 (https://jinja.palletsprojects.com/en/stable/templates/) less
// what needs other files (extends, block, include, import), autoescape and recursive loops; with break, continue and
// Hugging Face's generation tag. Tuples are lists and print as such, integers have 64 bits, and * and ** before
// arguments are not supported.
#pragma once

#include <string_view>

#include "base/status.h"
#include "text/jinja/ast.h"

namespace bonsai::text::jinja {

/// Errors are "line N: what": kCorrupt for what is no template, kUnsupported for tags, filters and tests that we do
/// not have, and for nesting deeper than real templates need.
Result<Body> Parse(std::string_view source);

}  // namespace bonsai::text::jinja
