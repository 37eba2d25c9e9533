#include "text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "text/token_model.h"

namespace bonsai::text {
namespace {

/// The tokenizer models that files name. Those without a loader are refused, but by what they are.
struct ModelRow {
  std::string_view name;  ///< As in `tokenizer.ggml.model`.
  std::string_view what;
  Result<std::unique_ptr<TokenModel>> (*load)(const formats::Metadata& metadata);
};
constexpr ModelRow kModels[] = {
    {"gpt2", "byte-level BPE", LoadByteBpe},
    {"llama", "SentencePiece BPE", LoadSentencePiece},
    {"bert", "WordPiece", nullptr},
    {"t5", "SentencePiece Unigram", nullptr},
    {"rwkv", "RWKV's longest match", nullptr},
    {"plamo2", "PLaMo-2's Unigram", nullptr},
};

Result<std::unique_ptr<TokenModel>> LoadModel(const formats::Metadata& metadata) {
  BONSAI_ASSIGN(const std::string_view name, metadata.GetString("tokenizer.ggml.model"));
  std::string what, have;
  for (const ModelRow& row : kModels) {
    if (row.name == name && row.load != nullptr) return row.load(metadata);
    if (row.name == name) what = fmt::format(" ({})", row.what);
    if (row.load != nullptr) have += fmt::format("{}{}, {}", have.empty() ? "" : "; ", row.name, row.what);
  }
  return Error(ErrorCode::kUnsupported, "{}: tokenizer.ggml.model: tokenizer {}{} is not supported (supported: {})",
               metadata.source(), formats::Quote(name), what, have);
}

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
  explicit Impl(std::unique_ptr<TokenModel> m) : model(std::move(m)), vocabulary(model->vocabulary()) {}

  using Range = std::pair<size_t, size_t>;  // of bytes: begin, end

  Status ReadSpecialIds(const formats::Metadata& metadata);
  /// Appends the ids of `text`, in which added tokens count within the ranges `special` only: in order, apart.
  void Append(std::string_view text, std::span<const Range> special, std::vector<int32_t>& ids) const;

  std::unique_ptr<TokenModel> model;
  const Vocabulary& vocabulary;
  bool add_bos = false, add_eos = false;
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
  const bool default_bos = model->AddsBosByDefault() && bos >= 0;
  BONSAI_ASSIGN(add_bos, metadata.GetBoolOr("tokenizer.ggml.add_bos_token", default_bos));
  BONSAI_ASSIGN(add_eos, metadata.GetBoolOr("tokenizer.ggml.add_eos_token", false));
  if ((add_bos && bos < 0) || (add_eos && eos < 0)) {
    const std::string_view which = add_bos && bos < 0 ? "bos" : "eos";
    return Error(ErrorCode::kCorrupt, "{}: tokenizer.ggml.add_{}_token is true, but there is no {}_token_id",
                 metadata.source(), which, which);
  }
  for (const std::string_view kind : {"eos", "eot", "eom"}) {
    for (const std::string_view suffix : {"id", "ids"}) {
      BONSAI_ASSIGN(const std::vector<int32_t> more, ids(fmt::format("tokenizer.ggml.{}_token_{}", kind, suffix)));
      end_of_generation.insert(end_of_generation.end(), more.begin(), more.end());
    }
  }
  for (const std::string_view name :
       {"<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<end_of_turn>"}) {
    const int32_t id = vocabulary.added().Find(name);
    if (id >= 0 && vocabulary.type(id) == TokenType::kControl) end_of_generation.push_back(id);
  }
  std::sort(end_of_generation.begin(), end_of_generation.end());
  end_of_generation.erase(std::unique(end_of_generation.begin(), end_of_generation.end()), end_of_generation.end());
  return {};
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

Result<std::unique_ptr<Tokenizer>> Tokenizer::FromMetadata(const formats::Metadata& metadata) {
  BONSAI_ASSIGN(std::unique_ptr<TokenModel> model, LoadModel(metadata));
  auto impl = std::make_unique<Impl>(std::move(model));
  BONSAI_RETURN_IF_ERROR(impl->ReadSpecialIds(metadata));
  BONSAI_ASSIGN(impl->chat_template, metadata.GetStringOr("tokenizer.chat_template", ""));
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(impl)));
}

void Tokenizer::Impl::Append(std::string_view text, std::span<const Range> special, std::vector<int32_t>& ids) const {
  const std::unique_ptr<TextEncoder> encoder = model->NewEncoder();
  size_t at = 0;
  for (const auto& [begin, end] : special) {
    for (size_t from = begin; from < end;) {
      const AddedTokens::Match match = vocabulary.added().Next(text.substr(0, end), from);
      if (match.length == 0) break;
      encoder->Encode(text.substr(at, match.begin - at), ids);
      ids.push_back(match.id);
      at = from = match.begin + match.length;
    }
  }
  encoder->Encode(text.substr(at), ids);
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text, const EncodeOptions& options) const {
  const Impl& impl = *impl_;
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 2);
  if (options.add_special && impl.add_bos) ids.push_back(impl.bos);
  const Impl::Range all(0, text.size());
  impl.Append(text, std::span(&all, options.parse_special ? 1 : 0), ids);
  if (options.add_end && impl.add_eos) ids.push_back(impl.eos);
  return ids;
}

std::vector<int32_t> Tokenizer::EncodeSpans(std::span<const TextSpan> spans) const {
  std::string text;
  std::vector<Impl::Range> special;
  for (const TextSpan& span : spans) {
    const size_t begin = text.size();
    text += span.text;
    if (!span.parse_special || span.text.empty()) continue;
    if (!special.empty() && special.back().second == begin) {
      special.back().second = text.size();
    } else {
      special.emplace_back(begin, text.size());
    }
  }
  std::vector<int32_t> ids;
  impl_->Append(text, special, ids);
  return ids;
}

bool Tokenizer::AddsSpaceAfter(int32_t id) const {
  const bool in_text = id >= 0 && id < vocab_size() && !IsAdded(impl_->vocabulary.type(id));
  return impl_->model->AddsSpacePrefix() && !in_text;
}

void Tokenizer::AppendPiece(int32_t id, bool with_special, bool& drop_space, std::string& out) const {
  if (id < 0 || id >= vocab_size()) return;
  std::string_view piece = Piece(id);
  const bool shown = with_special || !IsControl(id);
  if (drop_space && piece.starts_with(' ') && !IsAdded(impl_->vocabulary.type(id))) piece.remove_prefix(1);
  if (shown) out += piece;
  drop_space = AddsSpaceAfter(id);
}

std::string Tokenizer::Decode(std::span<const int32_t> ids, bool with_special) const {
  std::string out;
  bool drop_space = AddsSpaceAfter(-1);
  for (const int32_t id : ids) AppendPiece(id, with_special, drop_space, out);
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
  tokenizer_.AppendPiece(id, with_special_, drop_space_, pending_);
  const size_t whole = pending_.size() - Utf8IncompleteTail(pending_);
  std::string out = pending_.substr(0, whole);
  pending_.erase(0, whole);
  return out;
}

std::string StreamDecoder::Finish() { return std::exchange(pending_, {}); }

}  // namespace bonsai::text
