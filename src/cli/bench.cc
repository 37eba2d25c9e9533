// bonsai bench: how fast a model runs here, with the flags and tables of llama-bench.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <map>

#include "base/machine.h"
#include "base/rng.h"
#include "cli/bench_output.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "engine/builtin.h"
#include "formats/model_file.h"
#include "kernels/cpu_info.h"
#include "model/model.h"

namespace bonsai::cli {
namespace {

constexpr uint64_t kSeed = 1;
constexpr int32_t kMostTokens = 1 << 24;  // of each number of tokens: three of them fit an int32

struct Flags {
  std::vector<std::string> models, pairs;
  std::vector<int32_t> prompts = {512}, generated = {128}, depths = {0}, batches = {2048}, ubatches = {512};
  std::vector<int> threads = {0};
  std::vector<std::string> k_types = {"f16"}, v_types = {"f16"}, acts = {"i8"};
  int repetitions = 5;
  std::string output = "md";
  bool progress = false, no_warmup = false;
};

/// What is measured with one engine.
struct Test {
  int32_t prompt, generated, depth;
};

/// One engine: a model and what it is loaded with.
struct Setup {
  std::string path;
  EngineFlags engine;
  int32_t batch, ubatch;
};

/// A model's part of the results, read once.
struct ModelFacts {
  std::string type;
  uint64_t size = 0, parameters = 0;
  model::ForwardCost cost;
  kernels::KvSpec kv;  ///< Its element types are those of the setup.
};

Result<ModelFacts> Facts(const Setup& s) {
  BONSAI_ASSIGN(const auto file, ModelOption{s.path}.Open());
  BONSAI_ASSIGN(const model::Description d, model::Describe(*file));
  const engine::EngineOptions o = s.engine.ToOptions();
  ModelFacts f;
  f.cost = model::CostOf(*file, d);
  f.kv = model::KvSpecOf(d.config, o.k_type, o.v_type);
  std::map<std::string_view, uint64_t> types;
  for (const formats::TensorInfo& t : file->tensors()) {
    f.parameters += t.elements();
    f.size += t.bytes;
    types[t.type->name] += t.bytes;
  }
  const auto most =
      std::max_element(types.begin(), types.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  const auto n = static_cast<double>(f.parameters);
  const std::string size = n >= 1e9 ? fmt::format("{:.1f}B", n / 1e9) : fmt::format("{:.1f}M", n / 1e6);
  const auto label = file->metadata().GetStringOr("general.size_label", size);
  f.type = fmt::format("{} {} {}", d.config.architecture, label ? std::string(*label) : size, most->first);
  return f;
}

/// Bytes and multiply-adds of a test: what each pass over the weights must read and make.
void AddPass(const ModelFacts& m, int32_t rows, int32_t end, bool logits, BenchResult& r) {
  const uint64_t kv_position = m.kv.BlockBytes() / kernels::kKvBlock;
  r.bytes += m.cost.layer_bytes + static_cast<uint64_t>(end) * kv_position + (logits ? m.cost.head_bytes : 0);
  r.macs += static_cast<uint64_t>(rows) * m.cost.layer_macs + (logits ? m.cost.head_macs : 0);
}

void CountWork(const ModelFacts& m, const Test& t, int32_t batch_rows, BenchResult& r) {
  for (int32_t i = 0; i < t.prompt; i += batch_rows) {
    const int32_t rows = std::min(batch_rows, t.prompt - i);
    AddPass(m, rows, t.depth + i + rows, i + rows == t.prompt, r);
  }
  for (int32_t i = 0; i < t.generated; i++) AddPass(m, 1, t.depth + t.prompt + i + 1, true, r);
}

/// Runs tests on one engine; the same random tokens each time.
class Runner {
 public:
  explicit Runner(engine::Engine& e) : engine_(e), logits_(static_cast<size_t>(e.config().vocab)) {
    Rng rng(kSeed);
    tokens_.resize(static_cast<size_t>(e.plan().context));
    for (int32_t& id : tokens_) id = static_cast<int32_t>(rng.Next() % static_cast<uint64_t>(engine_.config().vocab));
  }

  /// Fills the cache to `depth`.
  Status Fill(int32_t depth) {
    for (int32_t i = 0; i < depth; i += kFillStep)
      BONSAI_RETURN_IF_ERROR(Feed(i, std::min(kFillStep, depth - i), false));
    return {};
  }

  /// Seconds of one repetition.
  Result<double> Once(const Test& t) {
    const auto start = std::chrono::steady_clock::now();
    if (t.prompt > 0) BONSAI_RETURN_IF_ERROR(Feed(t.depth, t.prompt, true));
    for (int32_t i = 0; i < t.generated; i++) BONSAI_RETURN_IF_ERROR(Feed(t.depth + t.prompt + i, 1, true));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  static constexpr int32_t kFillStep = 2048;  // so that Ctrl-C is heard

  Status Feed(int32_t pos, int32_t count, bool logits) {
    if (InterruptGuard::Requested()) return Error(ErrorCode::kCancelled, "interrupted");
    const auto part = std::span<const int32_t>(tokens_).subspan(static_cast<size_t>(pos), static_cast<size_t>(count));
    return engine_.Feed(part, pos, logits ? std::span<float>(logits_) : std::span<float>());
  }

  engine::Engine& engine_;
  std::vector<int32_t> tokens_;
  std::vector<float> logits_;
};

Result<std::vector<Test>> Tests(const Flags& f) {
  std::vector<Test> tests;
  for (const int32_t depth : f.depths) {
    for (const int32_t p : f.prompts)
      if (p > 0) tests.push_back({p, 0, depth});
    for (const int32_t n : f.generated)
      if (n > 0) tests.push_back({0, n, depth});
    for (const std::string& text : f.pairs) {
      BONSAI_ASSIGN(const std::vector<int32_t> pair, ParseIds(text));
      if (pair.size() != 2 || pair[0] < 1 || pair[1] < 1 || pair[0] > kMostTokens || pair[1] > kMostTokens)
        return Error(ErrorCode::kInvalidArgument, "-pg takes prompt and new tokens, as 512,128, not '{}'", text);
      tests.push_back({pair[0], pair[1], depth});
    }
  }
  if (tests.empty()) return Error(ErrorCode::kInvalidArgument, "nothing to measure: -p and -n are 0");
  return tests;
}

std::vector<Setup> Setups(const Flags& f, const std::vector<Test>& tests) {
  int32_t context = 0;
  for (const Test& t : tests) context = std::max(context, t.prompt + t.generated + t.depth);
  std::vector<Setup> setups;
  const std::vector<std::string> models = f.models.empty() ? std::vector<std::string>{""} : f.models;
  for (const std::string& path : models)
    for (const int threads : f.threads)
      for (const int32_t batch : f.batches)
        for (const int32_t ubatch : f.ubatches)
          for (const std::string& act : f.acts)
            for (const std::string& k : f.k_types)
              for (const std::string& v : f.v_types) {
                EngineFlags e;
                e.threads = threads == 0 ? UsableCpus() : threads;
                e.context = context, e.batch_rows = std::min(batch, ubatch);
                e.act = act, e.cache_k = k, e.cache_v = v;
                setups.push_back({path, e, batch, ubatch});
              }
  return setups;
}

std::string UtcNow() {
  const std::time_t now = std::time(nullptr);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now));
}

/// The whole run: what its setups share.
struct Session {
  const Flags& flags;
  kernels::CpuInfo cpu;
  std::vector<Test> tests;
  std::map<int, kernels::Ceilings> ceilings;  ///< By threads.
  size_t done = 0, total = 0;
  BenchPrinter printer;

