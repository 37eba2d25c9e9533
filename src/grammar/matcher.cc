#include "grammar/matcher.h"

#include <algorithm>
#include <utility>

namespace bonsai::grammar {
namespace {

/// Longer completions are counted a token a byte: they exceed what models write.
constexpr size_t kMostSpelled = 65536;
constexpr uint32_t kNotCounted = UINT32_MAX - 1;

}  // namespace

Constraint::Constraint(std::shared_ptr<const Program> program, std::shared_ptr<const Vocabulary> vocabulary,
                       const Limits& limits)
    : vocabulary_(std::move(vocabulary)), program_(std::move(program)), limits_(limits) {
  for (uint32_t a = 0; a < program_->automata(); a++) {
    const auto& automaton = program_->shared_automaton(a);
    masks_.push_back(automaton->calls.empty() ? vocabulary_->MasksOf(automaton) : nullptr);
  }
}

Matcher::Matcher(std::shared_ptr<const Constraint> constraint)
    : constraint_(std::move(constraint)),
      stacks_(std::make_unique<Stacks>(constraint_->program(), constraint_->limits())),
      set_(stacks_->start()) {}

Status Matcher::AcceptBytes(std::string_view bytes) {
  if (ended_) return Error(ErrorCode::kInvalidArgument, "the text has ended already");
  MakeRoom();
  SetId set = set_;
  for (size_t i = 0; i < bytes.size(); i++) {
    set = stacks_->Step(set, static_cast<uint8_t>(bytes[i]));
    if (set == Stacks::kTooMany) {
      return Error(ErrorCode::kInvalidArgument,
                   "byte {}: the grammar is too ambiguous (over {} ways to read the text, or over {} stack frames)", i,
                   constraint_->limits().stacks, constraint_->limits().nodes);
    }
    if (!stacks_->alive(set)) {
      return Error(ErrorCode::kInvalidArgument, "byte {}: {:#04x} does not fit the grammar", i,
                   static_cast<uint8_t>(bytes[i]));
    }
  }
  set_ = set;
  return {};
}

Status Matcher::AcceptToken(int32_t id) {
  const Vocabulary& vocabulary = constraint_->vocabulary();
  if (vocabulary.IsEnd(id)) {
    if (!CanEnd()) return Error(ErrorCode::kInvalidArgument, "token {}: the text cannot end here", id);
    ended_ = true;
    return {};
  }
  const std::string_view piece = vocabulary.piece(id);
  if (piece.empty()) return Error(ErrorCode::kInvalidArgument, "token {} is no text", id);
  const Status status = AcceptBytes(piece);
  return status.ok() ? status : status.error().WithPrefix("token " + std::to_string(id));
}

/// Starts anew with the state at hand when too much has been remembered.
void Matcher::MakeRoom() {
  const Limits& limits = constraint_->limits();
  if (stacks_->nodes() <= limits.nodes && known_bytes_ <= limits.mask_bytes) return;
  auto fresh = std::make_unique<Stacks>(constraint_->program(), limits);
  set_ = fresh->Copy(*stacks_, set_);
  stacks_ = std::move(fresh);
  known_.clear();
  known_bytes_ = 0;
  tokens_.clear();
}

uint32_t Matcher::TokensFrom(NodeId node) {
  if (tokens_.size() <= node) tokens_.resize(node + 1, kNotCounted);
  if (tokens_[node] != kNotCounted) return tokens_[node];
  const uint64_t distance = stacks_->node(node).distance;
  if (distance > kMostSpelled) {
    return tokens_[node] = static_cast<uint32_t>(std::min<uint64_t>(distance, Vocabulary::kUnspellable - 2));
  }
  std::string text;
  stacks_->AppendShortest(node, kMostSpelled, text);
  return tokens_[node] = constraint_->vocabulary().CountTokens(text);
}

/// The smallest of all nodes': with more ways it only shrinks, and of the node that has it, the rest of its way is the
/// shortest of what comes next. So taking the first token of the way takes one off.
uint32_t Matcher::TokensToEnd(SetId set) {
  if (stacks_->can_end(set)) return 0;
  uint32_t tokens = Vocabulary::kUnspellable;
  for (const NodeId node : stacks_->NodesOf(set)) tokens = std::min(tokens, TokensFrom(node));
  return tokens;
}

std::string Matcher::Completion() {
  std::string text;
  if (stacks_->can_end(set_)) return text;
  for (const NodeId node : stacks_->NodesOf(set_)) {
    if (TokensFrom(node) != TokensToEnd(set_)) continue;
    stacks_->AppendShortest(node, kMostSpelled, text);
    break;
  }
  return text;
}

std::string Matcher::ForcedBytes(size_t most) {
  std::string text;
  if (ended_) return text;
  SetId set = set_;
  while (text.size() < most && !stacks_->can_end(set)) {
    const ByteSet bytes = stacks_->FirstBytes(set);
    if (bytes.count() != 1) break;
    const auto byte = static_cast<uint8_t>(bytes._Find_first());
    set = stacks_->Step(set, byte);
    if (!stacks_->alive(set)) break;
    text += static_cast<char>(byte);
  }
  return text;
}

}  // namespace bonsai::grammar
