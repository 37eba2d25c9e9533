// POST /tokenize, /detokenize and /apply-template: the model's view of a text.
#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "server/fields.h"
#include "server/generation_request.h"
#include "server/prompt.h"
#include "server/routes.h"

namespace bonsai::server::routes {
namespace {

using Json = nlohmann::json;

/// A text may become a token a byte, and each of them 30 bytes of answer.
constexpr size_t kMaxContent = size_t{4} << 20;

/// A token's text; its bytes when they are no text of their own.
Json Piece(const text::Tokenizer& tokenizer, int32_t id) {
  const std::string_view piece = tokenizer.Piece(id);
  if (IsUtf8(piece)) return piece;
  Json bytes = Json::array();
  for (const char c : piece) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

}  // namespace

std::optional<Response> Tokenize(Service& s, const Call& call) {
  std::optional<ApiError> error;
  const Json body = ParseBody(call.request().body, error);
  if (error) return ToResponse(*error);
  Fields f(body);
  const std::string content = f.Text("content", "", kMaxContent);
  if (f.Find("content") == nullptr) f.Fail("content", "is missing");
  const text::EncodeOptions options = {.add_special = f.Bool("add_special", false),
                                       .parse_special = f.Bool("parse_special", true)};
  const bool pieces = f.Bool("with_pieces", false);
  if (!f.ok()) return ToResponse(*f.error());
  std::string out = "{\"tokens\":[";  // as text at once: as values they would take ten times the memory
  for (const int32_t id : s.tokenizer().Encode(content, options)) {
    if (out.back() != '[') out += ',';
    out += Dump(pieces ? Json{{"id", id}, {"piece", Piece(s.tokenizer(), id)}} : Json(id));
  }
  return Response{.body = out + "]}"};
}

std::optional<Response> Detokenize(Service& s, const Call& call) {
  std::optional<ApiError> error;
  const Json body = ParseBody(call.request().body, error);
  if (error) return ToResponse(*error);
  Fields f(body);
  const Json* tokens = f.Find("tokens");
  if (tokens == nullptr || !tokens->is_array()) {
    f.Fail("tokens", "must be an array of token ids");
    return ToResponse(*f.error());
  }
  const auto ids = ReadTokens(*tokens, "tokens", s.tokenizer().vocab_size(), error);
  if (error) return ToResponse(*error);
  return JsonResponse({{"content", s.tokenizer().Decode(ids, true)}});
}

std::optional<Response> ApplyTemplate(Service& s, const Call& call) {
  text::ChatInput input;
  if (const auto error = ReadConversation(call.request().body, DefaultsOf(s), input)) return ToResponse(*error);
  const auto prompt = RenderPrompt(s, std::move(input));
  if (!prompt) return ToResponse(ToApiError(prompt.error()));
  return JsonResponse({{"prompt", prompt->Text()}});
}

}  // namespace bonsai::server::routes
