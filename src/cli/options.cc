#include "cli/options.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/terminal.h"
#include "cli/verb.h"
#include "engine/builtin.h"

namespace bonsai::cli {
namespace {

/// CLI11 reads "-ctk" as three one-letter flags; llama.cpp's users mean one option.
constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kSingleDash = {{
    {"-ctk", "--cache-type-k"},
    {"-ctv", "--cache-type-v"},
    {"-ub", "--ubatch-size"},
    {"-sys", "--system-prompt"},
    {"-np", "--parallel"},
    {"-pg", "--n-prompt-gen"},
    {"-md", "--model-draft"},
}};

std::vector<std::string> KvTypeNames() {
  std::vector<std::string> names;
  for (const kernels::KvType type : kernels::AllKvTypes()) names.emplace_back(kernels::KvTypeName(type));
  return names;
}

/// Plain help: the kind of value and its default, without CLI11's notes on validators and exclusions.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* o) const override {
    if (o->get_type_size() == 0) return "";  // a flag
    std::string type = o->get_type_name();
    type.resize(std::min(type.size(), type.find(':')));
    return " " + type + (o->get_default_str().empty() ? "" : " (" + o->get_default_str() + ")");
  }
};

}  // namespace

int Parse(CLI::App& app, int argc, char** argv) {
  std::vector<std::string> args;  // CLI11 takes them last first
  for (int i = argc - 1; i >= 1; i--) {
    std::string_view arg = argv[i];
    for (const auto& [single, full] : kSingleDash)
      if (arg == single) arg = full;
    args.emplace_back(arg);
  }
  const auto formatter = std::make_shared<HelpFormatter>();
  formatter->column_width(34);
  app.formatter(formatter);
  for (CLI::App* verb : app.get_subcommands({})) verb->formatter(formatter);
  try {
    app.parse(args);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return kDone;
  } catch (const CLI::ParseError& e) {
    fmt::print(stderr, "bonsai: {}; see '{} --help'\n", e.what(), app.get_name());
    return kUsage;
  }
  return -1;
}

void ModelOption::AddTo(CLI::App& app) {
  app.add_option("-m,--model,model", path, "Model: a .gguf file or a directory; without one, the built-in model")
      ->type_name("PATH");
  app.add_option("--weight-type", weight_type, "What an ambiguous type id in the file means, such as PQ2_0")
      ->type_name("TYPE");
}

Result<std::unique_ptr<formats::ModelFile>> ModelOption::Open() const {
  const formats::OpenOptions options = {.weight_type = weight_type};
  return path.empty() ? formats::OpenModel(engine::BuiltinModel(), options) : formats::OpenModelPath(path, options);
}

void EngineFlags::AddTo(CLI::App& app) {
  app.add_option("-t,--threads", threads, "Threads (default: all CPUs this process may use)")
      ->check(CLI::Range(1, 1024));
  app.add_option("-c,--ctx-size", context,
                 "Context, tokens (default: the trained context, at most 8192 and what half of the free memory holds)")
      ->check(CLI::Range(1, 1 << 27));
  app.add_option("-b,--batch-size,--ubatch-size", batch_rows, "Prompt tokens a pass (also -ub)")
      ->check(CLI::Range(1, 8192))
      ->capture_default_str();
  app.add_option("--act", act, "Activations in matrix products: i8 (fast) or f32 (reference)")
      ->check(CLI::IsMember({"i8", "f32"}))
      ->capture_default_str();
  const auto kv = CLI::IsMember(KvTypeNames());
  app.add_option("--cache-type-k", cache_k, "KV cache, keys: f16, q8_0, q4_0 or f32 (also -ctk)")
      ->check(kv)
      ->capture_default_str();
  app.add_option("--cache-type-v", cache_v, "KV cache, values (also -ctv)")->check(kv)->capture_default_str();
  app.add_option("--kv-memory", kv_memory, "Most memory for the KV cache, as 512MiB (default: what -c needs)")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("SIZE");
}

engine::EngineOptions EngineFlags::ToOptions() const {
  engine::EngineOptions o;
  o.threads = threads;
  o.context = context;
  o.batch_rows = batch_rows;
  o.kv_memory = kv_memory;
  o.act = act == "f32" ? kernels::ActType::kF32 : kernels::ActType::kI8;
  o.k_type = kernels::KvTypeByName(cache_k).value_or(kernels::KvType::kF16);  // the option's check let no other in
  o.v_type = kernels::KvTypeByName(cache_v).value_or(kernels::KvType::kF16);
  return o;
}

void DraftFlags::AddTo(CLI::App& app) {
  app.add_flag("--speculate", speculate, "Guess tokens from earlier text and check them together; the same text");
  app.add_option("--model-draft", model,
                 "Guess with this smaller model of the same vocabulary; the same text (also -md)")
      ->type_name("PATH");
  app.add_option("--draft-max", most, "Most tokens of one guess")
      ->check(CLI::Range(1, engine::kMaxDraft))
      ->capture_default_str();
}

Result<std::unique_ptr<formats::ModelFile>> DraftFlags::Open(const ModelOption& main,
                                                             engine::EngineOptions& options) const {
  options.draft_max = most;
  if (model.empty()) return nullptr;
  auto file = ModelOption{.path = model, .weight_type = main.weight_type}.Open();
  if (file) options.draft = file->get();
  return file;
}

