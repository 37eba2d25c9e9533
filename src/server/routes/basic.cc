// What a server says about itself: the page, health, models, properties, slots, metrics.
#include <nlohmann/json.hpp>

#include "server/fields.h"
#include "server/page.h"
#include "server/routes.h"

namespace bonsai::server::routes {
namespace {

using Json = nlohmann::json;

Json ModelObject(const Service& s) {
  const ServedModel& m = s.model();
  return {{"id", s.options().model_name},
          {"object", "model"},
          {"created", s.started_at()},
          {"owned_by", "bonsai"},
          {"meta",
           {{"n_vocab", s.tokenizer().vocab_size()},
            {"n_ctx", m.engine->plan().context},
            {"n_ctx_train", m.trained_context},
            {"n_params", m.parameters},
            {"size", m.engine->plan().weights}}}};
}

}  // namespace

std::optional<Response> Page(Service&, const Call&) {
  const auto page = ChatPageGzip();
  return Response{.content_type = "text/html; charset=utf-8",
                  .body = std::string(reinterpret_cast<const char*>(page.data()), page.size()),
                  .headers = {{"Content-Encoding", "gzip"},
                              {"Content-Security-Policy", std::string(ChatPagePolicy())},
                              {"X-Content-Type-Options", "nosniff"},
                              {"Referrer-Policy", "no-referrer"},
                              {"Cache-Control", "no-cache"}}};
}

/// The model is there, or "loading": the table of routes sees to that.
std::optional<Response> Health(Service&, const Call&) { return JsonResponse({{"status", "ok"}}); }

std::optional<Response> Models(Service& s, const Call&) {
  return JsonResponse({{"object", "list"}, {"data", Json::array({ModelObject(s)})}});
}

std::optional<Response> OneModel(Service& s, const Call& call) {
  constexpr std::string_view kPath = "/v1/models/";
  if (call.request().path.substr(kPath.size()) == s.options().model_name) return JsonResponse(ModelObject(s));
  return ToResponse(
      {.status = 404, .message = "there is no such model; GET /v1/models lists them", .code = "model_not_found"});
}

std::optional<Response> Props(Service& s, const Call&) {
  const engine::MemoryPlan& plan = s.model().engine->plan();
  const sampling::Params& p = s.model().defaults.sampling;
  return JsonResponse({{"model", s.options().model_name},
                       {"context", plan.context},
                       {"total_slots", s.model().slots},
                       {"default_generation_settings",
                        {{"temperature", p.temperature},
                         {"top_k", p.top_k},
                         {"top_p", p.top_p},
                         {"min_p", p.min_p},
                         {"repeat_penalty", p.repeat_penalty},
                         {"repeat_last_n", p.repeat_last_n},
                         {"presence_penalty", p.presence_penalty},
                         {"frequency_penalty", p.frequency_penalty},
                         {"max_tokens", s.model().defaults.max_tokens}}},
                       {"memory", {{"weights", plan.weights}, {"kv", plan.kv}, {"scratch", plan.scratch}}},
                       {"device", s.model().engine->device_name()},
                       {"chat", s.chat_template().ok()},
                       {"chat_template", s.tokenizer().chat_template()},
                       {"modalities", {{"vision", false}, {"audio", false}}},
                       {"build_info", "bonsai " + s.options().version}});
}

std::optional<Response> Slots(Service& s, const Call&) {
  if (!s.options().slots) return ToResponse({.status = 501, .message = "the server was started with --no-slots"});
  Json slots = Json::array();
  const auto live = s.live();
  const int64_t running = s.model().engine->stats().running;
  const int32_t context = s.model().engine->plan().context;
  // What came first runs first.
  for (int i = 0; i < s.model().slots; i++) {
    Json slot = {{"id", i}, {"n_ctx", context}, {"is_processing", false}};
    if (i < running && static_cast<size_t>(i) < live.size()) {
      const Live& l = *live[static_cast<size_t>(i)];
      slot["is_processing"] = true;
      slot["id_task"] = l.id;
      slot["n_prompt_tokens"] = l.prompt_tokens;
      slot["n_decoded"] = l.generated.load();
      slot["seconds"] = std::chrono::duration<double>(Clock::now() - l.start).count();
    }
    slots.push_back(std::move(slot));
  }
  return JsonResponse(slots);
}

std::optional<Response> MetricsPage(Service& s, const Call&) {
  if (!s.options().metrics)
    return ToResponse({.status = 501, .message = "there are no metrics; start the server with --metrics"});
  return Response{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                  .body = s.metrics().Render(s.options().model_name, s.model().engine->stats())};
}

}  // namespace bonsai::server::routes
