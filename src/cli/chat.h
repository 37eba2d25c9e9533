// bonsai chat, and bonsai run where it becomes one.
#pragma once

#include <string>

#include "base/status.h"
#include "cli/options.h"
#include "formats/model_file.h"

namespace bonsai::cli {

struct ChatRequest {
  ModelOption model = {};  ///< For messages and a draft model: the file is open.
  EngineFlags engine = {};
  GenerationFlags generation = {};
  ChatFlags chat = {};
  std::string first_message = {};  ///< Answered before anything is read; empty: none.
  bool hide_reasoning = false;
};

/// Whether the file says how its model is chatted with.
bool HasChatTemplate(const formats::ModelFile& file);

/// Loads the model and chats until the input ends or the user leaves. Somebody at a terminal gets to see errors and
/// goes on; in a pipe the first one ends it. kInvalidArgument without a model, kUnsupported for one without a template.
Status Chat(const formats::ModelFile& file, const ChatRequest& request, const SamplingFlags& sampling);

}  // namespace bonsai::cli
