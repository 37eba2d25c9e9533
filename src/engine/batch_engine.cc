#include "engine/batch_engine.h"

#include <system_error>
#include <utility>

namespace bonsai::engine {

Result<std::unique_ptr<BatchEngine>> BatchEngine::Load(const formats::ModelFile& file, const EngineOptions& options,
                                                       const SchedulerOptions& scheduling) {
  BONSAI_ASSIGN(auto model, LoadedModel::Load(file, options));
  SchedulerOptions s = scheduling;
  s.slots = options.parallel;
  std::unique_ptr<BatchEngine> engine(new BatchEngine(std::move(model), s));
  try {
    engine->thread_ = std::thread([e = engine.get()] { e->Run(); });
  } catch (const std::system_error& e) {
    return Error(ErrorCode::kOutOfMemory, "{}: the system gives no thread for the engine: {}", file.name(), e.what());
  }
  return engine;
}

BatchEngine::BatchEngine(std::unique_ptr<LoadedModel> model, const SchedulerOptions& options)
    : model_(std::move(model)), scheduler_(*model_, options) {}

BatchEngine::~BatchEngine() { Shutdown(std::chrono::milliseconds(0)); }

Result<RequestId> BatchEngine::Submit(Request request) {
  Result<RequestId> id = scheduler_.Submit(std::move(request));
  if (id) Wake();
  return id;
}

void BatchEngine::Cancel(RequestId id) {
  scheduler_.Cancel(id);
  Wake();
}

void BatchEngine::Wake() {
  const std::lock_guard lock(mutex_);
  news_ = true;
  wake_.notify_one();
}

void BatchEngine::Shutdown(std::chrono::milliseconds grace) {
  scheduler_.Close();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    cut_off_ = Clock::now() + grace;
    wake_.notify_one();
  }
  const std::lock_guard lock(shutdown_);
  if (thread_.joinable()) thread_.join();
}

void BatchEngine::Run() {
  for (bool busy = false, last = false; busy || !last;) {
    {
      std::unique_lock lock(mutex_);
      if (!busy) wake_.wait(lock, [&] { return news_ || stopping_; });
      news_ = false;
      last = stopping_;  // the scheduler is closed then, so that this step sees all that was submitted
      if (stopping_ && Clock::now() >= cut_off_) break;
    }
    busy = scheduler_.Step();
  }
  scheduler_.CancelAll();
}

}  // namespace bonsai::engine
