// bonsai tokenize: text to token ids and back.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "formats/model_file.h"
#include "text/tokenizer.h"

namespace bonsai::cli {
namespace {

struct Flags {
  ModelOption model;
  std::string prompt, file, decode;
  bool ids = false, parse_special = false, no_bos = false, json = false, show_count = false, read_stdin = false;
};

/// A piece as a JSON string, or as a list of bytes when it is only a part of a character.
nlohmann::json PieceJson(std::string_view piece) {
  if (IsUtf8(piece)) return piece;
  nlohmann::json bytes = nlohmann::json::array();
  for (const char c : piece) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

/// Printable form of a piece: control characters and lone bytes as escapes.
std::string Quoted(std::string_view piece) {
  std::string out = "'";
  while (!piece.empty()) {
    const size_t n = Utf8CharLength(piece);
    const auto byte = static_cast<unsigned char>(piece[0]);
    if (piece[0] == '\n')
      out += "\\n";
    else if (piece[0] == '\t')
      out += "\\t";
    else if (n == 0 || byte < 0x20 || byte == 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += piece.substr(0, n);
    piece.remove_prefix(std::max<size_t>(n, 1));
  }
  return out + "'";
}

void Print(const Flags& f, const text::Tokenizer& t, const std::vector<int32_t>& ids) {
  if (f.json) {
    nlohmann::json tokens = nlohmann::json::array();
    for (const int32_t id : ids) tokens.push_back({{"id", id}, {"piece", PieceJson(t.Piece(id))}});
    Emit(nlohmann::json{{"count", ids.size()}, {"tokens", tokens}}.dump() + "\n");
    return;
  }
  if (f.ids)
    Emit(fmt::format("{}\n", fmt::join(ids, ",")));
  else
    for (const int32_t id : ids) Emit(fmt::format("{:6} -> {}\n", id, Quoted(t.Piece(id))));
  if (f.show_count) Emit(fmt::format("Total number of tokens: {}\n", ids.size()));
}

Status Run(const Flags& f) {
  BONSAI_ASSIGN(const auto model, f.model.Open());
  BONSAI_ASSIGN(const auto t, text::Tokenizer::FromMetadata(model->metadata()));
  if (!f.decode.empty()) {
    BONSAI_ASSIGN(const std::vector<int32_t> ids, ParseIds(f.decode));
    for (const int32_t id : ids)
      if (id < 0 || id >= t->vocab_size())
        return Error(ErrorCode::kInvalidArgument, "token id {} is outside the vocabulary (0..{})", id,
                     t->vocab_size() - 1);
    Emit(t->Decode(ids, true) + (StdoutIsTerminal() ? "\n" : ""));
    return {};
  }
  std::string text = f.prompt;
  if (f.read_stdin || !f.file.empty()) {
    BONSAI_ASSIGN(text, ReadTextFile(f.read_stdin ? "-" : f.file));
  }
  Print(f, *t, t->Encode(text, {.add_special = !f.no_bos, .add_end = !f.no_bos, .parse_special = f.parse_special}));
  return {};
}

}  // namespace

int TokenizeVerb(int argc, char** argv) {
  CLI::App app("Show how a model's tokenizer cuts a text.", "bonsai tokenize");
  Flags flags;
  flags.model.AddTo(app);
  auto* input = app.add_option_group("input")->require_option(1);
  input->add_option("-p,--prompt", flags.prompt, "Text");
  input->add_option("-f,--file", flags.file, "Read the text from a file; - is standard input");
  input->add_flag("--stdin", flags.read_stdin, "Read the text from standard input");
  input->add_option("--decode", flags.decode, "Token ids to turn into text: 1,2,3");
  app.add_flag("--ids", flags.ids, "Print only the ids, separated by commas");
  app.add_flag("--parse-special", flags.parse_special, "Recognise added tokens such as <|im_end|> in the text");
  app.add_flag("--no-bos", flags.no_bos, "Do not add the beginning- and end-of-sequence tokens that the file asks for");
  app.add_flag("--show-count", flags.show_count, "Print the number of tokens, too");
  app.add_flag("--json", flags.json, "Print JSON: count, and id and piece of each token");
  app.footer(
      "examples:\n  bonsai tokenize model.gguf -p \"Hello world\"\n"
      "  bonsai tokenize model.gguf --stdin --ids < text.txt\n  bonsai tokenize model.gguf --decode 72,443,111\n");
  if (const int code = Parse(app, argc, argv); code >= 0) return code;
  const Status status = Run(flags);
  return status ? kDone : Fail(status.error());
}

}  // namespace bonsai::cli
