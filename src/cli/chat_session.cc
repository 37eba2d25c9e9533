#include "cli/chat_session.h"

#include <algorithm>
#include <utility>

#include "cli/terminal.h"
#include "server/output_parser.h"

namespace bonsai::cli {
namespace {

using server::OutputEvent;

constexpr std::string_view kDim = "\033[2m", kPlain = "\033[0m";

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// Writes an answer as it comes: reasoning set apart from the answer itself, or left out.
class AnswerWriter {
 public:
  AnswerWriter(const ChatSettings& settings, const std::function<bool(std::string_view)>& out)
      : settings_(settings), out_(out) {}

  void Write(const OutputEvent& event) {
    const bool reasoning = event.kind == OutputEvent::Kind::kReasoning;
    if (!reasoning) answer_ += event.text;
    if (reasoning && (!settings_.terminal || settings_.hide_reasoning)) return;
    if (reasoning && !dim_) Put(settings_.colour ? kDim : "");
    if (!reasoning && dim_) Put(std::string(settings_.colour ? kPlain : "") + "\n\n");
    dim_ = reasoning;
    Put(settings_.terminal ? ForTerminal(event.text) : event.text);
  }
  /// Ends the last line.
  void Finish() { Put(dim_ && settings_.colour ? std::string(kPlain) + "\n" : "\n"); }
  /// False when nobody reads any more.
  bool ok() const { return ok_; }
  const std::string& answer() const { return answer_; }

 private:
  void Put(std::string_view text) { ok_ = ok_ && (text.empty() || out_(text)); }

  const ChatSettings& settings_;
  const std::function<bool(std::string_view)>& out_;
  std::string answer_;
  bool dim_ = false, ok_ = true;
};

/// Of a prompt, what the cache is known to hold: how many tokens begin both, in whole blocks.
size_t CommonBlocks(std::span<const int32_t> a, std::span<const int32_t> b) {
  const size_t n = std::min(a.size(), b.size());
  const auto differ = std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(n), b.begin());
  return static_cast<size_t>(differ.first - a.begin()) / kernels::kKvBlock * kernels::kKvBlock;
}

}  // namespace

ChatSession::ChatSession(engine::Engine& engine, ChatSettings settings, ChatOutput output, ChatPrompter prompter)
    : engine_(engine), settings_(std::move(settings)), output_(std::move(output)), prompter_(std::move(prompter)) {
  conversation_.system = settings_.system_prompt;
}

Result<std::unique_ptr<ChatSession>> ChatSession::Make(engine::Engine& engine, ChatSettings settings,
                                                       ChatOutput output) {
  BONSAI_ASSIGN(ChatPrompter prompter, ChatPrompter::Make(engine.tokenizer(), settings.model, settings.variables));
  return std::unique_ptr<ChatSession>(
      new ChatSession(engine, std::move(settings), std::move(output), std::move(prompter)));
}

Status ChatSession::Handle(std::string_view input) {
  if (std::all_of(input.begin(), input.end(), IsSpace)) return {};
  // "/usr/bin holds" and "// what is this?" are messages.
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  size_t word = 1;
  while (word < input.size() && is_letter(input[word])) word++;
  const bool command = input[0] == '/' && word > 1 && (word == input.size() || IsSpace(input[word]));
  if (command && input.find('\n') == std::string_view::npos) return Run(input);
  return Say(input);
}

Status ChatSession::Say(std::string_view message) {
  conversation_.turns.push_back({std::exchange(attached_, {}).append(message), std::nullopt});
  Status status = Answer();
  if (!status) conversation_.turns.pop_back();
  return status;
}

/// Answers the last turn.
Status ChatSession::Answer() {
  const size_t first = conversation_.first;
  const int32_t context = engine_.plan().context;
  BONSAI_ASSIGN(const ChatPrompt prompt, prompter_.Fit(conversation_, context, settings_.generate.max_tokens));
  if (const size_t dropped = conversation_.first - first; dropped > 0)
    output_.note(fmt::format("the context of {} tokens is full: the oldest {} dropped (-c makes it longer)", context,
                             dropped == 1 ? "turn is" : fmt::format("{} turns are", dropped)));
  std::string answer;
  BONSAI_ASSIGN(engine::GenerateResult result, Generate(prompt, answer));
  conversation_.turns.back().answer = std::move(answer);
  NoteEnd(result);
  cached_ = prompt.ids;
  cached_.insert(cached_.end(), result.tokens.begin(), result.tokens.end());
  total_tokens_ += static_cast<int64_t>(result.tokens.size());
  last_ = std::move(result);
  return {};
}

Result<engine::GenerateResult> ChatSession::Generate(const ChatPrompt& prompt, std::string& answer) {
  engine::GenerateOptions options = settings_.generate;
  options.sampling.seed += answers_++;
  AnswerWriter writer(settings_, output_.answer);
  server::OutputParser parser({.starts_in_reasoning = prompt.in_reasoning},
                              [&](const OutputEvent& event) { writer.Write(event); });
  Progress reading("reading");
  const uint64_t unread = prompt.ids.size() - std::min(CommonBlocks(prompt.ids, cached_), prompt.ids.size());
  const auto rows = static_cast<uint64_t>(std::max(1, settings_.batch_rows));
  uint64_t batches = 0;
  bool begun = false;
  const auto stop = [&] { return !writer.ok() || (output_.interrupted && output_.interrupted()); };
  auto result = engine_.Generate(
      prompt.ids, options,
      [&](const engine::Token& token) {
        if (!begun) reading.Clear();
        begun = true;
        parser.Push(token.text);
        return !stop();
      },
      [&] {
        if (!begun) reading.Update(std::min(unread, batches++ * rows), unread);
        return !stop();
      });
  reading.Clear();
  parser.Finish();
  if (result || !writer.answer().empty()) writer.Finish();
  done_ = done_ || !writer.ok();
  answer = writer.answer();
  return result;
}

void ChatSession::NoteEnd(const engine::GenerateResult& r) {
  const int32_t context = engine_.plan().context;
  if (r.reason == engine::FinishReason::kLoop)
    output_.note(
        fmt::format("stopped: the last tokens repeat every {} tokens (--no-loop-guard goes on)", r.loop_period));
  if (r.reason == engine::FinishReason::kLength && r.prompt_tokens + static_cast<int32_t>(r.tokens.size()) >= context)
    output_.note(fmt::format("stopped: the context of {} tokens is full (-c makes it longer)", context));
}

}  // namespace bonsai::cli
