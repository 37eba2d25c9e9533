// Options that several verbs share. Names as in llama.cpp.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/conversation.h"
#include "engine/engine.h"
#include "formats/model_file.h"
#include "sampling/sampler.h"

namespace bonsai::cli {

/// A CLI11 application that knows llama.cpp's spelling of options: before parsing, a known long name with a single
/// dash ("-ctk") becomes its double-dash form. Returns an exit code (>= 0) when the program should end, else -1.
int Parse(CLI::App& app, int argc, char** argv);

/// -m/--model or the first positional argument, and --weight-type.
struct ModelOption {
  std::string path = {};
  std::string weight_type = {};
  void AddTo(CLI::App& app);
  /// The model, or the built-in one when none was named.
  Result<std::unique_ptr<formats::ModelFile>> Open() const;
};

/// -t, -c, -ub, --act, -ctk, -ctv, --kv-memory.
struct EngineFlags {
  int threads = 0;
  int32_t context = 0;
  int32_t batch_rows = 512;
  uint64_t kv_memory = 0;
  std::string act = "i8", cache_k = "f16", cache_v = "f16";
  void AddTo(CLI::App& app);
  engine::EngineOptions ToOptions() const;
};

/// --speculate, -md, --draft-max: guesses that are checked together, with the same text.
struct DraftFlags {
  bool speculate = false;
  std::string model = {};
  int32_t most = engine::kDefaultDraft;
  void AddTo(CLI::App& app);
  bool Any() const { return speculate || !model.empty(); }
  /// Sets options.draft and draft_max. Gives the draft model's file, which must stay open while the engine is loaded;
  /// null when there is none.
  Result<std::unique_ptr<formats::ModelFile>> Open(const ModelOption& main, engine::EngineOptions& options) const;
};

/// --temp, --top-k, …, --seed: only those the user gave replace what the file recommends.
class SamplingFlags {
 public:
  void AddTo(CLI::App& app);
  /// The seed is the user's, or a new one each time.
  sampling::Params Merge(sampling::Params file_defaults) const;

 private:
  template <class T, T sampling::Params::*kField>
  void Add(CLI::App& app, const char* name, const char* help);

  struct Item {
    CLI::Option* option;
    void (*copy)(const sampling::Params& from, sampling::Params& to);
  };
  sampling::Params values_;
  int64_t seed_ = -1;
  std::vector<Item> items_;
};

/// -n, --stop, --special, --no-loop-guard, and guesses.
struct GenerationFlags {
  int32_t max_tokens = -1;
  std::vector<std::string> stop = {};
  bool special = false, no_loop_guard = false;
  DraftFlags draft = {};
  void AddTo(CLI::App& app);
  /// All but the sampling.
  engine::GenerateOptions ToOptions() const;
};

/// --system-prompt, --chat-template-kwargs, --reasoning-budget.
struct ChatFlags {
  std::string system_prompt = {};
  ChatVariables variables = {};
  void AddTo(CLI::App& app);
};

/// Shows a progress line while the model is loaded, unless `quiet`; an InterruptGuard that lives stops it (kCancelled).
/// `options.log` and `options.progress` are set here.
Result<std::unique_ptr<engine::Engine>> LoadEngine(const formats::ModelFile& file, engine::EngineOptions options,
                                                   bool quiet = false);

/// The whole text of a file; "-" is standard input. At most `limit` bytes, else kInvalidArgument.
Result<std::string> ReadTextFile(const std::string& path, size_t limit = size_t{1} << 30);

/// The weight format of that name, or kInvalidArgument with the list of all.
Result<const quant::Type*> TypeNamed(const std::string& name);

/// "1,2,3" → ids. kInvalidArgument names what is not a number.
Result<std::vector<int32_t>> ParseIds(const std::string& text);

}  // namespace bonsai::cli
