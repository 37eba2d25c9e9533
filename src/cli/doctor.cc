// bonsai doctor: what this machine offers, which kernels run, and why it may be slow.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/machine.h"
#include "cli/model_tables.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "engine/plan.h"
#include "formats/model_file.h"
#include "kernels/ceilings.h"
#include "kernels/cpu_info.h"
#include "model/model.h"

namespace bonsai::cli {
namespace {

using kernels::KernelPath;
using nlohmann::json;

struct Flags {
  std::string path;
  EngineFlags engine;
  bool json = false;
};

/// What one model needs here.
struct ModelReport {
  std::string file;
  std::map<std::string, uint64_t> matrix_types;  ///< Format of matrices → bytes.
  uint64_t weights = 0, scratch = 0;             ///< Bytes in memory.
  int32_t trained_context = 0, largest_context = 0;
  double floor_tokens_per_s = 0;  ///< Memory bandwidth ÷ bytes a token, at an empty cache.
};

struct Report {
  kernels::CpuInfo cpu;
  CpuCounts cpus;
  int usable = 1, threads = 1;
  kernels::Ceilings ceilings;
  std::string huge_pages;
  uint64_t total_memory = 0, available_memory = 0;
  std::optional<ModelReport> model;
  std::vector<std::string> warnings;
};

Result<ModelReport> GatherModel(const Flags& f, uint64_t available, const kernels::Ceilings& ceilings) {
  BONSAI_ASSIGN(const auto file, formats::OpenModelPath(f.path));
  BONSAI_ASSIGN(const model::Description d, model::Describe(*file));
  const engine::EngineOptions o = f.engine.ToOptions();
  BONSAI_ASSIGN(const auto device, kernels::NewCpuDevice({.threads = o.threads, .act = o.act}));
  // Without a limit the plan always succeeds, and gives the fixed part.
  BONSAI_ASSIGN(
      const engine::MemoryPlan plan,
      engine::MakePlan(*file, d, *device,
                       {.context = o.context, .batch_rows = o.batch_rows, .k_type = o.k_type, .v_type = o.v_type}));
  ModelReport m;
  m.file = file->name();
  m.weights = plan.weights, m.scratch = plan.scratch;
  m.trained_context = d.config.trained_context;
  const uint64_t fixed = plan.weights + plan.scratch, left = available > fixed ? available - fixed : 0;
  const kernels::KvSpec spec = model::KvSpecOf(d.config, o.k_type, o.v_type);
  const uint64_t fits = left / spec.BlockBytes() * kernels::kKvBlock;
  m.largest_context = static_cast<int32_t>(std::min<uint64_t>(fits, static_cast<uint64_t>(d.config.trained_context)));
  for (const formats::TensorInfo& t : file->tensors())
    if (t.shape.size() >= 2) m.matrix_types[std::string(t.type->name)] += t.bytes;
  const model::ForwardCost cost = model::CostOf(*file, d);
  m.floor_tokens_per_s = ceilings.read_bytes_per_s / static_cast<double>(cost.layer_bytes + cost.head_bytes);
  return m;
}

/// The kernels that products with matrices of a format take, with the activations of the run.
KernelPath PathOf(const kernels::WeightKernels& w, bool i8) { return i8 && w.i8 != KernelPath::kFloat ? w.i8 : w.f32; }

void WarnOfKernels(const Flags& f, Report& r) {
  const kernels::CpuInfo& cpu = r.cpu;
  const std::string& best =
      std::find_if(cpu.isas.begin(), cpu.isas.end(), [](const auto& i) { return i.usable; })->name;
  if (!cpu.forced.empty() && cpu.table != best) {
    r.warnings.push_back(fmt::format("BONSAI_ISA={} forces '{}' kernels, but this CPU can run '{}': unset BONSAI_ISA",
                                     cpu.forced, cpu.table, best));
  } else if (!cpu.forced.empty()) {
    r.warnings.push_back(fmt::format("BONSAI_ISA={} is set; it is what would be chosen anyway: unset it", cpu.forced));
  } else if (cpu.table == "portable") {
    r.warnings.push_back(
        "no kernels for this CPU's vector instructions: the portable ones run, many times slower; "
        "use a newer CPU, or in a virtual machine pass the host's CPU features through");
  }
  if (!r.model) return;
  for (const auto& [name, bytes] : r.model->matrix_types) {
    const quant::Type* type = quant::FindByName(name);
    const KernelPath path = PathOf(kernels::DescribeKernels(*type, cpu.table), f.engine.act == "i8");
    if (path == KernelPath::kReference)
      r.warnings.push_back(
          fmt::format("{} matrices ({}) run on the reference kernel, which decodes every weight: "
                      "bonsai convert makes a file in a format with kernels of its own (see the list above)",
                      name, HumanBytes(bytes)));
  }
  if (r.model->largest_context == 0)
    r.warnings.push_back(
        fmt::format("{} does not fit: it needs {} and {} are available; close other programs or use a "
                    "smaller model",
                    r.model->file, HumanBytes(r.model->weights + r.model->scratch), HumanBytes(r.available_memory)));
}

void WarnOfMachine(Report& r) {
  if (r.huge_pages == "never" || r.huge_pages.empty())
    r.warnings.push_back(
        fmt::format("no huge pages (transparent_hugepage is {}): reading weights is 10-15% slower; "
                    "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
                    r.huge_pages.empty() ? "absent" : "'never'"));
  if (r.cpus.affinity < r.cpus.online)
    r.warnings.push_back(fmt::format("the affinity mask allows {} of {} CPUs: start without taskset, or widen the mask",
                                     r.cpus.affinity, r.cpus.online));
  if (r.cpus.quota < r.cpus.online)
    r.warnings.push_back(
        fmt::format("the cgroup's quota allows {:.1f} of {} CPUs: give the container more (docker "
                    "--cpus, cpu.max)",
                    r.cpus.quota, r.cpus.online));
  if (r.threads > r.usable)
    r.warnings.push_back(
        fmt::format("{} threads on {} usable CPUs wait for each other: use -t {}", r.threads, r.usable, r.usable));
  if (r.ceilings.busy)
    r.warnings.push_back(
        "other programs use the CPUs: the ceilings may be too low, and models run slower; stop them and measure again");
  if (r.ceilings.cached)
    r.warnings.push_back("little memory is free: the bandwidth was measured partly from cache and may be too high");
}

Result<Report> Gather(const Flags& f) {
  Report r;
  BONSAI_ASSIGN(r.cpu, kernels::DescribeCpu());
  r.cpus = CountCpus();
  r.usable = UsableCpus();
  r.threads = f.engine.threads == 0 ? r.usable : f.engine.threads;
  r.huge_pages = HugePageMode();
  r.total_memory = TotalMemory(), r.available_memory = AvailableMemory();
  if (StderrIsTerminal()) fmt::print(stderr, "measuring memory bandwidth and dot products …");
  const auto ceilings = kernels::MeasureCeilings({.threads = r.threads});
  if (StderrIsTerminal()) fmt::print(stderr, "\r\033[K");
  BONSAI_ASSIGN(r.ceilings, ceilings);
  if (!f.path.empty()) {
    BONSAI_ASSIGN(r.model, GatherModel(f, r.available_memory, r.ceilings));
  }
  WarnOfKernels(f, r);
  WarnOfMachine(r);
  return r;
}

json KernelsJson(const Report& r) {
  const auto with_isa = [](KernelPath path, const std::string& isa) {
    json j = {{"path", kernels::KernelPathName(path)}};
    if (!isa.empty()) j["isa"] = isa;
    return j;
  };
  json all = json::object();
  for (const quant::Type& type : quant::Types()) {
    const kernels::WeightKernels w = kernels::DescribeKernels(type, r.cpu.table);
    json i8 = with_isa(w.i8, w.i8_isa);
    if (w.i8 == KernelPath::kTiles) i8["most_singly"] = w.most_singly, i8["most_together"] = w.most_together;
    json& one = all[std::string(type.name)] = {{"i8", i8}, {"f32", with_isa(w.f32, w.f32_isa)}};
    if (w.as->ggml_id != type.ggml_id) one["as"] = w.as->name;
  }
  return all;
}

void PrintJson(const Report& r) {
  json isas = json::array();
  for (const kernels::IsaInfo& i : r.cpu.isas)
    isas.push_back({{"name", i.name}, {"usable", i.usable}, {"missing", i.missing}});
  json j = {{"cpu",
             {{"model", r.cpu.model},
              {"architecture", r.cpu.architecture},
              {"features", r.cpu.features},
              {"last_level_cache", r.cpu.last_level_cache}}},
            {"isa", {{"used", r.cpu.table}, {"forced", r.cpu.forced}, {"tables", isas}}},
            {"kernels", KernelsJson(r)},
            {"threads",
             {{"used", r.threads},
              {"usable", r.usable},
              {"online", r.cpus.online},
              {"affinity", r.cpus.affinity},
              {"quota", std::isfinite(r.cpus.quota) ? json(r.cpus.quota) : json(nullptr)}}},
            {"ceilings",
             {{"threads", r.ceilings.threads},
              {"busy", r.ceilings.busy},
              {"read_bytes_per_s", r.ceilings.read_bytes_per_s},
              {"read_buffer", r.ceilings.read_buffer},
              {"int8_macs_per_s", r.ceilings.int8_macs_per_s},
              {"dot_instruction", r.ceilings.dot_instruction}}},
            {"memory", {{"total", r.total_memory}, {"available", r.available_memory}, {"huge_pages", r.huge_pages}}},
            {"warnings", r.warnings}};
  if (r.model) {
    const ModelReport& m = *r.model;
    j["model"] = {{"file", m.file},
                  {"matrices", m.matrix_types},
                  {"weights", m.weights},
                  {"scratch", m.scratch},
                  {"trained_context", m.trained_context},
                  {"largest_context", m.largest_context},
                  {"floor_tokens_per_s", m.floor_tokens_per_s}};
  }
  Emit(j.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

/// How many tokens of a batch share a pass over the weights, by the batch's size.
std::string BatchText(const kernels::WeightKernels& w) {
  if (w.i8 != KernelPath::kTiles) return "";
  std::string many = fmt::format("{}+: up to {}", w.most_singly + 1, w.most_together);
  if (w.most_singly == 0) return many;
  return (w.most_singly == 1 ? "1: 1, " : fmt::format("1-{}: 1, ", w.most_singly)) + many;
}

void PrintKernels(const Report& r) {
  fmt::print("\nkernels by weight format\n  {:<10} {:<20} {:<28} {}\n", "", "--act i8 (default)", "tokens a pass",
             "--act f32");
  for (const quant::Type& type : quant::Types()) {
    const kernels::WeightKernels w = kernels::DescribeKernels(type, r.cpu.table);
    if (w.as->ggml_id != type.ggml_id) {
      fmt::print("  {:<10} as {}\n", type.name, w.as->name);
      continue;
    }
    fmt::print("  {:<10} {:<20} {:<28} {}\n", type.name, PathText(w.i8, w.i8_isa), BatchText(w),
               PathText(w.f32, w.f32_isa));
  }
}

void PrintModel(const ModelReport& m) {
  fmt::print("\n{}\n", m.file);
  for (const auto& [type, bytes] : m.matrix_types) fmt::print("  matrices         {}, {}\n", type, HumanBytes(bytes));
  fmt::print("  memory           weights {} + scratch {}\n", HumanBytes(m.weights), HumanBytes(m.scratch));
  fmt::print("  largest context  {} tokens of the {} it was trained with\n", m.largest_context, m.trained_context);
  fmt::print("  memory floor     {:.1f} tokens a second, one sequence, empty cache\n", m.floor_tokens_per_s);
}

void PrintText(const Report& r) {
  const kernels::CpuInfo& cpu = r.cpu;
  fmt::print("{}, {}\n", cpu.model, cpu.architecture);
  fmt::print("  features         {}\n", fmt::join(cpu.features, ", "));
  fmt::print("  kernels          {}{}\n", cpu.table, cpu.forced.empty() ? "" : " (forced by BONSAI_ISA)");
  for (const kernels::IsaInfo& i : cpu.isas)
    if (!i.usable) fmt::print("  not {:<12} missing: {}\n", i.name, fmt::join(i.missing, ", "));
  fmt::print("  CPUs             {} usable of {} online (affinity mask {}, cgroup quota {})\n", r.usable, r.cpus.online,
             r.cpus.affinity, std::isfinite(r.cpus.quota) ? fmt::format("{:.1f}", r.cpus.quota) : "none");
  fmt::print("  last-level cache {}\n", HumanBytes(cpu.last_level_cache));
  fmt::print("\nceilings, {} {}\n", r.ceilings.threads, r.ceilings.threads == 1 ? "thread" : "threads");
  fmt::print("  streaming read   {:.1f} GB/s over {}\n", r.ceilings.read_bytes_per_s / 1e9,
             HumanBytes(r.ceilings.read_buffer));
  fmt::print("  int8 dot product {:.0f} G MAC/s ({})\n", r.ceilings.int8_macs_per_s / 1e9, r.ceilings.dot_instruction);
  fmt::print("\nmemory\n  total            {}\n  available        {}\n  huge pages       {}\n",
             HumanBytes(r.total_memory), HumanBytes(r.available_memory),
             r.huge_pages.empty() ? "absent" : r.huge_pages);
  PrintKernels(r);
  if (r.model) PrintModel(*r.model);
  std::fputs("\n", stdout);
  const bool colour = StdoutIsTerminal();
  for (const std::string& w : r.warnings)
    fmt::print("{}WARNING{}  {}\n", colour ? "\033[1;33m" : "", colour ? "\033[0m" : "", w);
  if (r.warnings.empty()) fmt::print("nothing to complain about\n");
}

}  // namespace

int DoctorVerb(int argc, char** argv) {
  CLI::App app("Show what this machine offers, which kernels run, and why it may be slow.", "bonsai doctor");
  Flags flags;
  app.add_option("-m,--model,model", flags.path, "Model file (.gguf) to check against this machine; optional")
      ->type_name("FILE");
  app.add_flag("--json", flags.json, "Print JSON");
  flags.engine.AddTo(app);
  app.footer(
      "Measures for about a second. Warnings come last, each with what to do.\n\n"
      "examples:\n  bonsai doctor\n  bonsai doctor model.gguf -ctk f16\n  bonsai doctor -t 1\n"
      "  bonsai doctor --json | jq .warnings\n");
  if (const int code = Parse(app, argc, argv); code >= 0) return code;
  const Result<Report> report = Gather(flags);
  if (!report) return Fail(report.error());
  if (flags.json)
    PrintJson(*report);
  else
    PrintText(*report);
  return kDone;
}

}  // namespace bonsai::cli
