#include "formats/hf_tokenizer.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "base/json.h"
#include "formats/hf_patterns.h"
#include "formats/hf_vocabulary.h"

namespace bonsai::formats {
namespace {

using Json = nlohmann::json;

/// The most ids that a file may need, holes included; the largest vocabularies have some 262,000.
constexpr int64_t kMostIds = int64_t{1} << 22;

/// The member of an object; null when there is none, or JSON's null, or no object.
const Json* Get(const Json* object, const char* key) {
  if (object == nullptr || !object->is_object()) return nullptr;
  const auto at = object->find(key);
  return at == object->end() || at->is_null() ? nullptr : &*at;
}

/// Empty when it is no string.
std::string_view Text(const Json* value) {
  return value != nullptr && value->is_string() ? std::string_view(value->get_ref<const std::string&>())
                                                : std::string_view();
}

bool Flag(const Json* value, bool fallback) {
  return value != nullptr && value->is_boolean() ? value->get<bool>() : fallback;
}

/// The stages of a normalizer, pre-tokenizer or post-processor: one, or those of a Sequence.
std::vector<const Json*> Stages(const Json* value, const char* list_key) {
  if (value == nullptr) return {};
  const Json* const list = Text(Get(value, "type")) == "Sequence" ? Get(value, list_key) : nullptr;
  if (list == nullptr || !list->is_array()) return {value};
  std::vector<const Json*> stages;
  for (const Json& stage : *list) stages.push_back(&stage);
  return stages;
}

std::string TypesOf(const std::vector<const Json*>& stages) {
  std::string out;
  for (const Json* stage : stages) out += (out.empty() ? "" : " + ") + Quote(Text(Get(stage, "type")));
  return stages.empty() ? "none" : out;
}

/// A special token as the configurations write it: its text, or an object with `content`.
std::string_view TokenText(const Json* value) {
  const Json* const content = Get(value, "content");
  return content != nullptr ? Text(content) : Text(value);
}

class Reader {
 public:
  Reader(const HfTokenizerFiles& files, int64_t rows) : files_(files), rows_(rows) {}

  Status Read();
  Status Emit(Metadata& metadata);

 private:
  std::string Path(std::string_view file) const {
    return files_.name.empty() ? std::string(file) : fmt::format("{}/{}", files_.name, file);
  }
  ErrorValue Corrupt(std::string_view file, std::string_view what) const {
    return Error(ErrorCode::kCorrupt, "{}: {}", Path(file), what);
  }
  ErrorValue Unsupported(std::string_view what) const {
    return Error(ErrorCode::kUnsupported, "{}: {}", Path("tokenizer.json"), what);
  }
  Status In(std::string_view file, const Status& status) const {
    return status ? status : Status(status.error().WithPrefix(Path(file)));
  }
  /// null for a file that is not there.
  Result<Json> Parse(std::string_view file, const std::optional<std::string>& text) const {
    if (!text) return Result<Json>(Json());
    return ParseJson(Path(file), *text);
  }

  Status AddToken(std::string_view file, std::string_view text, const Json& id, HfTokenType type);
  Status AddAdded(std::string_view file, const Json& token, const Json& id);
  Status AddVocabulary(std::string_view file, const Json* vocabulary);
  Status ReadTokenizerJson();
  Status ReadMerges(const Json* merges);
  Status ReadByteLevel(const Json& doc, const Json& model);
  Status ReadSentencePiece(const Json& doc);
  Status ReadMetaspace(const Json& stage);
  Status ReadAddedTokens(const Json* added);
  Status ReadTemplate(const Json& doc);
  Status ReadVocabAndMerges();
  Status ReadAddedTokensDecoder();
  Result<std::vector<int64_t>> SpecialIds(const char* kind) const;
  Result<std::vector<int64_t>> IdsIn(std::string_view file, const Json& config, const char* kind) const;
  std::string_view ChatTemplate() const;

