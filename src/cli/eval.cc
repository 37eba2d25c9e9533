// bonsai eval perplexity: how well a model predicts a text.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/options.h"
#include "cli/terminal.h"
#include "eval/perplexity.h"

namespace bonsai::cli {
namespace {

constexpr int32_t kDefaultWindow = 512;

struct Flags {
  ModelOption model;
  EngineFlags engine;
  std::string file;
  int64_t max_tokens = -1;
  bool json = false;
};

Status Perplexity(const Flags& f) {
  BONSAI_ASSIGN(const std::string text, ReadTextFile(f.file));
  BONSAI_ASSIGN(const auto file, f.model.Open());
  engine::EngineOptions options = f.engine.ToOptions();
  const int32_t window = options.context == 0 ? kDefaultWindow : options.context;
  options.context = window;
  BONSAI_ASSIGN(const auto e, LoadEngine(*file, options));
  std::vector<int32_t> ids = e->tokenizer().Encode(text, {.add_special = true});
  if (f.max_tokens > 0 && ids.size() > static_cast<size_t>(f.max_tokens)) ids.resize(static_cast<size_t>(f.max_tokens));
  Progress scoring("scoring");
  InterruptGuard interrupt;
  BONSAI_ASSIGN(const eval::Perplexity p, eval::MeasurePerplexity(*e, ids, window, [&](int64_t done, int64_t total) {
                  scoring.Update(static_cast<uint64_t>(done), static_cast<uint64_t>(total));
                  return !InterruptGuard::Requested();
                }));
  scoring.Clear();
  if (f.json) {
    const nlohmann::json j = {
        {"tokens", p.tokens}, {"mean_nll", p.mean_nll()}, {"ppl", p.ppl()}, {"bits_per_byte", p.bits_per_byte()}};
    Emit(j.dump() + "\n");
  } else {
    fmt::print(
        "perplexity     {:.4f}\nnats a token   {:.6f}\nbits a byte    {:.6f}\ntokens scored  {} in windows of {}\n",
        p.ppl(), p.mean_nll(), p.bits_per_byte(), p.tokens, std::min<int64_t>(window, p.tokens));
  }
  return {};
}

}  // namespace

int EvalVerb(int argc, char** argv) {
  CLI::App app("Measure a model's quality.", "bonsai eval");
  Flags flags;
  CLI::App* perplexity = app.add_subcommand(
      "perplexity", "Perplexity of a text, in windows of -c predictions (default 512), each from an empty cache");
  flags.model.AddTo(*perplexity);
  perplexity->add_option("-f,--file", flags.file, "Text to score; - is standard input")->required();
  perplexity->add_option("--max-tokens", flags.max_tokens, "Score only this many tokens from the start");
  perplexity->add_flag("--json", flags.json, "Print tokens, mean_nll, ppl and bits_per_byte as JSON");
  flags.engine.AddTo(*perplexity);
  app.require_subcommand(1);
  app.footer(
      "examples:\n  bonsai eval perplexity model.gguf -f wiki.test.raw -c 2048\n"
      "  bonsai eval perplexity model.gguf -f text.txt -c 256 --act f32 --json\n");
  if (const int code = Parse(app, argc, argv); code >= 0) return code;
  const Status status = Perplexity(flags);
  return status ? kDone : Fail(status.error());
}

}  // namespace bonsai::cli
