// What GET /metrics shows: counters, gauges and histograms in Prometheus' text format (version 0.0.4), under the names
// of vLLM with our prefix. Never text of anybody's.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/scheduler.h"

namespace bonsai::server {

/// How often a value was at most each of some bounds.
class Histogram {
 public:
  /// `bounds` rise, and outlive it.
  explicit Histogram(std::span<const double> bounds) : bounds_(bounds), counts_(bounds.size() + 1) {}
  void Observe(double value);
  uint64_t count() const;
  double sum() const { return sum_; }
  /// Appends NAME_bucket, NAME_sum and NAME_count with these labels ('model_name="x"').
  void Render(std::string_view name, std::string_view labels, std::string& out) const;

 private:
  std::span<const double> bounds_;
  std::vector<uint64_t> counts_;  // of the values up to each bound and above the one before; the last: above all
  double sum_ = 0;
};

/// Thread safe.
class Metrics {
 public:
  Metrics();
  void FirstToken(double seconds);
  void NextToken(double seconds);
  /// One generation ended well; `reason` as OpenAI calls it.
  void Finished(const std::string& reason, double seconds);
  /// Mean time that a generation took; 0 before the first.
  double MeanSeconds() const;
  std::string Render(std::string_view model, const engine::SchedulerStats& stats) const;

 private:
  mutable std::mutex mutex_;
  Histogram first_token_, between_tokens_, whole_;
  std::map<std::string, uint64_t> finished_;
};

/// As a label's value: quoted, escaped.
std::string QuotedLabel(std::string_view value);

}  // namespace bonsai::server