template <class T, T sampling::Params::*kField>
void SamplingFlags::Add(CLI::App& app, const char* name, const char* help) {
  CLI::Option* option = app.add_option(name, values_.*kField, help);
  items_.push_back({option, [](const sampling::Params& from, sampling::Params& to) { to.*kField = from.*kField; }});
}

void SamplingFlags::AddTo(CLI::App& app) {
  using P = sampling::Params;
  app.add_option("-s,--seed", seed_, "Random seed (default: a new one each time)")->check(CLI::NonNegativeNumber);
  Add<float, &P::temperature>(app, "--temp", "Temperature; 0 = always the most likely token (default 0.8)");
  Add<int32_t, &P::top_k>(app, "--top-k", "Keep the k most likely tokens; 0 = all (default 40)");
  Add<float, &P::top_p>(app, "--top-p", "Keep the most likely tokens up to this probability (default 0.95)");
  Add<float, &P::min_p>(app, "--min-p", "Drop tokens below this share of the most likely (default 0.05)");
  Add<float, &P::repeat_penalty>(app, "--repeat-penalty", "Divide logits of recent tokens; 1 = off (default 1)");
  Add<int32_t, &P::repeat_last_n>(app, "--repeat-last-n", "Tokens the penalties look at; -1 = all (default 64)");
  Add<float, &P::presence_penalty>(app, "--presence-penalty", "Subtracted from tokens that occurred (default 0)");
  Add<float, &P::frequency_penalty>(app, "--frequency-penalty", "Subtracted for each occurrence (default 0)");
}

sampling::Params SamplingFlags::Merge(sampling::Params file_defaults) const {
  for (const Item& item : items_)
    if (item.option->count() > 0) item.copy(values_, file_defaults);
  file_defaults.seed = seed_ >= 0 ? static_cast<uint64_t>(seed_) : std::random_device{}();
  return file_defaults;
}

void GenerationFlags::AddTo(CLI::App& app) {
  app.add_option("-n,--n-predict", max_tokens, "Most new tokens; -1 = until the model stops or the context is full")
      ->check(CLI::Range(-1, 1 << 27))
      ->capture_default_str();
  app.add_option("-r,--stop,--reverse-prompt", stop, "Stop when this text appears (may be repeated)");
  app.add_flag("--special", special, "Show control tokens");
  app.add_flag("--no-loop-guard", no_loop_guard, "Do not end a generation that repeats itself endlessly");
  draft.AddTo(app);
}

engine::GenerateOptions GenerationFlags::ToOptions() const {
  return {.max_tokens = max_tokens,
          .stop = stop,
          .loop_guard = !no_loop_guard,
          .special_text = special,
          .speculate = draft.Any()};
}

void ChatFlags::AddTo(CLI::App& app) {
  app.add_option("--system-prompt", system_prompt, "System prompt, for chat models (also -sys)");
  app.add_option("--chat-template-kwargs", variables.json,
                 "Variables for the chat template, a JSON object: '{\"enable_thinking\": false}'")
      ->type_name("JSON");
  app.add_option("--reasoning-budget", variables.reasoning_budget,
                 "-1: the model reasons as it likes; 0: not at all, where its template knows how (enable_thinking)")
      ->check(CLI::IsMember({-1, 0}))
      ->capture_default_str();
}

Result<std::unique_ptr<engine::Engine>> LoadEngine(const formats::ModelFile& file, engine::EngineOptions options,
                                                   bool quiet) {
  Progress loading("loading");
  options.log = StderrLog();
  options.progress = [&](uint64_t done, uint64_t total) {
    if (!quiet) loading.Update(done, total);
    return !InterruptGuard::Requested();
  };
  return engine::Engine::Load(file, options);
}

Result<std::string> ReadTextFile(const std::string& path, size_t limit) {
  std::string text;
  if (path != "-") {
    BONSAI_ASSIGN(const auto source, OpenFile(path));
    if (source->size() > limit)
      return Error(ErrorCode::kInvalidArgument, "{}: has {} bytes, more than the {} taken", path, source->size(),
                   limit);
    text.resize(source->size());
    BONSAI_RETURN_IF_ERROR(source->ReadAt(0, std::as_writable_bytes(std::span(text))));
    return text;
  }
  char chunk[65536];
  for (size_t n = 0; (n = std::fread(chunk, 1, sizeof(chunk), stdin)) > 0;) {
    text.append(chunk, n);
    if (text.size() > limit)
      return Error(ErrorCode::kInvalidArgument, "standard input has more than the {} bytes taken", limit);
  }
  return text;
}

Result<const quant::Type*> TypeNamed(const std::string& name) {
  if (const quant::Type* type = quant::FindByName(name)) return type;
  std::string all;
  for (const quant::Type& type : quant::Types()) all += (all.empty() ? "" : ", ") + std::string(type.name);
  return Error(ErrorCode::kInvalidArgument, "'{}' is no weight format; there are {}", name, all);
}

Result<std::vector<int32_t>> ParseIds(const std::string& text) {
  std::vector<int32_t> ids;
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end) {
    int32_t id = 0;
    const auto [next, error] = std::from_chars(p, end, id);
    if (error != std::errc() || (next != end && *next != ','))
      return Error(ErrorCode::kInvalidArgument, "token ids must be numbers separated by commas, not '{}'",
                   std::string_view(p, static_cast<size_t>(end - p)).substr(0, 40));
    ids.push_back(id);
    p = next == end ? end : next + 1;
  }
  return ids;
}

}  // namespace bonsai::cli
