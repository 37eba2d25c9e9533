// bonsai convert: between weight formats, without loss where that is possible.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/machine.h"
#include "cli/model_tables.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "compress/convert.h"

namespace bonsai::cli {
namespace {

using nlohmann::json;

struct Flags {
  ModelOption model;
  std::string out, type, to, rule = "lsq";
  std::vector<std::string> keep;
  int threads = 0;
  bool dry_run = false, json = false, force = false;
};

Result<compress::ConvertOptions> OptionsOf(const Flags& f) {
  compress::ConvertOptions o;
  o.rule = f.rule == "max"       ? quant::TernaryRule::kMax
           : f.rule == "absmean" ? quant::TernaryRule::kAbsMean
                                 : quant::TernaryRule::kLeastSquares;
  if (f.to == "mlx") o.to = compress::Container::kMlx;
  if (f.to == "safetensors") o.to = compress::Container::kSafetensors;
  if (!f.type.empty()) {
    BONSAI_ASSIGN(o.type, TypeNamed(f.type));
  }
  for (const std::string& rule : f.keep) {
    const size_t equals = rule.rfind('=');
    if (equals == std::string::npos || equals == 0)
      return Error(ErrorCode::kInvalidArgument, "--keep '{}' is not PATTERN=TYPE", rule);
    compress::KeepRule keep{.pattern = rule.substr(0, equals)};
    BONSAI_ASSIGN(keep.type, TypeNamed(rule.substr(equals + 1)));
    o.keep.push_back(std::move(keep));
  }
  return o;
}

/// Tensors that differ only in the number of their layer, and what became of them.
struct Row {
  std::string name, from, to;
  size_t count = 0;
  uint64_t bytes = 0;
  compress::Change change;
};

std::vector<Row> Rows(const compress::Plan& plan, const compress::Report& report) {
  std::vector<Row> rows;
  for (size_t i = 0; i < plan.from.size(); i++) {
    const formats::TensorInfo& from = *plan.from[i];
    const Row row{LayerPattern(from.name), TrueFormat(from), std::string(plan.to[i].type->name)};
    auto it = std::find_if(rows.begin(), rows.end(),
                           [&](const Row& r) { return r.name == row.name && r.from == row.from && r.to == row.to; });
    if (it == rows.end()) it = rows.insert(rows.end(), row);
    it->count++;
    it->bytes += from.elements() / static_cast<uint64_t>(plan.to[i].type->block_weights) *
                 static_cast<uint64_t>(plan.to[i].type->block_bytes);
    if (!report.empty()) it->change.Add(report[i]);
  }
  return rows;
}

std::string ChangeText(const compress::Change& c) {
  if (c.weights == 0) return "";
  const auto n = static_cast<double>(c.weights);
  std::string text = c.exact ? "exact" : fmt::format("relative error {:.4f}", c.RelativeError());
  uint64_t small = 0;
  for (const uint64_t count : c.codes) small += count;
  if (small != c.weights) return text;
  text += fmt::format("; codes -1 {:.1f}%", 100 * static_cast<double>(c.codes[0]) / n);
  for (size_t k = 1; k < c.codes.size(); k++)
    if (c.codes[k] != 0)
      text += fmt::format(", {:+} {:.1f}%", static_cast<int>(k) - 1, 100 * static_cast<double>(c.codes[k]) / n);
  return text;
}

void PrintText(const Flags& f, const compress::Plan& plan, const compress::Report& report) {
  for (const Row& r : Rows(plan, report))
    fmt::print("  {:<28} x{:<4} {:>10} -> {:<10} {:>9}  {}\n", r.name, r.count, r.from, r.to, HumanBytes(r.bytes),
               ChangeText(r.change));
  compress::Change total;
  for (const compress::Change& c : report) total.Add(c);
  if (f.dry_run)
    fmt::print("{} would have {} bytes ({})\n", f.out, plan.bytes, HumanBytes(plan.bytes));
  else
    fmt::print("{}: {} bytes ({}), {}\n", f.out, plan.bytes, HumanBytes(plan.bytes),
               total.exact ? "every weight has the same value as before"
                           : fmt::format("relative error {:.4f} over the tensors that changed", total.RelativeError()));
}

void PrintJson(const Flags& f, const compress::Plan& plan, const compress::Report& report) {
  json j = {{"out", f.out}, {"bytes", plan.bytes}, {"written", !f.dry_run}, {"tensors", json::array()}};
  for (size_t i = 0; i < plan.from.size(); i++) {
    json t = {{"name", plan.from[i]->name}, {"from", TrueFormat(*plan.from[i])}, {"to", plan.to[i].type->name}};
    if (!report.empty()) {
      const compress::Change& c = report[i];
      t["exact"] = c.exact;
      t["relative_error"] = c.RelativeError();
      t["zero_fraction"] = static_cast<double>(c.zeros()) / static_cast<double>(std::max<uint64_t>(c.weights, 1));
      t["codes"] = {{"-1", c.codes[0]}, {"0", c.codes[1]}, {"+1", c.codes[2]}, {"+2", c.codes[3]}};
    }
    j["tensors"].push_back(std::move(t));
  }
  Emit(j.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

Status Run(const Flags& f) {
  BONSAI_ASSIGN(const compress::ConvertOptions options, OptionsOf(f));
  BONSAI_ASSIGN(const auto file, f.model.Open());
  BONSAI_ASSIGN(const compress::Plan plan, compress::PlanConversion(*file, options));
  compress::Report report;
  if (!f.dry_run) {
    if (!f.force && std::filesystem::exists(f.out))
      return Error(ErrorCode::kInvalidArgument, "{}: exists already; {}", f.out,
                   std::filesystem::is_directory(f.out) ? "remove it first" : "--force replaces it");
    Progress progress("converting");
    InterruptGuard interrupt;
    compress::RunOptions run;
    run.threads = f.threads != 0 ? f.threads : 2 * UsableCpus();
    run.drop_cache = file->size() > AvailableMemory() / 2;
    run.progress = [&](uint64_t done, uint64_t total) {
      progress.Update(done, total);
      return !InterruptGuard::Requested();
    };
    BONSAI_ASSIGN(report, compress::Convert(*file, plan, f.out, run));
  }
  f.json ? PrintJson(f, plan, report) : PrintText(f, plan, report);
  return {};
}

}  // namespace

int ConvertVerb(int argc, char** argv) {
  CLI::App app("Convert a model to another weight format or container. What both formats hold is kept bit for bit.",
               "bonsai convert");
  Flags f;
  app.add_option("model", f.model.path, "Model to read: a .gguf file or a directory")->required()->type_name("IN");
  app.add_option("out", f.out, "File or directory to write; it appears when it is complete")
      ->required()
      ->type_name("OUT");
  app.add_option("--type", f.type,
                 "Format of all matrices, embeddings and head included: Q1_0, Q2_0, TQ1_0, TQ2_0, Q8_0, F16, ... "
                 "(default: each as it is)")
      ->type_name("TYPE");
  app.add_option("--to", f.to,
                 "What to write: gguf, or a directory: safetensors (floats) or mlx (1 and 2 bits) "
                 "(default: gguf)")
      ->check(CLI::IsMember({"gguf", "safetensors", "mlx"}));
  app.add_option("--keep", f.keep, "Another format for tensors whose name matches: 'output*=F16'; may be repeated")
      ->type_name("PATTERN=TYPE");
  app.add_option("--rule", f.rule, "How floats become ternary: lsq (least squares), absmean (BitNet), max")
      ->check(CLI::IsMember({"lsq", "absmean", "max"}))
      ->capture_default_str();
  app.add_option("--weight-type", f.model.weight_type, "What an ambiguous type id in the file means, such as PQ2_0")
      ->type_name("TYPE");
  app.add_option("-t,--threads", f.threads, "Threads (default: two a CPU, so that reading and computing overlap)")
      ->check(CLI::Range(1, 1024));
  app.add_flag("--dry-run", f.dry_run, "Say what would be written, and write nothing");
  app.add_flag("--force", f.force, "Replace OUT when it exists");
  app.add_flag("--json", f.json, "Print the report as JSON, every tensor by itself");
  app.footer(
      "examples:\n  bonsai convert model-F16.gguf model-Q1_0.gguf --type Q1_0\n"
      "  bonsai convert model.gguf out.gguf --type TQ2_0 --rule absmean --keep 'token_embd*=F16' --keep "
      "'output*=Q8_0'\n"
      "  bonsai convert model-Q1_0.gguf model-mlx --to mlx\n"
      "  bonsai convert model-directory model.gguf --type Q1_0 --dry-run\n");
  if (const int code = Parse(app, argc, argv); code >= 0) return code;
  const Status status = Run(f);
  return status ? kDone : Fail(status.error());
}

}  // namespace bonsai::cli
