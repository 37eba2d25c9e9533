// Messages as OpenAI's API has them → values for a chat template.
#pragma once

#include <optional>

#include "server/api_error.h"
#include "text/chat_template.h"

namespace bonsai::server {

/// The member of a JSON object; null when it is absent.
const text::Value* Member(const text::Value& object, std::string_view name);

/// Checks `messages` and brings them into the form that templates are written for: content is one text (parts are
/// joined, absent is empty), the role "developer" is "system", the arguments of tool calls are objects when their text
/// is JSON. Everything else passes as it is, and nothing of it is trusted.
std::optional<ApiError> NormalizeMessages(const text::Value& messages, text::Value& out);

/// Checks `tools`: a list of {"type": "function", "function": {"name": …}}.
std::optional<ApiError> CheckTools(const text::Value& tools);

}  // namespace bonsai::server
