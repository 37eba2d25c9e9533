// bonsai run: a prompt in, text out.
#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "cli/chat.h"
#include "cli/conversation.h"
#include "cli/options.h"
#include "cli/terminal.h"

namespace bonsai::cli {
namespace {

/// What the built-in story model continues when nobody gives it a prompt.
constexpr const char* kStoryPrompt = "Once upon a time, there was a little";

constexpr const char* kExamples =
    "examples:\n"
    "  bonsai run                                      a story from the built-in model\n"
    "  bonsai run model.gguf                           a chat, at a terminal, if the model can chat\n"
    "  bonsai run model.gguf -p \"Why is the sky blue?\"\n"
    "  bonsai run model.gguf -f prompt.txt -n 200 --temp 0 > answer.txt\n"
    "  bonsai run 8B.gguf -md 1.7B.gguf -p \"Why is the sky blue?\"\n"
    "  bonsai run model.gguf --raw --act f32 --prompt-ids 1,2,3 --output-ids -n 48 --temp 0\n";

struct Flags {
  ModelOption model;
  EngineFlags engine;
  GenerationFlags generation;
  ChatFlags chat;
  std::string prompt, prompt_file, prompt_ids;
  bool raw = false, output_ids = false, json = false, verbose = false;
};

void AddFlags(CLI::App& app, Flags& f) {
  f.model.AddTo(app);
  auto* prompt = app.add_option("-p,--prompt", f.prompt, "Prompt");
  auto* file = app.add_option("-f,--file", f.prompt_file, "Read the prompt from a file; - is standard input");
  auto* ids = app.add_option("--prompt-ids", f.prompt_ids, "Prompt as token ids: 1,2,3 (nothing is added)");
  prompt->excludes(file)->excludes(ids);
  file->excludes(ids);
  f.chat.AddTo(app);
  f.generation.AddTo(app);
  app.add_flag("--raw", f.raw, "Continue the prompt as it is, without the file's chat template");
  app.add_flag("--output-ids", f.output_ids, "Print the new token ids, separated by commas, instead of text");
  app.add_flag("--json", f.json, "Print one JSON object: text, token ids, finish reason, timings");
  app.add_flag("-v,--verbose", f.verbose, "Print device, load time and speed on stderr");
  f.engine.AddTo(app);
}

/// The prompt as the file's chat template writes it.
Result<std::vector<int32_t>> ChatPromptIds(const Flags& f, const text::Tokenizer& t, const std::string& user) {
  const auto with_advice = [](const ErrorValue& e) {
    return Error(e.code(), "{} (--raw continues the prompt without the template)", e.message());
  };
  const auto prompter = ChatPrompter::Make(t, f.model.path, f.chat.variables);
  if (!prompter) return with_advice(prompter.error());
  const Conversation c{.system = f.chat.system_prompt, .turns = {{user, std::nullopt}}};
  auto prompt = prompter->Render(c.Messages(0));
  if (!prompt) return with_advice(prompt.error());
  return std::move(prompt->ids);
}

struct Prompt {
  std::vector<int32_t> ids;
  std::string echo;  ///< Shown before the continuation.
};

Result<Prompt> MakePrompt(const Flags& f, const text::Tokenizer& t) {
  Prompt p;
  if (!f.prompt_ids.empty()) {
    BONSAI_ASSIGN(p.ids, ParseIds(f.prompt_ids));
    return p;
  }
  std::string text = f.prompt;
  if (!f.prompt_file.empty()) {
    BONSAI_ASSIGN(text, ReadTextFile(f.prompt_file));
  }
  const bool story = text.empty() && f.model.path.empty();
  if (story) text = kStoryPrompt;
  if (text.empty())
    return Error(ErrorCode::kInvalidArgument, "nothing to continue: give a prompt with -p TEXT or -f FILE");
  const bool chat = !f.raw && !story && !t.chat_template().empty();
  if (!chat && (!f.chat.system_prompt.empty() || !f.chat.variables.empty())) {
    return Error(ErrorCode::kInvalidArgument, "{} needs a chat: {}",
                 !f.chat.system_prompt.empty()    ? "--system-prompt"
                 : !f.chat.variables.json.empty() ? "--chat-template-kwargs"
                                                  : "--reasoning-budget",
                 f.raw ? "leave --raw away" : "this file has no chat template");
  }
  if (chat) {
    BONSAI_ASSIGN(p.ids, ChatPromptIds(f, t, text));
  } else {
    p.ids = t.Encode(text, {.add_special = true, .parse_special = f.raw});
  }
  if (story || (!chat && StdoutIsTerminal())) p.echo = text;
  return p;
}

void PrintJson(const Prompt& prompt, const std::string& text, const engine::GenerateResult& r) {
  const auto rate = [](size_t n, double seconds) { return seconds > 0 ? static_cast<double>(n) / seconds : 0.0; };
  const nlohmann::json j = {{"prompt_tokens", prompt.ids.size()},
                            {"tokens", r.tokens},
                            {"text", text},
                            {"finish_reason", engine::FinishReasonName(r.reason)},
                            {"timings",
                             {{"prompt_n", prompt.ids.size()},
                              {"prompt_ms", r.prompt_seconds * 1e3},
                              {"prompt_per_second", rate(prompt.ids.size(), r.prompt_seconds)},
                              {"predicted_n", r.tokens.size()},
                              {"predicted_ms", r.generate_seconds * 1e3},
                              {"predicted_per_second", rate(r.tokens.size(), r.generate_seconds)}}}};
  Emit(j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

void PrintEnd(const engine::GenerateResult& r, int32_t context) {
  if (r.reason == engine::FinishReason::kLoop)
    fmt::print(stderr, "bonsai: stopped: the last tokens repeat every {} tokens (--no-loop-guard goes on)\n",
               r.loop_period);
  if (r.reason == engine::FinishReason::kLength && r.prompt_tokens + static_cast<int32_t>(r.tokens.size()) >= context)
    fmt::print(stderr, "bonsai: stopped: length, the context of {} tokens is full (-c makes it longer)\n", context);
}

void PrintSpeed(const engine::Engine& e, double load_seconds, const engine::GenerateResult& r) {
  const auto n = static_cast<double>(r.tokens.size());
  const std::string guesses =
      r.drafted_tokens == 0 ? "" : fmt::format(", {} of {} guesses right", r.accepted_tokens, r.drafted_tokens);
  fmt::print(stderr,
             "[{}; loaded in {:.2f} s; prompt {} tokens, {:.1f} tok/s; generated {} tokens, {:.1f} tok/s{}; {}]\n",
             e.device_name(), load_seconds, r.prompt_tokens, r.prompt_tokens / std::max(r.prompt_seconds, 1e-9),
             r.tokens.size(), n / std::max(r.generate_seconds, 1e-9), guesses, engine::FinishReasonName(r.reason));
}

/// Somebody at a terminal who named a model that chats, and nothing to continue.
bool WantsChat(const Flags& f, const formats::ModelFile& file) {
  const bool prompt = !f.prompt.empty() || !f.prompt_file.empty() || !f.prompt_ids.empty();
  return !prompt && !f.raw && !f.json && !f.output_ids && !f.model.path.empty() && StdinIsTerminal() &&
         StdoutIsTerminal() && HasChatTemplate(file);
}

Status Generate(const Flags& f, const SamplingFlags& sampling) {
  BONSAI_ASSIGN(const auto file, f.model.Open());
  if (WantsChat(f, *file))
    return Chat(*file, {.model = f.model, .engine = f.engine, .generation = f.generation, .chat = f.chat}, sampling);
  engine::EngineOptions options = f.engine.ToOptions();
  BONSAI_ASSIGN(const auto draft, f.generation.draft.Open(f.model, options));
  const auto start = std::chrono::steady_clock::now();
  BONSAI_ASSIGN(const auto e, LoadEngine(*file, options));
  const double load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  BONSAI_ASSIGN(const Prompt prompt, MakePrompt(f, e->tokenizer()));

  const bool stream = !f.output_ids && !f.json;
  std::string text;
  InterruptGuard interrupt;
  engine::GenerateOptions g = f.generation.ToOptions();
  g.sampling = sampling.Merge(e->default_sampling());
  g.loop_guard = g.loop_guard && f.prompt_ids.empty();
  if (stream && !prompt.echo.empty()) {
    const bool colour = StdoutIsTerminal();
    Emit((colour ? "\033[1m" : "") + prompt.echo + (colour ? "\033[0m" : ""));
  }
  BONSAI_ASSIGN(const engine::GenerateResult result, e->Generate(prompt.ids, g, [&](const engine::Token& token) {
    if (stream && !Emit(token.text)) return false;
    text += token.text;
    return !InterruptGuard::Requested();
  }));
  if (stream) Emit("\n");
  if (f.output_ids) Emit(fmt::format("{}\n", fmt::join(result.tokens, ",")));
  if (f.json) PrintJson(prompt, text, result);
  if (stream) PrintEnd(result, e->plan().context);
  if (f.verbose || (stream && StdoutIsTerminal() && StderrIsTerminal())) PrintSpeed(*e, load_seconds, result);
  return {};
}

}  // namespace

int RunVerb(int argc, char** argv) {
  CLI::App app("Generate text from a prompt.", "bonsai run");
  Flags flags;
  SamplingFlags sampling;
  AddFlags(app, flags);
  sampling.AddTo(app);
  app.footer(kExamples);
  if (const int code = Parse(app, argc, argv); code >= 0) return code;
  const Status status = Generate(flags, sampling);
  return status ? kDone : Fail(status.error());
}

}  // namespace bonsai::cli