  const HfTokenizerFiles& files_;
  const int64_t rows_;
  Json config_, generation_, special_map_, model_config_;
  HfVocabulary vocabulary_;
  std::string pre_ = "default", unknown_, template_bos_, template_eos_;
  bool sentencepiece_ = false, space_prefix_ = false;
};

Status Reader::AddToken(std::string_view file, std::string_view text, const Json& id, HfTokenType type) {
  const int64_t most = rows_ > 0 ? std::min(rows_, kMostIds) : kMostIds;
  const int64_t i = id.is_number_integer() ? id.get<int64_t>() : -1;
  if (i < 0 || i >= most) {
    return Corrupt(file, fmt::format("token {} has id {}; expected 0 to {}{}", Quote(text), Quote(id.dump()), most - 1,
                                     rows_ > 0 ? ", the last row of the embedding" : ""));
  }
  return In(file, vocabulary_.Add(text, i, type));
}

Status Reader::AddAdded(std::string_view file, const Json& token, const Json& id) {
  const std::string_view text = Text(Get(&token, "content"));
  if (text.empty()) return Corrupt(file, fmt::format("the added token of id {} has no content", Quote(id.dump())));
  const bool special = Flag(Get(&token, "special"), false);
  return AddToken(file, text, id, text == unknown_ ? kHfUnknown : special ? kHfControl : kHfUserDefined);
}

Status Reader::AddVocabulary(std::string_view file, const Json* vocabulary) {
  if (vocabulary == nullptr || !vocabulary->is_object() || vocabulary->empty()) {
    return Corrupt(file, "has no vocabulary: an object of tokens and their ids");
  }
  for (const auto& [text, id] : vocabulary->items()) {
    BONSAI_RETURN_IF_ERROR(AddToken(file, text, id, kHfNormal));
    // Ours, for an id that nobody has (see the header).
    if (text == fmt::format("[PAD{}]", id.get<int64_t>())) vocabulary_.SetType(id.get<int64_t>(), kHfUnused);
  }
  return {};
}

Status Reader::Read() {
  BONSAI_ASSIGN(config_, Parse("tokenizer_config.json", files_.tokenizer_config_json));
  BONSAI_ASSIGN(generation_, Parse("generation_config.json", files_.generation_config_json));
  BONSAI_ASSIGN(special_map_, Parse("special_tokens_map.json", files_.special_tokens_map_json));
  BONSAI_ASSIGN(model_config_, Parse("config.json", files_.config_json));
  if (files_.tokenizer_json) {
    BONSAI_RETURN_IF_ERROR(ReadTokenizerJson());
  } else if (files_.vocab_json && files_.merges_txt) {
    BONSAI_RETURN_IF_ERROR(ReadVocabAndMerges());
  } else {
    return Error(ErrorCode::kNotFound, "{}: no tokenizer: expected tokenizer.json, or vocab.json and merges.txt",
                 files_.name);
  }
  return ReadAddedTokensDecoder();
}

Status Reader::ReadTokenizerJson() {
  constexpr std::string_view kFile = "tokenizer.json";
  BONSAI_ASSIGN(const Json doc, Parse(kFile, files_.tokenizer_json));
  const Json* const model = Get(&doc, "model");
  if (model == nullptr || !model->is_object()) return Corrupt(kFile, "has no object \"model\"");
  const std::string_view type = Text(Get(model, "type"));
  if (type != "BPE" && !(type.empty() && Get(model, "merges") != nullptr)) {  // old files do not say
    return Unsupported(fmt::format("a tokenizer model of type {} is not supported (BPE is)", Quote(type)));
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!Text(Get(model, key)).empty()) {
      return Unsupported(fmt::format("model.{} {} is not supported", key, Quote(Text(Get(model, key)))));
    }
  }
  unknown_ = Text(Get(model, "unk_token"));
  BONSAI_RETURN_IF_ERROR(AddVocabulary(kFile, Get(model, "vocab")));
  BONSAI_RETURN_IF_ERROR(ReadMerges(Get(model, "merges")));
  const auto stages = Stages(Get(&doc, "pre_tokenizer"), "pretokenizers");
  const bool byte_level = !stages.empty() && Text(Get(stages.back(), "type")) == "ByteLevel";
  if (!byte_level && !Flag(Get(model, "byte_fallback"), false)) {
    return Unsupported(
        fmt::format("BPE over characters (pre-tokenizer {}, no byte_fallback) is not supported", TypesOf(stages)));
  }
  BONSAI_RETURN_IF_ERROR(byte_level ? ReadByteLevel(doc, *model) : ReadSentencePiece(doc));
  BONSAI_RETURN_IF_ERROR(ReadAddedTokens(Get(&doc, "added_tokens")));
  return ReadTemplate(doc);
}

Status Reader::ReadMerges(const Json* merges) {
  constexpr std::string_view kFile = "tokenizer.json";
  if (merges == nullptr || !merges->is_array()) return Corrupt(kFile, "has no list model.merges");
  for (const Json& merge : *merges) {
    const bool pair = merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
    std::string text = pair ? fmt::format("{} {}", Text(&merge[0]), Text(&merge[1])) : std::string(Text(&merge));
    BONSAI_RETURN_IF_ERROR(In(kFile, vocabulary_.AddMerge(std::move(text))));
  }
  return {};
}

Status Reader::ReadByteLevel(const Json& doc, const Json& model) {
  const auto stages = Stages(Get(&doc, "pre_tokenizer"), "pretokenizers");
  const auto normalizers = Stages(Get(&doc, "normalizer"), "normalizers");
  const Json& first = *stages.front();
  const std::string_view type = Text(Get(&first, "type"));
  const bool own_regex = Flag(Get(stages.back(), "use_regex"), true);
  const bool split = stages.size() == 2 && type == "Split" && !own_regex &&
                     Text(Get(&first, "behavior")) == "Isolated" && !Flag(Get(&first, "invert"), false);
  const bool digits =
      stages.size() == 2 && type == "Digits" && own_regex && Flag(Get(&first, "individual_digits"), false);
  const std::string_view regex = split ? Text(Get(Get(&first, "pattern"), "Regex")) : std::string_view();
  if (Flag(Get(stages.back(), "add_prefix_space"), true)) {
    return Unsupported("pre-tokenizer ByteLevel with add_prefix_space is not supported");
  }
  if (!(stages.size() == 1 && own_regex) && !(split && !regex.empty()) && !digits) {
    return Unsupported(fmt::format("pre-tokenizer {} is not supported with these settings", TypesOf(stages)));
  }
  std::string known;
  for (const HfPattern& p : kHfPatterns) {
    known += fmt::format("{}{}", known.empty() ? "" : ", ", p.pre);
    if (p.regex != regex || p.digits != digits) continue;
    const bool nfc = normalizers.size() == 1 && Text(Get(normalizers[0], "type")) == "NFC";
    if (nfc != p.nfc || (!nfc && !normalizers.empty())) {
      return Unsupported(
          fmt::format("normalizer {} with the pattern of {} is not supported", TypesOf(normalizers), p.pre));
    }
    if (Flag(Get(&model, "ignore_merges"), p.ignore_merges) != p.ignore_merges) {
      return Unsupported(
          fmt::format("model.ignore_merges = {} with the pattern of {} is not supported", !p.ignore_merges, p.pre));
    }
    pre_ = p.pre;
    return {};
  }
  std::string shown;  // all of it: Quote() would cut it
  for (const char c : regex.substr(0, 400)) shown += c >= ' ' && c <= '~' ? c : '?';
  return Unsupported(fmt::format("the splitting pattern is none of those that are known ({}): {}", known, shown));
}

Status Reader::ReadSentencePiece(const Json& doc) {
  const auto normalizers = Stages(Get(&doc, "normalizer"), "normalizers");
  const auto stages = Stages(Get(&doc, "pre_tokenizer"), "pretokenizers");
  sentencepiece_ = true;
  bool replaces = false;
  for (const Json* stage : normalizers) {
    const std::string_view type = Text(Get(stage, "type"));
    if (type == "Prepend" && Text(Get(stage, "prepend")) == kHfSpace) {
      space_prefix_ = true;
    } else if (type == "Replace" && Text(Get(Get(stage, "pattern"), "String")) == " " &&
               Text(Get(stage, "content")) == kHfSpace) {
      replaces = true;
    } else {
      return Unsupported(fmt::format("normalizer {} is not supported with byte_fallback", TypesOf(normalizers)));
    }
  }
  const bool metaspace = stages.size() == 1 && Text(Get(stages[0], "type")) == "Metaspace";
  if (metaspace) BONSAI_RETURN_IF_ERROR(ReadMetaspace(*stages[0]));
  if ((!metaspace && !stages.empty()) || (!metaspace && !replaces)) {
    return Unsupported(fmt::format("normalizer {} with pre-tokenizer {} is not supported with byte_fallback",
                                   TypesOf(normalizers), TypesOf(stages)));
  }
  vocabulary_.MarkBytes();
  return {};
}

Status Reader::ReadMetaspace(const Json& stage) {
  if (Text(Get(&stage, "replacement")) != kHfSpace) return Unsupported("pre-tokenizer Metaspace without U+2581");
  const Json* const scheme = Get(&stage, "prepend_scheme");
  space_prefix_ |= scheme != nullptr ? Text(scheme) != "never" : Flag(Get(&stage, "add_prefix_space"), true);
  if (!Flag(Get(&stage, "split"), true)) return {};
  // Words are split from each other before they are merged. It is all the same when no token spans two words.
  for (const auto& [text, id] : vocabulary_.ids()) {
    if (text.find(kHfSpace, 1) != std::string::npos) {
      return Unsupported(fmt::format("pre-tokenizer Metaspace with split is not supported (token {} spans words)", id));
    }
  }
  return {};
}

Status Reader::ReadAddedTokens(const Json* added) {
  constexpr std::string_view kFile = "tokenizer.json";
  if (added == nullptr) return {};
  if (!added->is_array()) return Corrupt(kFile, "added_tokens is no list");
  for (const Json& token : *added) {
    const Json* const id = Get(&token, "id");
    BONSAI_RETURN_IF_ERROR(AddAdded(kFile, token, id == nullptr ? Json() : *id));
  }
  return {};
}

/// What stands before and after a text: at most one token each.
Status Reader::ReadTemplate(const Json& doc) {
  for (const Json* stage : Stages(Get(&doc, "post_processor"), "processors")) {
    if (Text(Get(stage, "type")) != "TemplateProcessing") continue;
    const Json* const single = Get(stage, "single");
    if (single == nullptr || !single->is_array()) return Corrupt("tokenizer.json", "post_processor has no list single");
    bool after = false;
    for (const Json& part : *single) {
      const std::string_view token = Text(Get(Get(&part, "SpecialToken"), "id"));
      if (token.empty()) {
        after = true;
        continue;
      }
      std::string& to = after ? template_eos_ : template_bos_;
      if (!to.empty()) return Unsupported("post_processor adds more than one token to an end of a text");
      to = token;
    }
  }
  return {};
}

Status Reader::ReadVocabAndMerges() {
  std::string_view name = Text(Get(&config_, "tokenizer_class"));
  if (name.ends_with("Fast")) name.remove_suffix(4);
  if (name != "Qwen2Tokenizer" && name != "GPT2Tokenizer") {
    return Error(
        ErrorCode::kUnsupported,
        "{}: tokenizer_class {} is not supported without tokenizer.json (Qwen2Tokenizer and GPT2Tokenizer are)",
        Path("tokenizer_config.json"), Quote(name));
  }
  pre_ = name == "Qwen2Tokenizer" ? "qwen2" : "gpt-2";
  BONSAI_ASSIGN(const Json vocabulary, Parse("vocab.json", files_.vocab_json));
  BONSAI_RETURN_IF_ERROR(AddVocabulary("vocab.json", &vocabulary));
  for (std::string_view rest = *files_.merges_txt; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    BONSAI_RETURN_IF_ERROR(In("merges.txt", vocabulary_.AddMerge(std::string(line))));
  }
  BONSAI_ASSIGN(const Json added, Parse("added_tokens.json", files_.added_tokens_json));
  std::set<std::string_view> special;
  for (const Json* file : {&special_map_, &config_}) {
    for (const char* key : {"bos_token", "eos_token", "pad_token", "unk_token"})
      special.insert(TokenText(Get(file, key)));
    const Json* const more = Get(file, "additional_special_tokens");
    if (more == nullptr || !more->is_array()) continue;
    for (const Json& token : *more) special.insert(TokenText(&token));
  }
  for (const std::string_view text : special) {  // GPT-2's is in vocab.json
    if (const int64_t id = vocabulary_.Find(text); id >= 0) vocabulary_.SetType(id, kHfControl);
  }
  for (const auto& [text, id] : added.items()) {
    BONSAI_RETURN_IF_ERROR(
        AddToken("added_tokens.json", text, id, special.count(text) > 0 ? kHfControl : kHfUserDefined));
  }
  return {};
}

Status Reader::ReadAddedTokensDecoder() {
  constexpr std::string_view kFile = "tokenizer_config.json";
  const Json* const decoder = Get(&config_, "added_tokens_decoder");
  if (decoder == nullptr) return {};
  if (!decoder->is_object()) return Corrupt(kFile, "added_tokens_decoder is no object");
  for (const auto& [key, token] : decoder->items()) {
    const bool number = !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == std::string::npos;
    BONSAI_RETURN_IF_ERROR(AddAdded(kFile, token, number ? Json(std::stoll(key)) : Json(key)));
  }
  return {};
}

/// `<kind>_token_id` of a configuration: a number or a list. Negative ones mean that there is none.
Result<std::vector<int64_t>> Reader::IdsIn(std::string_view file, const Json& config, const char* kind) const {
  const std::string key = fmt::format("{}_token_id", kind);
  const Json* const value = Get(&config, key.c_str());
  std::vector<int64_t> ids;
  if (value == nullptr) return ids;
  for (const Json& id : value->is_array() ? *value : Json::array({*value})) {
    if (!id.is_number_integer() || id.get<int64_t>() >= vocabulary_.size()) {
      return Corrupt(file, fmt::format("{} is {}; expected the id of a token, below {}", key, Quote(id.dump()),
                                       vocabulary_.size()));
    }
    if (id.get<int64_t>() >= 0) ids.push_back(id.get<int64_t>());
  }
  return ids;
}

Result<std::vector<int64_t>> Reader::SpecialIds(const char* kind) const {
  const std::string_view name = kind;
  BONSAI_ASSIGN(std::vector<int64_t> generation, IdsIn("generation_config.json", generation_, kind));
  if (name == "eos" && !generation.empty()) return generation;
  const std::string key = fmt::format("{}_token", kind);
  const std::pair<std::string_view, std::string_view> texts[] = {
      {"tokenizer_config.json", TokenText(Get(&config_, key.c_str()))},
      {"special_tokens_map.json", TokenText(Get(&special_map_, key.c_str()))},
      {"tokenizer.json", name == "bos"   ? template_bos_
                         : name == "eos" ? template_eos_
                         : name == "unk" ? unknown_
                                         : std::string_view()}};
  for (const auto& [file, text] : texts) {
    if (text.empty()) continue;
    if (const int64_t id = vocabulary_.Find(text); id >= 0) return std::vector<int64_t>{id};
    // Many name a padding token that their vocabulary lacks; nothing here pads.
    if (name != "pad") return Corrupt(file, fmt::format("{} is {}, which is no token", key, Quote(text)));
  }
  if (!generation.empty()) return generation;
  return IdsIn("config.json", model_config_, kind);
}

std::string_view Reader::ChatTemplate() const {
  if (files_.chat_template_jinja) return *files_.chat_template_jinja;
  const Json* const value = Get(&config_, "chat_template");
  if (value == nullptr || !value->is_array()) return Text(value);
  for (const Json& entry : *value) {
    if (Text(Get(&entry, "name")) == "default") return Text(Get(&entry, "template"));
  }
  return {};
}

Status Reader::Emit(Metadata& m) {
  if (rows_ > kMostIds) {
    return Error(ErrorCode::kCorrupt, "{}: an embedding of {} rows; at most {}", files_.name, rows_, kMostIds);
  }
  vocabulary_.FillUp(rows_);
  const auto add = [&](std::string_view key, ValueKind kind, auto data) {
    return m.Add(fmt::format("tokenizer.ggml.{}", key), {.kind = kind, .data = std::move(data)});
  };
  BONSAI_RETURN_IF_ERROR(add("model", ValueKind::kString, std::string(sentencepiece_ ? "llama" : "gpt2")));
  BONSAI_RETURN_IF_ERROR(add("pre", ValueKind::kString, pre_));
  BONSAI_RETURN_IF_ERROR(vocabulary_.Emit(m, sentencepiece_));
  if (sentencepiece_) BONSAI_RETURN_IF_ERROR(add("add_space_prefix", ValueKind::kBool, int64_t{space_prefix_}));

  const std::pair<const char*, const char*> kinds[] = {
      {"bos", "bos"}, {"eos", "eos"}, {"pad", "padding"}, {"unk", "unknown"}};
  for (const auto& [kind, key] : kinds) {
    BONSAI_ASSIGN(std::vector<int64_t> ids, SpecialIds(kind));
    if (ids.empty()) continue;
    BONSAI_RETURN_IF_ERROR(add(fmt::format("{}_token_id", key), ValueKind::kU32, ids[0]));
    if (ids.size() == 1 || key != std::string_view("eos")) continue;
    BONSAI_RETURN_IF_ERROR(m.Add("tokenizer.ggml.eos_token_ids",
                                 {.kind = ValueKind::kArray, .element = ValueKind::kU32, .data = std::move(ids)}));
  }
  const std::pair<const char*, bool> flags[] = {{"add_bos_token", !template_bos_.empty()},
                                                {"add_eos_token", !template_eos_.empty()}};
  for (const auto& [key, by_template] : flags) {
    // tokenizer.json says everything that its library does; the other files leave it to the code of their class.
    if (Get(&config_, key) == nullptr && !files_.tokenizer_json) continue;
    BONSAI_RETURN_IF_ERROR(add(key, ValueKind::kBool, int64_t{Flag(Get(&config_, key), by_template)}));
  }
  if (ChatTemplate().empty()) return {};
  return m.Add("tokenizer.chat_template", {.kind = ValueKind::kString, .data = std::string(ChatTemplate())});
}

}  // namespace

Status AddHfTokenizer(const HfTokenizerFiles& files, int64_t vocab_rows, Metadata& metadata) {
  Reader reader(files, vocab_rows);
  BONSAI_RETURN_IF_ERROR(reader.Read());
  return reader.Emit(metadata);
}

}  // namespace bonsai::formats
