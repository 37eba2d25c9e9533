#include "cli/bench_output.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/terminal.h"

namespace bonsai::cli {
namespace {

using Json = nlohmann::ordered_json;

Json RowJson(const BenchResult& r) {
  Json ns = Json::array(), ts = Json::array();
  std::vector<double> nanoseconds;
  for (const double s : r.seconds) {
    nanoseconds.push_back(s * 1e9);
    ns.push_back(std::llround(s * 1e9));
    ts.push_back(r.tokens() / s);
  }
  const MeanDeviation t = Summarize(nanoseconds), rate = r.TokensPerSecond();
  const auto tokens = static_cast<uint64_t>(r.tokens());
  return {{"cpu_info", r.cpu},
          {"backends", "CPU"},
          {"isa", r.isa},
          {"model_filename", r.file},
          {"model_type", r.type},
          {"model_size", r.size},
          {"model_n_params", r.parameters},
          {"n_batch", r.batch},
          {"n_ubatch", r.ubatch},
          {"n_threads", r.threads},
          {"type_k", r.k_type},
          {"type_v", r.v_type},
          {"act", r.act},
          {"n_prompt", r.prompt},
          {"n_gen", r.generated},
          {"n_depth", r.depth},
          {"test_time", r.time},
          {"avg_ns", std::llround(t.mean)},
          {"stddev_ns", std::llround(t.deviation)},
          {"avg_ts", rate.mean},
          {"stddev_ts", rate.deviation},
          {"samples_ns", ns},
          {"samples_ts", ts},
          {"bytes_per_token", r.bytes / tokens},
          {"macs_per_token", r.macs / tokens},
          {"read_bytes_per_s", std::llround(r.ceilings.read_bytes_per_s)},
          {"int8_macs_per_s", std::llround(r.ceilings.int8_macs_per_s)},
          {"ceilings_busy", r.ceilings.busy},
          {"dot_instruction", r.ceilings.dot_instruction},
          {"bandwidth_share", r.BandwidthShare()},
          {"dot_share", r.DotShare()}};
}

/// In double quotes, as llama-bench writes every field.
std::string CsvField(const Json& value) {
  std::string out = "\"";
  for (const char c : value.is_string() ? value.get<std::string>() : value.dump())
    out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::string CsvLine(const BenchResult& r, bool header) {
  std::string line;
  const Json row = RowJson(r);
  for (const auto& [key, value] : row.items()) {
    if (value.is_array()) continue;
    line += (line.empty() ? "" : ",") + (header ? key : CsvField(value));
  }
  return line + "\n";
}

std::string ModelSize(uint64_t bytes) {
  const double mib = static_cast<double>(bytes) / (1 << 20);
  return mib < 1024 ? fmt::format("{:.2f} MiB", mib) : fmt::format("{:.2f} GiB", mib / 1024);
}

std::string Parameters(uint64_t n) {
  const auto x = static_cast<double>(n);
  return n < 1000000000 ? fmt::format("{:.2f} M", x / 1e6) : fmt::format("{:.2f} B", x / 1e9);
}

constexpr const char* kMarkdownRow =
    "| {:<30} | {:>10} | {:>10} | {:<14} | {:>7} | {:>24} | {:>18} | {:>6} | {:>5} |\n";

/// Parameters that differ from the defaults, after the name of the test.
std::string TestColumn(const BenchResult& r) {
  std::string text = r.TestName();
  if (r.ubatch != 512) text += fmt::format(" ub{}", r.ubatch);
  if (r.k_type != "f16" || r.v_type != "f16") text += fmt::format(" kv {}/{}", r.k_type, r.v_type);
  if (r.act != "i8") text += " act " + r.act;
  return text;
}

std::string CeilingLine(const kernels::Ceilings& c) {
  return fmt::format("{} {}: streaming read {:.1f} GB/s{}, {} {:.0f} G MAC/s", c.threads,
                     c.threads == 1 ? "thread" : "threads", c.read_bytes_per_s / 1e9,
                     c.cached ? " (partly from cache: too little memory)" : "", c.dot_instruction,
                     c.int8_macs_per_s / 1e9);
}

}  // namespace

MeanDeviation Summarize(std::span<const double> values) {
  if (values.empty()) return {};
  const auto n = static_cast<double>(values.size());
  MeanDeviation m;
  for (const double v : values) m.mean += v / n;
  if (values.size() < 2) return m;
  double squares = 0;
  for (const double v : values) squares += (v - m.mean) * (v - m.mean);
  m.deviation = std::sqrt(squares / (n - 1));
  return m;
}

std::string BenchResult::TestName() const {
  std::string name;
  if (prompt > 0) name = fmt::format("pp{}", prompt);
  if (generated > 0) name += fmt::format("{}tg{}", name.empty() ? "" : "+", generated);
  return depth > 0 ? name + fmt::format(" @ d{}", depth) : name;
}

MeanDeviation BenchResult::TokensPerSecond() const {
  std::vector<double> rates;
  for (const double s : seconds) rates.push_back(tokens() / s);
  return Summarize(rates);
}

double BenchResult::BandwidthShare() const {
  return static_cast<double>(bytes) / tokens() * TokensPerSecond().mean / ceilings.read_bytes_per_s;
}

double BenchResult::DotShare() const {
  return static_cast<double>(macs) / tokens() * TokensPerSecond().mean / ceilings.int8_macs_per_s;
}

void BenchPrinter::Begin() const {
  if (format_ == BenchFormat::kJson) Emit("[\n");
  if (format_ != BenchFormat::kMarkdown) return;
  Emit(fmt::format(kMarkdownRow, "model", "size", "params", "backend", "threads", "test", "t/s", "% read", "% dot"));
  const auto rule = [](size_t n, bool right) { return std::string(n - 1, '-') + (right ? ":" : "-"); };
  Emit(fmt::format(kMarkdownRow, rule(30, false), rule(10, true), rule(10, true), rule(14, false), rule(7, true),
                   rule(24, true), rule(18, true), rule(6, true), rule(5, true)));
}

void BenchPrinter::Row(const BenchResult& r) {
  const MeanDeviation rate = r.TokensPerSecond();
  switch (format_) {
    case BenchFormat::kMarkdown:
      Emit(fmt::format(kMarkdownRow, r.type, ModelSize(r.size), Parameters(r.parameters),
                       fmt::format("CPU ({})", r.isa), r.threads, TestColumn(r),
                       fmt::format("{:.2f} ± {:.2f}", rate.mean, rate.deviation),
                       fmt::format("{:.1f}", 100 * r.BandwidthShare()), fmt::format("{:.1f}", 100 * r.DotShare())));
      break;
    case BenchFormat::kJson:
      Emit((rows_ == 0 ? "  " : ",\n  ") + RowJson(r).dump());
      break;
    case BenchFormat::kJsonLines:
      Emit(RowJson(r).dump() + "\n");
      break;
    case BenchFormat::kCsv:
      if (rows_ == 0) Emit(CsvLine(r, true));
      Emit(CsvLine(r, false));
      break;
  }
  rows_++;
  ceilings_ = r.ceilings;
}

void BenchPrinter::End() const {
  if (format_ == BenchFormat::kJson) Emit("\n]\n");
  if (format_ == BenchFormat::kMarkdown && rows_ > 0)
    Emit("\n% read, % dot: of what this machine can stream and multiply, measured now with " + CeilingLine(ceilings_) +
         (ceilings_.busy ? "\nother programs use the CPUs: these ceilings may be too low, the shares too high\n"
                         : "\n"));
}

}  // namespace bonsai::cli
