// bonsai chat: a conversation in the terminal, or through a pipe.
#include "cli/chat.h"

#include <filesystem>

#include "cli/chat_session.h"
#include "cli/line_editor.h"
#include "cli/terminal.h"

namespace bonsai::cli {
namespace {

constexpr const char* kExamples =
    "examples:\n"
    "  bonsai chat model.gguf\n"
    "  bonsai chat model.gguf -sys \"Answer in one sentence.\" -p \"Why is the sky blue?\"\n"
    "  bonsai chat model.gguf --reasoning-budget 0 -c 16384\n"
    "  printf 'Hi\\nAnd who are you?\\n' | bonsai chat model.gguf > answers.txt\n"
    "\n"
    "Each line is a message; /help lists the commands. Ctrl-C stops an answer, Ctrl-D leaves. In a pipe only the\n"
    "answers are printed, without reasoning. What was typed is kept in ~/.local/state/bonsai/history.\n";

/// One line about what happened, on stderr.
void Note(std::string_view line) {
  const bool dim = StderrIsTerminal() && ColourWanted();
  fmt::print(stderr, "{}{}{}\n", dim ? "\033[2m" : "", ForTerminal(line), dim ? "\033[0m" : "");
}

std::string Greeting(const ChatRequest& request, const engine::Engine& engine) {
  const std::filesystem::path path(request.model.path);
  return fmt::format("{}, context of {} tokens; /help lists commands, Ctrl-C stops an answer, Ctrl-D leaves",
                     (path.has_filename() ? path : path.parent_path()).filename().string(), engine.plan().context);
}

/// Reads and answers until the end. Interactive: errors are told, and it goes on.
Status Converse(ChatSession& session, const std::string& first_message, bool interactive) {
  LineEditor editor({.history_file = interactive ? HistoryFile() : "",
                     .colour = ColourWanted(),
                     .complete = [](std::string_view before) { return ChatSession::Complete(before); }});
  const auto handle = [&](const std::string& message) -> Status {
    Status status = session.Handle(message);
    if (status || !interactive) return status;
    fmt::print(stderr, "bonsai: {}\n", ForTerminal(status.error().message()));
    return {};
  };
  if (!first_message.empty()) BONSAI_RETURN_IF_ERROR(handle(first_message));
  while (!session.done()) {
    InterruptGuard::Clear();
    const Input input = ReadMessage([&](bool more) { return editor.Read(more ? "... " : "> "); });
    if (input.kind == Input::Kind::kEnd) break;
    if (input.kind == Input::Kind::kInterrupted) continue;
    if (input.text.find_first_not_of(" \t\r\n") != std::string::npos) editor.Remember(input.text);
    InterruptGuard::Clear();  // of plain lines: they took no notice
    BONSAI_RETURN_IF_ERROR(handle(input.text));
  }
  return {};
}

}  // namespace

bool HasChatTemplate(const formats::ModelFile& file) {
  const auto text = file.metadata().GetStringOr("tokenizer.chat_template", "");
  return text && !text->empty();
}

Status Chat(const formats::ModelFile& file, const ChatRequest& request, const SamplingFlags& sampling) {
  if (request.model.path.empty())
    return Error(ErrorCode::kInvalidArgument,
                 "name a model to chat with: bonsai chat MODEL.gguf (the built-in one only tells stories: bonsai run)");
  if (!HasChatTemplate(file))
    return Error(ErrorCode::kUnsupported, "{}: has no chat template; `bonsai run` continues text with it",
                 request.model.path);
  engine::EngineOptions options = request.engine.ToOptions();
  BONSAI_ASSIGN(const auto draft, request.generation.draft.Open(request.model, options));
  BONSAI_ASSIGN(const auto engine, LoadEngine(file, options));
  ChatSettings settings{.model = request.model.path,
                        .system_prompt = request.chat.system_prompt,
                        .variables = request.chat.variables,
                        .generate = request.generation.ToOptions(),
                        .batch_rows = request.engine.batch_rows,
                        .terminal = StdoutIsTerminal(),
                        .colour = StdoutIsTerminal() && ColourWanted(),
                        .hide_reasoning = request.hide_reasoning};
  settings.generate.sampling = sampling.Merge(engine->default_sampling());
  const bool interactive = StdinIsTerminal() && StdoutIsTerminal();
  ChatOutput output{.answer = Emit, .note = Note};
  std::optional<InterruptGuard> guard;  // in a pipe Ctrl-C ends the program
  if (interactive) {
    guard.emplace(/*stays=*/true);
    output.interrupted = InterruptGuard::Requested;
  }
  BONSAI_ASSIGN(const auto session, ChatSession::Make(*engine, std::move(settings), std::move(output)));
  if (interactive) Note(Greeting(request, *engine));
  return Converse(*session, request.first_message, interactive);
}

int ChatVerb(int argc, char** argv) {
  CLI::App app("Chat with a model.", "bonsai chat");
  SamplingFlags sampling;
  ChatRequest request;
  request.model.AddTo(app);
  app.add_option("-p,--prompt", request.first_message, "First message");
  request.chat.AddTo(app);
  app.add_flag("--hide-reasoning", request.hide_reasoning, "Do not show what the model thinks before it answers");
  request.generation.AddTo(app);
  request.engine.AddTo(app);
  sampling.AddTo(app);
  app.footer(kExamples);
  if (const int code = Parse(app, argc, argv); code >= 0) return code;
  const auto file = request.model.Open();
  if (!file) return Fail(file.error());
  const Status status = Chat(**file, request, sampling);
  return status ? kDone : Fail(status.error());
}

}  // namespace bonsai::cli
