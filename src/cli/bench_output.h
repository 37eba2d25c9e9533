// What `bonsai bench` found, and how it prints it: the tables and keys of llama-bench, with our own after them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/ceilings.h"

namespace bonsai::cli {

/// Mean and sample standard deviation (n - 1 in the denominator; 0 for fewer than two values).
struct MeanDeviation {
  double mean = 0, deviation = 0;
};
MeanDeviation Summarize(std::span<const double> values);

/// One test of one model with one set of parameters.
struct BenchResult {
  // The model.
  std::string file, type;  ///< Path; "qwen3 8B Q1_0".
  uint64_t size = 0, parameters = 0;
  // How it ran.
  std::string isa, cpu, k_type, v_type, act;
  int threads = 0;
  int32_t batch = 0, ubatch = 0;
  // What ran.
  int32_t prompt = 0, generated = 0, depth = 0;
  std::string time;             ///< Start, "2026-01-31T12:00:00Z".
  std::vector<double> seconds;  ///< One a repetition.
  uint64_t bytes = 0;           ///< Of weights and KV cache that one repetition must read.
  uint64_t macs = 0;            ///< Multiply-adds with weights of one repetition.
  kernels::Ceilings ceilings;

  int32_t tokens() const { return prompt + generated; }
  /// "pp512", "tg128 @ d4096".
  std::string TestName() const;
  MeanDeviation TokensPerSecond() const;
  /// Bytes a token × tokens a second ÷ measured read rate, and the same of multiply-adds. 1: nothing left to win.
  double BandwidthShare() const;
  double DotShare() const;
};

enum class BenchFormat { kMarkdown, kJson, kJsonLines, kCsv };

/// Prints results one by one as they come. Begin() before the first, End() after the last.
class BenchPrinter {
 public:
  explicit BenchPrinter(BenchFormat format) : format_(format) {}
  void Begin() const;
  void Row(const BenchResult& result);
  void End() const;

 private:
  BenchFormat format_;
  int rows_ = 0;
  kernels::Ceilings ceilings_;  // of the last row
};

}  // namespace bonsai::cli
