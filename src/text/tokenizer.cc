#include "text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "text/nfc.h"
#include "text/pretokenizer.h"
#include "text/vocabulary.h"

namespace bonsai::text {
namespace {

/// How some converters write "there is no such token".
constexpr uint32_t kNoToken = 0xffffffff;

/// The working memory of one Encode call.
struct EncodeState {
  explicit EncodeState(const PreTokenizer& pre) : splitter(pre) {}
  PreTokenizer::Splitter splitter;
  MergeScratch merge;
  std::string normalized;
  std::vector<int32_t> ids;
};

/// The ids in a key that may hold one, a list of them, or be absent: each within [0, vocab).
Result<std::vector<int32_t>> TokenIds(const formats::Metadata& metadata, std::string_view key, int32_t vocab) {
  std::vector<int64_t> values;
  if (const formats::Value* const value = metadata.Find(key); value == nullptr) {
    return std::vector<int32_t>();
  } else if (value->kind == formats::ValueKind::kArray) {
    BONSAI_ASSIGN(const std::vector<int64_t>* const list, metadata.GetInts(key));
    values = *list;
  } else {
    BONSAI_ASSIGN(const uint32_t id, metadata.GetU32(key));
    if (id != kNoToken) values.push_back(id);
  }
  std::vector<int32_t> ids;
  for (const int64_t id : values) {
    if (id < 0 || id >= vocab) {
      return Error(ErrorCode::kCorrupt, "{}: {} has id {}, but there are {} tokens", metadata.source(), key, id, vocab);
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

}  // namespace

struct Tokenizer::Impl {
  Impl(Vocabulary v, std::unique_ptr<PreTokenizer> p) : vocabulary(std::move(v)), pre(std::move(p)) {}

  Status ReadSpecialIds(const formats::Metadata& metadata);
  void EncodeText(std::string_view text, EncodeState& state) const;

  Vocabulary vocabulary;
  std::unique_ptr<PreTokenizer> pre;
  bool add_bos = false;
  int32_t bos = -1, eos = -1;
  std::vector<int32_t> end_of_generation;
  std::string chat_template;
};

Status Tokenizer::Impl::ReadSpecialIds(const formats::Metadata& metadata) {
  const auto ids = [&](std::string_view key) { return TokenIds(metadata, key, vocabulary.size()); };
  BONSAI_ASSIGN(const std::vector<int32_t> bos_ids, ids("tokenizer.ggml.bos_token_id"));
  BONSAI_ASSIGN(const std::vector<int32_t> eos_ids, ids("tokenizer.ggml.eos_token_id"));
  BONSAI_RETURN_IF_ERROR(ids("tokenizer.ggml.padding_token_id"));
  if (!bos_ids.empty()) bos = bos_ids[0];
  if (!eos_ids.empty()) eos = eos_ids[0];
  BONSAI_ASSIGN(add_bos, metadata.GetBoolOr("tokenizer.ggml.add_bos_token", false));
  if (add_bos && bos < 0) {
    return Error(ErrorCode::kCorrupt, "{}: tokenizer.ggml.add_bos_token is true, but there is no bos_token_id",
                 metadata.source());
  }
  for (const std::string_view kind : {"eos", "eot", "eom"}) {
    for (const std::string_view suffix : {"id", "ids"}) {
      BONSAI_ASSIGN(const std::vector<int32_t> more, ids(fmt::format("tokenizer.ggml.{}_token_{}", kind, suffix)));
      end_of_generation.insert(end_of_generation.end(), more.begin(), more.end());
    }
  }
  for (const std::string_view name : {"<|im_end|>", "<|endoftext|>"}) {
    const int32_t id = vocabulary.added().Find(name);
    if (id >= 0 && vocabulary.type(id) == TokenType::kControl) end_of_generation.push_back(id);
  }
  std::sort(end_of_generation.begin(), end_of_generation.end());
  end_of_generation.erase(std::unique(end_of_generation.begin(), end_of_generation.end()), end_of_generation.end());
  return {};
}

/// Text without added tokens: stretches of UTF-8 are normalised and split; what lies between them is a piece each.
void Tokenizer::Impl::EncodeText(std::string_view text, EncodeState& state) const {
  while (!text.empty()) {
    const size_t good = WellFormedPrefix(text);
    state.splitter.Start(NormalizeNfc(text.substr(0, good), state.normalized));
    for (std::string_view piece; !(piece = state.splitter.Next()).empty();) {
      vocabulary.EncodePiece(piece, state.merge, state.ids);
    }
    text.remove_prefix(good);
    size_t bad = 0;
    while (bad < text.size() && Utf8CharLength(text.substr(bad)) == 0) bad++;
    if (bad != 0) vocabulary.EncodePiece(text.substr(0, bad), state.merge, state.ids);
    text.remove_prefix(bad);
  }
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

Result<std::unique_ptr<Tokenizer>> Tokenizer::FromMetadata(const formats::Metadata& metadata) {
  BONSAI_ASSIGN(const std::string_view model, metadata.GetString("tokenizer.ggml.model"));
  if (model != "gpt2") {
    return Error(
        ErrorCode::kUnsupported,
        "{}: tokenizer.ggml.model: tokenizer \"{}\" is not supported (supported: gpt2, which is byte-level BPE)",
        metadata.source(), model);
  }
  BONSAI_ASSIGN(const std::string_view pre_name, metadata.GetStringOr("tokenizer.ggml.pre", "default"));
  auto pre = PreTokenizer::Create(pre_name);
  if (!pre) return pre.error().WithPrefix(metadata.source());
  BONSAI_ASSIGN(Vocabulary vocabulary, Vocabulary::Load(metadata));
  auto impl = std::make_unique<Impl>(std::move(vocabulary), std::move(*pre));
  BONSAI_RETURN_IF_ERROR(impl->ReadSpecialIds(metadata));
  BONSAI_ASSIGN(impl->chat_template, metadata.GetStringOr("tokenizer.chat_template", ""));
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(impl)));
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text, const EncodeOptions& options) const {
  const Impl& impl = *impl_;
  EncodeState state(*impl.pre);
  state.ids.reserve(text.size() / 4 + 2);
  if (options.add_special && impl.add_bos) state.ids.push_back(impl.bos);
  size_t at = 0;
  while (options.parse_special) {
    const AddedTokens::Match match = impl.vocabulary.added().Next(text, at);
    if (match.length == 0) break;
    impl.EncodeText(text.substr(at, match.begin - at), state);
    state.ids.push_back(match.id);
    at = match.begin + match.length;
  }
  impl.EncodeText(text.substr(at), state);
  return std::move(state.ids);
}

std::string Tokenizer::Decode(std::span<const int32_t> ids, bool with_special) const {
  std::string out;
  for (const int32_t id : ids) {
    if (with_special || !IsControl(id)) out += Piece(id);
  }
  return out;
}

std::string_view Tokenizer::Piece(int32_t id) const {
  return id >= 0 && id < vocab_size() ? impl_->vocabulary.piece(id) : std::string_view();
}

int32_t Tokenizer::vocab_size() const { return impl_->vocabulary.size(); }

bool Tokenizer::IsControl(int32_t id) const {
  return id >= 0 && id < vocab_size() && impl_->vocabulary.type(id) == TokenType::kControl;
}

std::span<const int32_t> Tokenizer::EndOfGeneration() const { return impl_->end_of_generation; }

bool Tokenizer::IsEndOfGeneration(int32_t id) const {
  return std::binary_search(impl_->end_of_generation.begin(), impl_->end_of_generation.end(), id);
}

int32_t Tokenizer::bos() const { return impl_->bos; }
int32_t Tokenizer::eos() const { return impl_->eos; }
int32_t Tokenizer::FindAdded(std::string_view text) const { return impl_->vocabulary.added().Find(text); }
std::string_view Tokenizer::chat_template() const { return impl_->chat_template; }

std::string StreamDecoder::Push(int32_t id) {
  if (with_special_ || !tokenizer_.IsControl(id)) pending_ += tokenizer_.Piece(id);
  const size_t whole = pending_.size() - Utf8IncompleteTail(pending_);
  std::string out = pending_.substr(0, whole);
  pending_.erase(0, whole);
  return out;
}

std::string StreamDecoder::Finish() { return std::exchange(pending_, {}); }

}  // namespace bonsai::text
