// The endpoints: one row of the table in routes.cc, one function in routes/.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "server/service.h"

namespace bonsai::server {

struct Route {
  std::string_view method;
  std::string_view
      path;           ///< One that ends in '/' and has something behind it matches all that begin so: "/v1/models/".
  bool open = false;  ///< Needs no key.
  bool needs_model = false;  ///< 503 while the model is loading.
  bool slow = false;         ///< Not for the transport's thread.
  /// The answer, or nothing when it will be given later.
  std::optional<Response> (*handle)(Service& service, const Call& call);
};

/// The route of a request. Null: none, and `allowed` holds the methods that the path has, if any ("GET, HEAD").
const Route* FindRoute(std::string_view method, std::string_view path, std::string& allowed);

namespace routes {

std::optional<Response> Page(Service&, const Call&);
std::optional<Response> Health(Service&, const Call&);
std::optional<Response> Models(Service&, const Call&);
std::optional<Response> OneModel(Service&, const Call&);
std::optional<Response> Props(Service&, const Call&);
std::optional<Response> Slots(Service&, const Call&);
std::optional<Response> MetricsPage(Service&, const Call&);
std::optional<Response> ChatCompletions(Service&, const Call&);
std::optional<Response> Completions(Service&, const Call&);
std::optional<Response> Tokenize(Service&, const Call&);
std::optional<Response> Detokenize(Service&, const Call&);
std::optional<Response> ApplyTemplate(Service&, const Call&);

}  // namespace routes
}  // namespace bonsai::server
