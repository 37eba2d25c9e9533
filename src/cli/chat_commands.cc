// The commands of a chat: a row in the table and a function each.
#include <algorithm>
#include <array>
#include <utility>

#include "base/atomic_file.h"
#include "base/machine.h"
#include "base/utf8.h"
#include "cli/chat_session.h"
#include "cli/options.h"
#include "cli/terminal.h"

namespace bonsai::cli {
namespace {

/// More than any context holds, and read in a moment.
constexpr size_t kMaxAttached = size_t{4} << 20;

std::string_view Trim(std::string_view s) {
  const size_t begin = std::min(s.find_first_not_of(" \t\r"), s.size());
  s.remove_prefix(begin);
  return s.substr(0, s.find_last_not_of(" \t\r") + 1);
}

bool TakesFile(std::string_view argument) { return argument == "FILE"; }

std::string Turns(size_t n) { return n == 1 ? "1 turn" : fmt::format("{} turns", n); }

double Rate(int32_t tokens, double seconds) { return seconds > 0 ? tokens / seconds : 0; }

}  // namespace

std::span<const ChatSession::Command> ChatSession::Commands() {
  static constexpr std::array<Command, 9> kCommands = {{
      {"help", "", "this list", &ChatSession::Help},
      {"clear", "", "forget the conversation; the system prompt stays", &ChatSession::Clear},
      {"regen", "", "answer the last message anew, with another seed", &ChatSession::Regenerate},
      {"read", "FILE", "add a file's text to the next message", &ChatSession::Read},
      {"system", "[TEXT]", "show the system prompt, or set it from the next turn on; - removes it",
       &ChatSession::System},
      {"stats", "", "context, speed, cache, memory", &ChatSession::Stats},
      {"save", "FILE", "write the conversation as JSON: {\"messages\": [...]}", &ChatSession::Save},
      {"load", "FILE", "go on with a conversation that was saved", &ChatSession::Load},
      {"exit", "", "leave (so does Ctrl-D)", &ChatSession::Exit},
  }};
  return kCommands;
}

Status ChatSession::Run(std::string_view line) {
  line.remove_prefix(1);
  const std::string_view name = line.substr(0, line.find_first_of(" \t\r"));
  const std::string argument(Trim(line.substr(name.size())));
  std::string all;
  for (const Command& c : Commands()) {
    if (c.name != name) {
      all += fmt::format(" /{}", c.name);
      continue;
    }
    if (c.argument.empty() && !argument.empty())
      return Error(ErrorCode::kInvalidArgument, "/{} takes no argument", name);
    if (!c.argument.empty() && c.argument[0] != '[' && argument.empty())
      return Error(ErrorCode::kInvalidArgument, "/{} needs one: /{} {}", name, name, c.argument);
    if (!TakesFile(c.argument)) return (this->*c.run)(argument);
    return (this->*c.run)(argument == "-" ? "./-" : ExpandHome(argument));  // not standard input
  }
  return Error(ErrorCode::kInvalidArgument,
               "/{} is no command; there are{} (a space before the slash sends it as text)", name, all);
}

Completion ChatSession::Complete(std::string_view before) {
  if (!before.starts_with('/')) return {};
  const size_t space = before.find(' ');
  if (space == std::string_view::npos) {
    std::vector<std::string> names;
    for (const Command& c : Commands()) names.push_back(fmt::format("/{}", c.name));
    return CompleteFrom(before, std::move(names), " ");
  }
  for (const Command& c : Commands())
    if (c.name == before.substr(1, space - 1) && TakesFile(c.argument)) return CompletePath(Trim(before.substr(space)));
  return {};
}

Status ChatSession::Help(const std::string&) {
  std::string text;
  for (const Command& c : Commands())
    text += fmt::format("{:<16} {}\n", fmt::format("/{} {}", c.name, c.argument), c.help);
  text +=
      "A message of several lines: end a line with \\, or write \"\"\" before the first and after the last.\n"
      "Ctrl-C stops an answer.\n";
  done_ = !output_.answer(text);
  return {};
}

Status ChatSession::Clear(const std::string&) {
  conversation_ = {.system = std::move(conversation_.system)};
  attached_.clear();
  last_.reset();
  output_.note("the conversation is forgotten");
  return {};
}

Status ChatSession::Regenerate(const std::string&) {
  if (conversation_.turns.empty()) return Error(ErrorCode::kInvalidArgument, "there is no message to answer anew");
  Turn& turn = conversation_.turns.back();
  const std::optional<std::string> before = std::exchange(turn.answer, std::nullopt);
  Status status = Answer();
  if (!status) conversation_.turns.back().answer = before;
  return status;
}

Status ChatSession::Read(const std::string& path) {
  BONSAI_ASSIGN(const std::string text, ReadTextFile(path, kMaxAttached));
  if (!IsUtf8(text) || text.find('\0') != std::string::npos)
    return Error(ErrorCode::kInvalidArgument, "{}: is no text in UTF-8", path);
  const size_t tokens = engine_.tokenizer().Encode(attached_ + text).size();
  if (tokens >= static_cast<size_t>(engine_.plan().context))
    return Error(ErrorCode::kInvalidArgument, "{}: with it the message has {} tokens, and the context holds {}", path,
                 tokens, engine_.plan().context);
  attached_ += text + (text.ends_with('\n') ? "\n" : "\n\n");
  output_.note(fmt::format("{}: {} bytes; the next message begins with {} tokens", path, text.size(), tokens));
  return {};
}

Status ChatSession::System(const std::string& text) {
  if (!text.empty()) {
    conversation_.system = text == "-" ? "" : text;
    output_.note(text == "-" ? "no system prompt from the next turn on"
                             : "the system prompt counts from the next turn on");
    return {};
  }
  if (conversation_.system.empty())
    output_.note("there is no system prompt");
  else
    done_ = !output_.answer((settings_.terminal ? ForTerminal(conversation_.system) : conversation_.system) + "\n");
  return {};
}

Status ChatSession::Stats(const std::string&) {
  const engine::MemoryPlan& plan = engine_.plan();
  const size_t turns = conversation_.turns.size(), dropped = conversation_.first;
  const int32_t used = last_ ? last_->prompt_tokens + static_cast<int32_t>(last_->tokens.size()) : 0;
  std::string text = fmt::format("context  {} of {} tokens, {}{}\n", used, plan.context, Turns(turns - dropped),
                                 dropped == 0 ? "" : fmt::format("; {} dropped", Turns(dropped)));
  if (last_ && !last_->tokens.empty()) {  // else it was stopped before it had read the prompt
    const int32_t read = last_->prompt_tokens - last_->cached_tokens, n = static_cast<int32_t>(last_->tokens.size());
    text += fmt::format("prompt   {} tokens read, {:.1f} tok/s; {} found in the cache\n", read,
                        Rate(read, last_->prompt_seconds), last_->cached_tokens);
    text += fmt::format("answer   {} tokens, {:.1f} tok/s; {} in all answers\n", n, Rate(n, last_->generate_seconds),
                        total_tokens_);
  }
  text += fmt::format("memory   {} in use at most; weights {}, KV cache up to {}\n", HumanBytes(PeakResidentMemory()),
                      HumanBytes(plan.weights), HumanBytes(plan.kv));
  done_ = !output_.answer(text);
  return {};
}

Status ChatSession::Save(const std::string& path) {
  const std::string text = conversation_.ToJson();
  BONSAI_ASSIGN(AtomicFile file, AtomicFile::Create(path));
  BONSAI_RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(text))));
  BONSAI_RETURN_IF_ERROR(file.Commit());
  output_.note(fmt::format("{}: {}", path, Turns(conversation_.turns.size())));
  return {};
}

Status ChatSession::Load(const std::string& path) {
  BONSAI_ASSIGN(const std::string text, ReadTextFile(path, Conversation::kMaxBytes));
  BONSAI_ASSIGN(Conversation loaded, Conversation::FromJson(path, text));
  const bool answered = loaded.turns.empty() || loaded.turns.back().answer.has_value();
  Conversation before = std::exchange(conversation_, std::move(loaded));
  output_.note(fmt::format("{}: {}{}", path, Turns(conversation_.turns.size()),
                           conversation_.system.empty() ? "" : " and a system prompt"));
  last_.reset();
  if (Status status = answered ? Status() : Answer(); !status) {
    conversation_ = std::move(before);
    return status;
  }
  attached_.clear();
  return {};
}

Status ChatSession::Exit(const std::string&) {
  done_ = true;
  return {};
}

}  // namespace bonsai::cli
