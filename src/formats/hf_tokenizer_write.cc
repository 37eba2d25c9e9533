#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/utf8.h"
#include "formats/hf_patterns.h"
#include "formats/hf_tokenizer.h"

namespace bonsai::formats {
namespace {

using Json = nlohmann::json;

Json Sequence(const char* list_key, std::vector<Json> stages) {
  return {{"type", "Sequence"}, {list_key, std::move(stages)}};
}

Json ByteLevel(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", use_regex}};
}

Json Replace(std::string_view from, std::string_view to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

Json PreTokenizer(const HfPattern& pattern) {
  if (pattern.digits) {
    return Sequence("pretokenizers", {{{"type", "Digits"}, {"individual_digits", true}}, ByteLevel(true)});
  }
  if (pattern.regex.empty()) return ByteLevel(true);
  return Sequence(
      "pretokenizers",
      {{{"type", "Split"}, {"pattern", {{"Regex", pattern.regex}}}, {"behavior", "Isolated"}, {"invert", false}},
       ByteLevel(false)});
}

class Writer {
 public:
  explicit Writer(const Metadata& metadata) : m_(metadata) {}
  Result<HfTokenizerFiles> Write();

 private:
  ErrorValue Unsupported(std::string_view what) const {
    return Error(ErrorCode::kUnsupported, "{}: {}", m_.source(), what);
  }
  Status ReadTokens();
  Status ReadSpecialIds();
  Status ReadFlags();
  void AddByteLevel(Json& doc);
  void AddSentencePiece(Json& doc);
  Result<std::vector<std::string>> MergesOfScores() const;
  Result<std::vector<std::string>> Merges() const;
  Json AddedToken(size_t id) const;
  Json Template() const;
  Json Config() const;
  std::string TextOf(int64_t id) const { return id < 0 ? "" : std::string((*tokens_)[static_cast<size_t>(id)]); }

  const Metadata& m_;
  const StringList* tokens_ = nullptr;
  std::vector<int64_t> types_, eos_ids_;
  int64_t bos_ = -1, eos_ = -1, pad_ = -1, unknown_ = -1;
  bool sentencepiece_ = false, space_prefix_ = false, add_bos_ = false, add_eos_ = false;
  std::string_view chat_template_, class_ = "PreTrainedTokenizerFast";
  const HfPattern* pattern_ = nullptr;
};

Status Writer::ReadTokens() {
  BONSAI_ASSIGN(tokens_, m_.GetStrings("tokenizer.ggml.tokens"));
  types_.assign(tokens_->size(), kHfNormal);
  if (m_.Has("tokenizer.ggml.token_type")) {
    BONSAI_ASSIGN(const std::vector<int64_t>* const types, m_.GetInts("tokenizer.ggml.token_type"));
    if (types->size() != types_.size()) {
      return Error(ErrorCode::kCorrupt, "{}: tokenizer.ggml.token_type has {} entries for {} tokens", m_.source(),
                   types->size(), types_.size());
    }
    types_ = *types;
  }
  for (size_t i = 0; i < tokens_->size(); i++) {
    if (!IsUtf8((*tokens_)[i])) return Unsupported(fmt::format("token {} is not UTF-8, which JSON needs", i));
  }
  return {};
}

Status Writer::ReadSpecialIds() {
  const auto read = [&](const char* key, int64_t& id) -> Status {
    const std::string full = fmt::format("tokenizer.ggml.{}_token_id", key);
    BONSAI_ASSIGN(const uint32_t value, m_.GetU32Or(full, 0xffffffff));  // as some converters write "none"
    if (value == 0xffffffff) return {};
    if (value >= tokens_->size()) {
      return Error(ErrorCode::kCorrupt, "{}: {} is {}, but there are {} tokens", m_.source(), full, value,
                   tokens_->size());
    }
    id = value;
    return {};
  };
  BONSAI_RETURN_IF_ERROR(read("bos", bos_));
  BONSAI_RETURN_IF_ERROR(read("eos", eos_));
  BONSAI_RETURN_IF_ERROR(read("padding", pad_));
  BONSAI_RETURN_IF_ERROR(read("unknown", unknown_));
  int64_t eot = -1, eom = -1;
  BONSAI_RETURN_IF_ERROR(read("eot", eot));
  BONSAI_RETURN_IF_ERROR(read("eom", eom));
  std::vector<int64_t> all = {eos_};
  if (m_.Has("tokenizer.ggml.eos_token_ids")) {
    BONSAI_ASSIGN(const std::vector<int64_t>* const more, m_.GetInts("tokenizer.ggml.eos_token_ids"));
    all.insert(all.end(), more->begin(), more->end());
  }
  all.insert(all.end(), {eot, eom});
  for (const int64_t id : all) {
    const bool in_range = id >= 0 && id < static_cast<int64_t>(tokens_->size());
    if (in_range && std::find(eos_ids_.begin(), eos_ids_.end(), id) == eos_ids_.end()) eos_ids_.push_back(id);
  }
  return {};
}

Status Writer::ReadFlags() {
  const bool bos_by_default = bos_ >= 0 && (sentencepiece_ || (pattern_ != nullptr && pattern_->pre == "llama-bpe"));
  BONSAI_ASSIGN(add_bos_, m_.GetBoolOr("tokenizer.ggml.add_bos_token", bos_by_default));
  BONSAI_ASSIGN(add_eos_, m_.GetBoolOr("tokenizer.ggml.add_eos_token", false));
  if ((add_bos_ && bos_ < 0) || (add_eos_ && eos_ < 0)) {
    return Error(ErrorCode::kCorrupt, "{}: tokenizer.ggml.add_bos_token or add_eos_token without the token's id",
                 m_.source());
  }
  BONSAI_ASSIGN(space_prefix_, m_.GetBoolOr("tokenizer.ggml.add_space_prefix", true));
  BONSAI_ASSIGN(chat_template_, m_.GetStringOr("tokenizer.chat_template", ""));
  BONSAI_ASSIGN(const bool one_space, m_.GetBoolOr("tokenizer.ggml.remove_extra_whitespaces", false));
  if (one_space && sentencepiece_) return Unsupported("remove_extra_whitespaces is not supported in tokenizer.json");
  return IsUtf8(chat_template_) ? Status() : Unsupported("tokenizer.chat_template is not UTF-8, which JSON needs");
}

/// Both halves of every cut of every token, where they are tokens: what scores merge. By falling score, then by id.
Result<std::vector<std::string>> Writer::MergesOfScores() const {
  constexpr size_t kMaxLength = 256;  // cutting is quadratic in it; the tokenizer refuses longer ones as well
  BONSAI_ASSIGN(const std::vector<double>* const scores, m_.GetFloats("tokenizer.ggml.scores"));
  if (scores->size() != tokens_->size()) {
    return Error(ErrorCode::kCorrupt, "{}: tokenizer.ggml.scores has {} entries for {} tokens", m_.source(),
                 scores->size(), tokens_->size());
  }
  const auto is_text = [&](size_t i) {
    return types_[i] <= kHfNormal && (*tokens_)[i].find(' ') == std::string_view::npos;
  };
  std::map<std::string_view, size_t> ids;
  std::vector<size_t> order;
  for (size_t i = 0; i < tokens_->size(); i++) {
    if (!is_text(i)) continue;
    if ((*tokens_)[i].size() > kMaxLength) {
      return Error(ErrorCode::kCorrupt, "{}: tokenizer.ggml.tokens[{}] is longer than {} bytes", m_.source(), i,
                   kMaxLength);
    }
    ids.emplace((*tokens_)[i], i);
    order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return (*scores)[a] > (*scores)[b]; });
  std::vector<std::string> merges;
  for (const size_t i : order) {
    const std::string_view s = (*tokens_)[i];
    for (size_t cut = Utf8CharLength(s); cut < s.size(); cut += Utf8CharLength(s.substr(cut))) {
      if (ids.count(s.substr(0, cut)) == 0 || ids.count(s.substr(cut)) == 0) continue;
      merges.push_back(fmt::format("{} {}", s.substr(0, cut), s.substr(cut)));
    }
  }
  return merges;
}

Result<std::vector<std::string>> Writer::Merges() const {
  if (sentencepiece_ && !m_.Has("tokenizer.ggml.merges")) return MergesOfScores();
  BONSAI_ASSIGN(const StringList* const list, m_.GetStrings("tokenizer.ggml.merges"));
  std::vector<std::string> merges;
  for (size_t i = 0; i < list->size(); i++) {
    if (!IsUtf8((*list)[i])) return Unsupported(fmt::format("merge {} is not UTF-8, which JSON needs", i));
    merges.emplace_back((*list)[i]);
  }
  return merges;
}

void Writer::AddByteLevel(Json& doc) {
  if (pattern_->nfc) doc["normalizer"] = {{"type", "NFC"}};
  doc["pre_tokenizer"] = PreTokenizer(*pattern_);
  doc["decoder"] = ByteLevel(true);
  doc["model"]["ignore_merges"] = pattern_->ignore_merges;
  if (pattern_->pre == "qwen2") class_ = "Qwen2Tokenizer";
}

void Writer::AddSentencePiece(Json& doc) {
  std::vector<Json> normalizers = {Replace(" ", kHfSpace)};
  std::vector<Json> decoders = {Replace(kHfSpace, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  if (space_prefix_) {
    const Json prepend = {{"type", "Prepend"}, {"prepend", kHfSpace}};
    normalizers.insert(normalizers.begin(), prepend);
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  doc["normalizer"] = Sequence("normalizers", std::move(normalizers));
  doc["decoder"] = Sequence("decoders", std::move(decoders));
  doc["model"]["byte_fallback"] = true;
  doc["model"]["fuse_unk"] = true;
}

Json Writer::AddedToken(size_t id) const {
  return {{"content", (*tokens_)[id]}, {"single_word", false}, {"lstrip", false},
          {"rstrip", false},           {"normalized", false},  {"special", types_[id] != kHfUserDefined}};
}

Json Writer::Template() const {
  if (!add_bos_ && !add_eos_) return nullptr;
  const Json bos = {{"SpecialToken", {{"id", TextOf(bos_)}, {"type_id", 0}}}};
  const Json eos = {{"SpecialToken", {{"id", TextOf(eos_)}, {"type_id", 0}}}};
  Json single = Json::array(), pair = Json::array(), special = Json::object();
  for (const char* part : {"A", "B"}) {
    const Json sequence = {{"Sequence", {{"id", part}, {"type_id", 0}}}};
    for (Json* list : {&single, &pair}) {
      if (list == &single && part == std::string_view("B")) continue;
      if (add_bos_) list->push_back(bos);
      list->push_back(sequence);
      if (add_eos_) list->push_back(eos);
    }
  }
  for (const int64_t id : {add_bos_ ? bos_ : eos_, add_eos_ ? eos_ : bos_}) {
    const std::string text = TextOf(id);
    special[text] = {{"id", text}, {"ids", Json::array({id})}, {"tokens", Json::array({text})}};
  }
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}};
}

Json Writer::Config() const {
  Json config = {{"tokenizer_class", class_},
                 {"clean_up_tokenization_spaces", false},
                 {"add_bos_token", add_bos_},
                 {"add_eos_token", add_eos_},
                 {"added_tokens_decoder", Json::object()}};
  const std::pair<const char*, int64_t> special[] = {
      {"bos_token", bos_}, {"eos_token", eos_}, {"pad_token", pad_}, {"unk_token", unknown_}};
  for (const auto& [key, id] : special) config[key] = id < 0 ? Json() : Json(TextOf(id));
  for (size_t i = 0; i < types_.size(); i++) {
    if (types_[i] < kHfUnknown || types_[i] > kHfUserDefined) continue;
    config["added_tokens_decoder"][std::to_string(i)] = AddedToken(i);
  }
  if (!chat_template_.empty()) config["chat_template"] = chat_template_;
  return config;
}

Result<HfTokenizerFiles> Writer::Write() {
  BONSAI_ASSIGN(const std::string_view model, m_.GetString("tokenizer.ggml.model"));
  BONSAI_ASSIGN(const std::string_view pre, m_.GetStringOr("tokenizer.ggml.pre", "default"));
  sentencepiece_ = model == "llama";
  if (!sentencepiece_ && model != "gpt2") {
    return Unsupported(
        fmt::format("tokenizer model {} has no tokenizer.json here (gpt2 and llama have)", Quote(model)));
  }
  for (const HfPattern& p : kHfPatterns)
    if (!sentencepiece_ && (p.pre == pre || p.alias == pre)) pattern_ = &p;
  if (!sentencepiece_ && pattern_ == nullptr) {
    return Unsupported(fmt::format("pre-tokenizer {} has no pattern in tokenizer.json that we know", Quote(pre)));
  }
  BONSAI_RETURN_IF_ERROR(ReadTokens());
  BONSAI_RETURN_IF_ERROR(ReadSpecialIds());
  BONSAI_RETURN_IF_ERROR(ReadFlags());
  BONSAI_ASSIGN(std::vector<std::string> merges, Merges());
  Json doc = {
      {"version", "1.0"},       {"truncation", nullptr},    {"padding", nullptr}, {"added_tokens", Json::array()},
      {"normalizer", nullptr},  {"pre_tokenizer", nullptr}, {"decoder", nullptr}, {"post_processor", Template()},
      {"model", Json::object()}};
  // All of them: the library gives added tokens that are not in the vocabulary ids of its own.
  Json vocabulary = Json::object();
  for (size_t i = 0; i < tokens_->size(); i++) {
    if (!vocabulary.emplace((*tokens_)[i], i).second) {
      return Error(ErrorCode::kCorrupt, "{}: tokenizer.ggml.tokens[{}] repeats a token", m_.source(), i);
    }
    if (types_[i] < kHfUnknown || types_[i] > kHfUserDefined) continue;
    doc["added_tokens"].push_back(AddedToken(i));
    doc["added_tokens"].back()["id"] = i;
  }
  doc["model"] = {{"type", "BPE"},
                  {"dropout", nullptr},
                  {"unk_token", unknown_ < 0 ? Json() : Json(TextOf(unknown_))},
                  {"continuing_subword_prefix", nullptr},
                  {"end_of_word_suffix", nullptr},
                  {"fuse_unk", false},
                  {"byte_fallback", false},
                  {"ignore_merges", false},
                  {"vocab", std::move(vocabulary)},
                  {"merges", std::move(merges)}};
  sentencepiece_ ? AddSentencePiece(doc) : AddByteLevel(doc);
  HfTokenizerFiles files{.tokenizer_json = doc.dump(1), .tokenizer_config_json = Config().dump(2), .name = m_.source()};
  const Json generation = {{"eos_token_id", eos_ids_}};
  if (eos_ids_.size() > 1) files.generation_config_json = generation.dump(2);
  return files;
}

}  // namespace

Result<HfTokenizerFiles> WriteHfTokenizer(const Metadata& metadata) { return Writer(metadata).Write(); }

}  // namespace bonsai::formats