  /// A note on stderr: on a terminal, or when asked for.
  void Note(const std::string& text) const {
    if (flags.progress) fmt::print(stderr, "bonsai bench: {}\n", text);
  }
  Result<kernels::Ceilings> CeilingsOf(int threads) {
    if (const auto found = ceilings.find(threads); found != ceilings.end()) return found->second;
    Note(fmt::format("measuring memory bandwidth and dot products with {} threads", threads));
    if (!flags.progress && StderrIsTerminal()) fmt::print(stderr, "measuring this machine …");
    auto measured = kernels::MeasureCeilings({.threads = threads});
    if (!flags.progress && StderrIsTerminal()) fmt::print(stderr, "\r\033[K");
    if (measured) ceilings[threads] = *measured;
    return measured;
  }
};

Result<BenchResult> Measure(Session& session, const Setup& s, const ModelFacts& facts, const Test& t, Runner& runner) {
  const Flags& f = session.flags;
  BenchResult r;
  r.file = s.path.empty() ? "built-in model" : s.path;
  r.type = facts.type, r.size = facts.size, r.parameters = facts.parameters;
  r.isa = session.cpu.table, r.cpu = session.cpu.model;
  r.k_type = s.engine.cache_k, r.v_type = s.engine.cache_v, r.act = s.engine.act;
  r.threads = s.engine.threads, r.batch = s.batch, r.ubatch = s.ubatch;
  r.prompt = t.prompt, r.generated = t.generated, r.depth = t.depth;
  r.ceilings = session.ceilings[s.engine.threads];
  r.time = UtcNow();
  CountWork(facts, t, s.engine.batch_rows, r);

  Progress progress(r.TestName());
  const std::string name = fmt::format("test {}/{} {}", ++session.done, session.total, r.TestName());
  const auto step = [&](int i) {
    session.Note(name + (i < 0 ? ": warm-up" : fmt::format(": run {}/{}", i + 1, f.repetitions)));
    if (!f.progress) progress.Update(static_cast<uint64_t>(i) + 1, static_cast<uint64_t>(f.repetitions) + 1);
  };
  if (t.depth > 0) session.Note(fmt::format("{}: filling the cache to {} tokens", name, t.depth));
  BONSAI_RETURN_IF_ERROR(runner.Fill(t.depth));
  if (!f.no_warmup) {
    step(-1);
    BONSAI_RETURN_IF_ERROR(runner.Once({t.prompt, std::min(t.generated, 1), t.depth}));
  }
  for (int i = 0; i < f.repetitions; i++) {
    step(i);
    BONSAI_ASSIGN(const double seconds, runner.Once(t));
    r.seconds.push_back(std::max(seconds, 1e-9));
  }
  return r;
}

Status RunSetup(Session& session, const Setup& s) {
  BONSAI_ASSIGN(const ModelFacts facts, Facts(s));
  BONSAI_RETURN_IF_ERROR(session.CeilingsOf(s.engine.threads));  // before the weights take their memory
  session.Note("loading " + (s.path.empty() ? "the built-in model" : s.path));
  BONSAI_ASSIGN(const auto file, ModelOption{s.path}.Open());
  BONSAI_ASSIGN(const auto e, LoadEngine(*file, s.engine.ToOptions(), session.flags.progress));
  Runner runner(*e);
  for (const Test& t : session.tests) {
    BONSAI_ASSIGN(const BenchResult result, Measure(session, s, facts, t, runner));
    session.printer.Row(result);
  }
  return {};
}

Status Run(const Flags& f) {
  static const std::map<std::string, BenchFormat> kFormats = {{"md", BenchFormat::kMarkdown},
                                                              {"json", BenchFormat::kJson},
                                                              {"jsonl", BenchFormat::kJsonLines},
                                                              {"csv", BenchFormat::kCsv}};
  BONSAI_ASSIGN(kernels::CpuInfo cpu, kernels::DescribeCpu());
  BONSAI_ASSIGN(std::vector<Test> tests, Tests(f));
  const std::vector<Setup> setups = Setups(f, tests);
  const size_t total = setups.size() * tests.size();
  Session session{f, std::move(cpu), std::move(tests), {}, 0, total, BenchPrinter(kFormats.at(f.output))};
  for (const Setup& s : setups) BONSAI_RETURN_IF_ERROR(Facts(s));  // a file that does not open, before minutes of work
  InterruptGuard interrupt;
  session.printer.Begin();
  Status status;
  for (const Setup& s : setups)
    if (status) status = RunSetup(session, s);
  session.printer.End();  // what was measured until then stays well formed
  return status;
}

}  // namespace

int BenchVerb(int argc, char** argv) {
  CLI::App app("Measure how fast a model runs here, as llama-bench does.", "bonsai bench");
  Flags f;
  const auto list = [&](const char* name, auto& values, const char* help) {
    return app.add_option(name, values, help)
        ->delimiter(',')
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  };
  const auto tokens = CLI::Range(0, kMostTokens);
  std::vector<std::string> kv_types;
  for (const kernels::KvType type : kernels::AllKvTypes()) kv_types.emplace_back(kernels::KvTypeName(type));
  list("-m,--model", f.models, "Model files (.gguf); without one, the built-in model")->type_name("FILE");
  list("-p,--n-prompt", f.prompts, "Prompt tokens, 0 = no such test (default 512)")->check(tokens);
  list("-n,--n-gen", f.generated, "New tokens, one by one, 0 = no such test (default 128)")->check(tokens);
  app.add_option("--n-prompt-gen", f.pairs, "Prompt, then new tokens, in one test: 512,128; may be repeated (also -pg)")
      ->type_name("PP,TG")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  list("-d,--n-depth", f.depths, "Tokens in the cache before a test, not counted (default 0)")->check(tokens);
  list("-t,--threads", f.threads, "Threads (default: all CPUs this process may use)")->check(CLI::Range(1, 1024));
  list("-b,--batch-size", f.batches, "Prompt tokens a pass, if -ub is not less (default 2048)")
      ->check(CLI::Range(1, 8192));
  list("--ubatch-size", f.ubatches, "Prompt tokens a pass (default 512) (also -ub)")->check(CLI::Range(1, 8192));
  list("--cache-type-k", f.k_types, "KV cache, keys (default f16) (also -ctk)")->check(CLI::IsMember(kv_types));
  list("--cache-type-v", f.v_types, "KV cache, values (default f16) (also -ctv)")->check(CLI::IsMember(kv_types));
  list("--act", f.acts, "Activations: i8 or f32 (default i8)")->check(CLI::IsMember({"i8", "f32"}));
  app.add_option("-r,--repetitions", f.repetitions, "Runs of each test")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  app.add_option("-o,--output", f.output, "md, json, jsonl or csv")
      ->check(CLI::IsMember({"md", "json", "jsonl", "csv"}))
      ->capture_default_str();
  app.add_flag("--progress", f.progress, "Say on stderr what is being measured");
  app.add_flag("--no-warmup", f.no_warmup, "Skip the run before each test that is not counted");
  app.footer(
      "Several values, separated by commas, measure every combination. The two last columns (bandwidth_share and\n"
      "dot_share in JSON) compare with what memory and the dot product instruction can do, measured in the same "
      "run.\n\n"
      "examples:\n  bonsai bench -m model.gguf\n  bonsai bench -m model.gguf -p 64,512 -n 32 -t 1,2 -r 3\n"
      "  bonsai bench -m a.gguf,b.gguf -p 0 -n 64 -d 0,4096\n  bonsai bench -m model.gguf -pg 512,128 -o json > "
      "speed.json\n");
  if (const int code = Parse(app, argc, argv); code >= 0) return code;
  const Status status = Run(f);
  return status ? kDone : Fail(status.error());
}

}  // namespace bonsai::cli
