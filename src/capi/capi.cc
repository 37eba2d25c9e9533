#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <limits>
#include <string>

#include "bonsai/bonsai.h"
#include "engine/builtin.h"
#include "engine/engine.h"

struct bonsai_model {
  std::unique_ptr<bonsai::engine::Engine> engine;
};

namespace bonsai::capi {
namespace {

thread_local std::string g_last_error;

constexpr int32_t kFromFile = std::numeric_limits<int32_t>::min();

/// The caller's struct, cut to what its `size` says it has, over the defaults.
template <class T>
T Merge(T defaults, const T* given) {
  if (given == nullptr) return defaults;
  std::memcpy(&defaults, given, std::min(given->size, sizeof(T)));
  return defaults;
}

Result<std::unique_ptr<engine::Engine>> Load(const char* path, const bonsai_load_options& o) {
  if (o.threads < 0 || o.context < 0)
    return Error(ErrorCode::kInvalidArgument, "threads and context must not be negative");
  engine::EngineOptions options;
  options.threads = o.threads;
  options.context = o.context;
  options.act = o.float_activations ? kernels::ActType::kF32 : kernels::ActType::kI8;
  if (path == nullptr) return engine::Engine::Load(engine::BuiltinModel(), options);
  BONSAI_ASSIGN(const auto file, formats::OpenModelPath(path));
  return engine::Engine::Load(*file, options);
}

engine::GenerateOptions OptionsOf(const engine::Engine& e, const bonsai_generate_options& o) {
  engine::GenerateOptions g;
  g.sampling = e.default_sampling();
  g.max_tokens = o.max_tokens;
  g.loop_guard = !o.no_loop_guard;
  if (!std::isnan(o.temperature)) g.sampling.temperature = o.temperature;
  if (o.top_k != kFromFile) g.sampling.top_k = o.top_k;
  if (!std::isnan(o.top_p)) g.sampling.top_p = o.top_p;
  if (!std::isnan(o.min_p)) g.sampling.min_p = o.min_p;
  g.sampling.seed = o.seed;
  return g;
}

bonsai_finish FinishOf(engine::FinishReason reason) {
  switch (reason) {
    case engine::FinishReason::kStop:
    case engine::FinishReason::kStopText:
      return BONSAI_FINISH_STOP;
    case engine::FinishReason::kLength:
      return BONSAI_FINISH_LENGTH;
    case engine::FinishReason::kLoop:
      return BONSAI_FINISH_LOOP;
    case engine::FinishReason::kCancelled:
    case engine::FinishReason::kDeadline:  // nobody sets one here
    case engine::FinishReason::kError:     // Generate returns it as an error
      break;
  }
  return BONSAI_FINISH_CANCELLED;
}

/// Runs `body`; an exception (the end of memory) must not cross into C.
template <class R, class F>
R Guard(R failed, F body) {
  g_last_error.clear();
  try {
    Result<R> result = body();
    if (result) return *result;
    g_last_error = result.error().message();
  } catch (const std::exception& e) {
    g_last_error = e.what();
  }
  return failed;
}

/// Copies as much as fits and returns the whole length.
template <class T>
int64_t CopyOut(const T* from, size_t count, T* to, size_t capacity) {
  if (to != nullptr && count > 0) std::memcpy(to, from, std::min(count, capacity) * sizeof(T));
  return static_cast<int64_t>(count);
}

ErrorValue NullArgument() { return Error(ErrorCode::kInvalidArgument, "a null pointer was passed"); }

}  // namespace
}  // namespace bonsai::capi

using namespace bonsai;  // NOLINT(google-build-using-namespace): what follows is C
using namespace bonsai::capi;

bonsai_load_options bonsai_default_load_options(void) {
  return {.size = sizeof(bonsai_load_options), .threads = 0, .context = 0, .float_activations = false};
}

bonsai_generate_options bonsai_default_generate_options(void) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  return {.size = sizeof(bonsai_generate_options),
          .max_tokens = -1,
          .temperature = nan,
          .top_k = kFromFile,
          .top_p = nan,
          .min_p = nan,
          .seed = 0,
          .no_loop_guard = false};
}

const char* bonsai_version(void) { return BONSAI_VERSION; }

const char* bonsai_last_error(void) { return g_last_error.c_str(); }

bonsai_model* bonsai_load(const char* path, const bonsai_load_options* options) {
  return Guard<bonsai_model*>(nullptr, [&]() -> Result<bonsai_model*> {
    BONSAI_ASSIGN(auto engine, Load(path, Merge(bonsai_default_load_options(), options)));
    return new bonsai_model{std::move(engine)};
  });
}

void bonsai_free(bonsai_model* model) { delete model; }

int32_t bonsai_vocab_size(const bonsai_model* model) { return model == nullptr ? 0 : model->engine->config().vocab; }

int32_t bonsai_context_size(const bonsai_model* model) { return model == nullptr ? 0 : model->engine->plan().context; }

int64_t bonsai_tokenize(const bonsai_model* model, const char* text, size_t bytes, bool parse_special, int32_t* ids,
                        size_t capacity) {
  return Guard<int64_t>(-1, [&]() -> Result<int64_t> {
    if (model == nullptr || (text == nullptr && bytes > 0)) return NullArgument();
    const std::vector<int32_t> out =
        model->engine->tokenizer().Encode({text, bytes}, {.add_special = true, .parse_special = parse_special});
    return CopyOut(out.data(), out.size(), ids, capacity);
  });
}

int64_t bonsai_detokenize(const bonsai_model* model, const int32_t* ids, size_t count, char* text, size_t capacity) {
  return Guard<int64_t>(-1, [&]() -> Result<int64_t> {
    if (model == nullptr || (ids == nullptr && count > 0)) return NullArgument();
    const std::string out = model->engine->tokenizer().Decode({ids, count});
    return CopyOut(out.data(), out.size(), text, capacity);
  });
}

int bonsai_generate(bonsai_model* model, const int32_t* prompt, size_t count, const bonsai_generate_options* options,
                    bonsai_on_token on_token, void* user) {
  return Guard<int>(-1, [&]() -> Result<int> {
    if (model == nullptr || (prompt == nullptr && count > 0)) return NullArgument();
    const engine::GenerateOptions g = OptionsOf(*model->engine, Merge(bonsai_default_generate_options(), options));
    BONSAI_ASSIGN(const engine::GenerateResult result,
                  model->engine->Generate({prompt, count}, g, [&](const engine::Token& t) {
                    return on_token == nullptr || on_token(t.id, t.text.data(), t.text.size(), user);
                  }));
    return static_cast<int>(FinishOf(result.reason));
  });
}
