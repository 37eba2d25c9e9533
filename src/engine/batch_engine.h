// One model in memory that generates many texts at a time, on a thread of its own: what a server needs.
//
//   BONSAI_ASSIGN(auto engine, BatchEngine::Load(*file, {.parallel = 8}));
//   BONSAI_ASSIGN(const RequestId id, engine->Submit({.prompt = ids, .on_token = ..., .on_finish = ...}));
//   ...
//   engine->Shutdown(std::chrono::seconds(10));
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "base/status.h"
#include "engine/loaded_model.h"
#include "engine/scheduler.h"

namespace bonsai::engine {

/// Every function may be called from any thread, and all but Shutdown and the destructor from a request's callbacks,
/// too: these run on the engine's thread.
class BatchEngine {
 public:
  /// Errors: those of LoadedModel::Load, or no thread. options.parallel sequences run at a time, and scheduling.slots
  /// is ignored. The file is not needed afterwards.
  static Result<std::unique_ptr<BatchEngine>> Load(const formats::ModelFile& file, const EngineOptions& options,
                                                   const SchedulerOptions& scheduling = {});
  /// Cuts off what still runs.
  ~BatchEngine();

  /// See Scheduler.
  Result<RequestId> Submit(Request request);
  void Cancel(RequestId id);
  SchedulerStats stats() const { return scheduler_.stats(); }

  /// Accepts nothing more, lets what runs or waits go on for `grace` at most, ends the rest with kCancelled, and stops
  /// the thread. All callbacks have returned when this does. Called again, the last grace counts.
  void Shutdown(std::chrono::milliseconds grace);

  const text::Tokenizer& tokenizer() const { return model_->tokenizer(); }
  const model::Config& config() const { return model_->config(); }
  const MemoryPlan& plan() const { return model_->plan(); }
  const sampling::Params& default_sampling() const { return model_->default_sampling(); }
  std::string device_name() const { return model_->device_name(); }

 private:
  BatchEngine(std::unique_ptr<LoadedModel> model, const SchedulerOptions& options);
  void Run();
  void Wake();

  const std::unique_ptr<LoadedModel> model_;
  Scheduler scheduler_;
  std::mutex mutex_;  // of the three below
  std::condition_variable wake_;
  bool news_ = false;  // something was submitted or cancelled
  bool stopping_ = false;
  Clock::time_point cut_off_;
  std::mutex shutdown_;  // of thread_'s end
  std::thread thread_;
};

}  // namespace bonsai::engine
