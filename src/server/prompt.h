// From a conversation to the model's prompt, for every endpoint that has messages.
#pragma once

#include "server/chat_request.h"
#include "server/service.h"

namespace bonsai::server {

ChatDefaults DefaultsOf(const Service& service);

/// Renders the model's template. kInvalidArgument, kUnsupported or kCorrupt: it has none, or refuses the conversation.
Result<text::RenderedPrompt> RenderPrompt(const Service& service, text::ChatInput input);

}  // namespace bonsai::server
