// bonsai inspect: what a model file holds, and what it needs to run here.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/machine.h"
#include "base/sha256.h"
#include "cli/model_tables.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "compress/check.h"
#include "compress/convert.h"
#include "engine/plan.h"
#include "formats/model_file.h"
#include "kernels/cpu_info.h"
#include "kernels/ops.h"
#include "model/model.h"

namespace bonsai::cli {
namespace {

using nlohmann::json;

struct Flags {
  ModelOption model;
  EngineFlags engine;
  std::string as;
  bool json = false, tensors = false, no_hash = false, check = false;
};

/// Everything that is printed, gathered first.
struct Report {
  std::vector<std::pair<std::string, std::string>> sha256;  ///< Of each part: its name and digest.
  uint64_t parameters = 0, tensor_bytes = 0, matrix_weights = 0, matrix_bytes = 0;
  std::map<std::string, std::pair<size_t, uint64_t>> types;  ///< Name → tensors, bytes.
  Result<engine::MemoryPlan> plan = Error(ErrorCode::kUnsupported, "not planned");
  std::string device;
  std::map<std::string, kernels::WeightKernels> kernels;  ///< What runs the matrices of each type here.
  std::vector<compress::TensorCheck> checks;              ///< Of --check.
  uint64_t converted_bytes = 0;                           ///< Of --as.
  double BitsPerWeight() const {
    return matrix_weights == 0 ? 0 : 8.0 * static_cast<double>(matrix_bytes) / static_cast<double>(matrix_weights);
  }
};

Result<std::string> Hash(const ByteSource& source) {
  Sha256 hash;
  Progress progress("hashing");
  std::vector<std::byte> chunk(size_t{4} << 20);
  for (uint64_t at = 0; at < source.size(); at += chunk.size()) {
    const std::span<std::byte> part(chunk.data(), std::min<uint64_t>(chunk.size(), source.size() - at));
    BONSAI_RETURN_IF_ERROR(source.ReadAt(at, part));
    hash.Update(part);
    progress.Update(at, source.size());
  }
  return hash.HexDigest();
}

Result<engine::MemoryPlan> PlanOf(const formats::ModelFile& file, const engine::EngineOptions& o,
                                  std::string& device_name) {
  BONSAI_ASSIGN(const model::Description description, model::Describe(file));
  BONSAI_ASSIGN(const auto device, kernels::NewCpuDevice({.threads = o.threads, .act = o.act}));
  device_name = device->name();
  return engine::MakePlan(file, description, *device,
                          {.context = o.context,
                           .batch_rows = o.batch_rows,
                           .k_type = o.k_type,
                           .v_type = o.v_type,
                           .kv_memory = o.kv_memory,
                           .available = AvailableMemory()});
}

Result<Report> Gather(const formats::ModelFile& file, const Flags& f) {
  Report r;
  for (const formats::TensorInfo& t : file.tensors()) {
    r.parameters += t.elements();
    r.tensor_bytes += t.bytes;
    auto& [count, bytes] = r.types[TrueFormat(t)];
    count++, bytes += t.bytes;
    if (t.shape.size() < 2) continue;
    r.matrix_weights += t.elements();
    r.matrix_bytes += t.bytes;
  }
  if (!f.no_hash) {
    for (const auto& part : file.parts()) {
      BONSAI_ASSIGN(std::string digest, Hash(*part));
      r.sha256.emplace_back(part->name(), std::move(digest));
    }
  }
  if (f.check) {
    Progress progress("checking");
    const auto update = [&](uint64_t done, uint64_t total) { return progress.Update(done, total), true; };
    BONSAI_ASSIGN(r.checks, compress::CheckTensors(file, {.threads = UsableCpus(), .progress = update}));
  }
  if (!f.as.empty()) {
    BONSAI_ASSIGN(const quant::Type* type, TypeNamed(f.as));
    BONSAI_ASSIGN(const compress::Plan plan, compress::PlanConversion(file, {.type = type}));
    r.converted_bytes = plan.bytes;
  }
  r.plan = PlanOf(file, f.engine.ToOptions(), r.device);
  BONSAI_ASSIGN(const kernels::CpuInfo cpu, kernels::DescribeCpu());
  for (const formats::TensorInfo& t : file.tensors())
    if (t.shape.size() > 1) r.kernels.emplace(t.type->name, kernels::DescribeKernels(*t.type, cpu.table));
  return r;
}

json ScalarJson(const formats::Value& v) {
  if (const auto* i = std::get_if<int64_t>(&v.data)) {
    if (v.kind == formats::ValueKind::kBool) return *i != 0;
    if (v.kind == formats::ValueKind::kU64) return static_cast<uint64_t>(*i);
    return *i;
  }
  if (const auto* d = std::get_if<double>(&v.data)) return *d;
  if (const auto* s = std::get_if<std::string>(&v.data)) return *s;
  return nullptr;
}

json ValueJson(const formats::Value& v) {
  const auto* array = std::get_if<formats::Array>(&v.data);
  if (array == nullptr) return ScalarJson(v);
  json out = json::array();
  if (const auto* ints = std::get_if<std::vector<int64_t>>(array)) out = *ints;
  if (const auto* floats = std::get_if<std::vector<double>>(array)) out = *floats;
  if (const auto* strings = std::get_if<formats::StringList>(array))
    for (size_t i = 0; i < strings->size(); i++) out.push_back((*strings)[i]);
  return out;
}

/// One line, cut to `width`.
std::string ValueText(const formats::Value& v, size_t width = 80) {
  constexpr auto kReplace = json::error_handler_t::replace;
  if (const auto* array = std::get_if<formats::Array>(&v.data)) {
    const size_t n = std::visit([](const auto& a) { return a.size(); }, *array);
    std::string head;
    if (const auto* strings = std::get_if<formats::StringList>(array))
      for (size_t i = 0; i < std::min<size_t>(n, 6); i++)
        head += json((*strings)[i]).dump(-1, ' ', false, kReplace) + " ";
    return fmt::format("{} elements: {}…", n, head).substr(0, 200);
  }
  std::string text = ScalarJson(v).dump(-1, ' ', false, kReplace);
  if (text.size() > width) {
    text.resize(width);
    text += fmt::format("… ({} bytes)", std::get<std::string>(v.data).size());
  }
  return text;
}

std::string ShapeText(const std::vector<uint64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

void PrintTensors(const formats::ModelFile& file, bool all) {
  if (all) {
    fmt::print("\ntensors ({}), name, type, shape (rows, columns), bytes at offset\n", file.tensors().size());
    for (const formats::TensorInfo& t : file.tensors())
      fmt::print("  {:<32} {:<6} {:<18} {} at {}\n", t.name, TrueFormat(t), ShapeText(t.shape), t.bytes, t.offset);
    return;
  }
  struct Group {
    std::string name, type, shape;
    size_t count = 0;
    uint64_t bytes = 0;
  };
  std::vector<Group> groups;
  for (const formats::TensorInfo& t : file.tensors()) {
    const Group g{LayerPattern(t.name), TrueFormat(t), ShapeText(t.shape)};
    auto it = std::find_if(groups.begin(), groups.end(),
                           [&](const Group& o) { return o.name == g.name && o.type == g.type && o.shape == g.shape; });
    if (it == groups.end()) it = groups.insert(groups.end(), g);
    it->count++, it->bytes += t.bytes;
  }
  fmt::print("\ntensors ({}; --tensors lists each)\n", file.tensors().size());
  for (const Group& g : groups)
    fmt::print("  {:<28} {:<6} {:<18} x{:<4} {}\n", g.name, g.type, g.shape, g.count, HumanBytes(g.bytes));
}

void PrintPlan(const Report& r) {
  if (!r.plan) {
    fmt::print("\ndoes not run here: {}\n", r.plan.error().message());
    return;
  }
  const engine::MemoryPlan& p = *r.plan;
  fmt::print("\nto run here, on {}\n", r.device);
  fmt::print("  context {} tokens: weights {} + KV cache {} + scratch {} = {}; {} are free\n", p.context,
             HumanBytes(p.weights), HumanBytes(p.kv), HumanBytes(p.scratch), HumanBytes(p.total()),
             p.available == 0 ? "an unknown amount of memory" : HumanBytes(p.available));
  for (const auto& [name, w] : r.kernels) {
    const bool floats = w.i8 == kernels::KernelPath::kFloat;
    fmt::print("  {:<10} {}{}\n", name, w.as->name == name ? "" : fmt::format("as {}: ", w.as->name),
               floats ? PathText(w.f32, w.f32_isa) : PathText(w.i8, w.i8_isa));
  }
}

void PrintChecks(const Report& r) {
  size_t suspicious = 0;
  uint64_t zeros = 0, weights = 0;
  fmt::print("\ncheck\n");
  for (const compress::TensorCheck& c : r.checks) {
    if (c.tensor->shape.size() > 1) zeros += c.zeros, weights += c.weights;
    if (!c.suspicious()) continue;
    suspicious++;
    fmt::print("  {}: {}\n", c.tensor->name, c.Text());
  }
  fmt::print("  {} of {} tensors have something to tell; {:.1f}% of the weights of matrices are 0\n", suspicious,
             r.checks.size(), 100 * static_cast<double>(zeros) / static_cast<double>(std::max<uint64_t>(weights, 1)));
}

void PrintText(const formats::ModelFile& file, const Report& r, const Flags& f) {
  fmt::print("{}\n", file.name());
  fmt::print("  container        {}, {} ({} bytes)\n", file.container(), HumanBytes(file.size()), file.size());
  for (const auto& [name, digest] : r.sha256)
    fmt::print("  sha256           {}{}\n", digest, r.sha256.size() > 1 ? "  " + name : "");
  fmt::print("  parameters       {} ({:.3g} B)\n", r.parameters, static_cast<double>(r.parameters) / 1e9);
  fmt::print("  bits a weight    {:.4f} over all matrices, scales included\n", r.BitsPerWeight());
  for (const auto& [name, use] : r.types)
    fmt::print("  {:<24} {} tensors, {}\n", name, use.first, HumanBytes(use.second));
  fmt::print("\nmetadata ({})\n", file.metadata().entries().size());
  for (const auto& [key, value] : file.metadata().entries()) fmt::print("  {} = {}\n", key, ValueText(value));
  PrintTensors(file, f.tensors);
  for (const std::string& warning : file.warnings()) fmt::print("\nwarning: {}\n", warning);
  if (f.check) PrintChecks(r);
  if (!f.as.empty())
    fmt::print("\n'bonsai convert --type {}' would make a file of {} bytes ({})\n", f.as, r.converted_bytes,
               HumanBytes(r.converted_bytes));
  PrintPlan(r);
}

void PrintJson(const formats::ModelFile& file, const Report& r) {
  json j = {{"file", file.name()},        {"container", file.container()},  {"bytes", file.size()},
            {"parameters", r.parameters}, {"tensor_bytes", r.tensor_bytes}, {"bits_per_weight", r.BitsPerWeight()}};
  if (r.sha256.size() == 1) j["sha256"] = r.sha256[0].second;
  if (r.sha256.size() > 1)
    for (const auto& [name, digest] : r.sha256) j["parts"].push_back({{"name", name}, {"sha256", digest}});
  for (const auto& [name, use] : r.types) j["types"][name] = {{"tensors", use.first}, {"bytes", use.second}};
  for (const std::string& warning : file.warnings()) j["warnings"].push_back(warning);
  j["metadata"] = json::object();
  for (const auto& [key, value] : file.metadata().entries()) j["metadata"][key] = ValueJson(value);
  j["tensors"] = json::array();
  for (const formats::TensorInfo& t : file.tensors())
    j["tensors"].push_back({{"name", t.name},
                            {"type", t.type->name},
                            {"stored", TrueFormat(t)},
                            {"shape", t.shape},
                            {"offset", t.offset},
                            {"bytes", t.bytes}});
  for (const compress::TensorCheck& c : r.checks)
    j["check"].push_back({{"name", c.tensor->name},
                          {"blocks", c.blocks},
                          {"not_finite", c.not_finite},
                          {"negative_scales", c.negative_scales},
                          {"code_3", c.twos},
                          {"zero_blocks", c.zero_blocks},
                          {"zeros", c.zeros}});
  if (r.converted_bytes != 0) j["converted_bytes"] = r.converted_bytes;
  if (r.plan) {
    const engine::MemoryPlan& p = *r.plan;
    j["plan"] = {{"device", r.device},   {"context", p.context}, {"weights", p.weights},    {"kv", p.kv},
                 {"scratch", p.scratch}, {"total", p.total()},   {"available", p.available}};
  } else {
    j["plan"] = {{"error", r.plan.error().message()}, {"code", ErrorCodeName(r.plan.error().code())}};
  }
  Emit(j.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

Status Run(const Flags& f) {
  BONSAI_ASSIGN(const auto file, f.model.Open());
  BONSAI_ASSIGN(const Report report, Gather(*file, f));
  if (f.json)
    PrintJson(*file, report);
  else
    PrintText(*file, report, f);
  return {};
}

}  // namespace

int InspectVerb(int argc, char** argv) {
  CLI::App app("Show what a model file holds, and what it needs to run here.", "bonsai inspect");
  Flags flags;
  flags.model.AddTo(app);
  app.add_flag("--json", flags.json, "Print JSON: everything, all metadata and tensors included");
  app.add_flag("--tensors", flags.tensors, "List every tensor, not one line a kind");
  app.add_flag("--no-hash", flags.no_hash, "Do not compute the file's SHA-256");
  app.add_flag(
      "--check", flags.check,
      "Read every weight: scales that are no numbers or negative, codes no ternary model has, blocks of zeros");
  app.add_option("--as", flags.as, "Tell the size of the file that 'bonsai convert --type TYPE' would write")
      ->type_name("TYPE");
  flags.engine.AddTo(app);
  app.footer(
      "examples:\n  bonsai inspect model.gguf\n  bonsai inspect model.gguf -c 32768 -ctk f16\n"
      "  bonsai inspect model.gguf --json | jq .plan\n  bonsai inspect model.gguf --check --as TQ1_0\n");
  if (const int code = Parse(app, argc, argv); code >= 0) return code;
  const Status status = Run(flags);
  return status ? kDone : Fail(status.error());
}

}  // namespace bonsai::cli
