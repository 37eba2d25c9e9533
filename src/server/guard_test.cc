#include "server/guard.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/api_error.h"

namespace bonsai::server {
namespace {

int StatusOf(const Headers& headers, const GuardOptions& options, bool open = false) {
  Request request;
  request.headers = headers;
  const std::optional<Response> refusal = Refuse(request, options, open);
  return refusal ? refusal->status : 200;
}

TEST(GuardTest, HostMustBeOurs) {
  const GuardOptions o = {.allowed_hosts = {"Bonsai.lan"}};
  for (const char* host : {"127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "[fe80::1]", "localhost", "LOCALHOST:1",
                           "192.168.1.7:80", "bonsai.lan", "bonsai.LAN:8080"})
    EXPECT_EQ(StatusOf({{"host", host}}, o), 200) << host;
  for (const char* host : {"", "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "1.2.3", "1.2.3.256",
                           "1.2.3.4.5", "[::1", "[]", "[evil]", "localhost:", "localhost:x", "localhost:123456",
                           "localhost.evil", "xlocalhost", "user@localhost", "127.0.0.1, evil"})
    EXPECT_EQ(StatusOf({{"host", host}}, o), 403) << host;
  EXPECT_EQ(StatusOf({}, o), 403);
  EXPECT_EQ(StatusOf({{"host", "localhost"}, {"host", "localhost"}}, o), 403);
}

TEST(GuardTest, OtherPagesAreRefused) {
  const GuardOptions o;
  const std::string host = "127.0.0.1:8080";
  EXPECT_EQ(StatusOf({{"host", host}, {"origin", "http://127.0.0.1:8080"}}, o), 200);
  EXPECT_EQ(StatusOf({{"host", host}, {"origin", "https://127.0.0.1:8080"}}, o), 200);
  for (const char* origin : {"http://evil.example", "http://127.0.0.1", "http://127.0.0.1:80801", "null",
                             "http://localhost:8080", "file://", "http://127.0.0.1:8080.evil.example"})
    EXPECT_EQ(StatusOf({{"host", host}, {"origin", origin}}, o), 403) << origin;
  EXPECT_EQ(StatusOf({{"host", host}, {"origin", "http://127.0.0.1:8080"}, {"origin", "http://evil"}}, o), 403);
}

TEST(GuardTest, AKeyOpens) {
  const GuardOptions o = {.keys = ApiKeys({"first", "second", ""})};
  const std::pair<std::string, std::string> host = {"host", "localhost"};
  for (const char* value : {"Bearer first", "bearer second", "BEARER first"})
    EXPECT_EQ(StatusOf({host, {"authorization", value}}, o), 200) << value;
  EXPECT_EQ(StatusOf({host, {"x-api-key", "second"}}, o), 200);
  for (const char* value : {"", "Bearer", "Bearer ", "Bearer firs", "Bearer firstt", "Basic first", "first"})
    EXPECT_EQ(StatusOf({host, {"authorization", value}}, o), 401) << value;
  EXPECT_EQ(StatusOf({host}, o), 401);
  EXPECT_EQ(StatusOf({host}, o, true), 200);  // an open path
  EXPECT_EQ(StatusOf({{"host", "evil.example"}, {"authorization", "Bearer first"}}, o), 403);
  EXPECT_EQ(StatusOf({host}, {.keys = ApiKeys({""})}), 200);  // no key at all
}

TEST(GuardTest, OtherPagesOnlyWhenAsked) {
  const GuardOptions o{.allowed_origins = {"https://app.example"}};
  const Headers good = {{"host", "localhost:8080"}, {"origin", "https://app.example"}};
  EXPECT_EQ(StatusOf(good, {}), 403);
  EXPECT_EQ(StatusOf(good, o), 200);
  EXPECT_EQ(StatusOf({good[0], {"origin", "https://app.example.evil"}}, o), 403);
  EXPECT_EQ(StatusOf({good[0], {"origin", "null"}}, o), 403);
  EXPECT_EQ(StatusOf({good[0], good[1], good[1]}, o), 403);  // twice
  EXPECT_EQ(StatusOf({{"host", "evil.example"}, good[1]}, o), 403);

  Request r{.method = "POST", .path = "/v1/models", .headers = good};
  EXPECT_EQ(CorsHeaders(r, o), (Headers{{"Access-Control-Allow-Origin", "https://app.example"}, {"Vary", "Origin"}}));
  EXPECT_EQ(CorsHeaders(r, {}), Headers());
  EXPECT_FALSE(IsPreflight(r, o));
  r.method = "OPTIONS";
  EXPECT_FALSE(IsPreflight(r, o));
  r.headers.emplace_back("access-control-request-method", "POST");
  EXPECT_TRUE(IsPreflight(r, o));
  EXPECT_FALSE(IsPreflight(r, {}));
  EXPECT_EQ(CorsHeaders(r, o).size(), 4u);
  r.headers.emplace_back("access-control-request-headers", "authorization, x-stainless-os");
  EXPECT_EQ(CorsHeaders(r, o).back(),
            (std::pair<std::string, std::string>("Access-Control-Allow-Headers", "authorization, x-stainless-os")));
  r.headers.back().second = "x\r\nset-cookie: y";
  EXPECT_EQ(CorsHeaders(r, o).size(), 4u);
}

TEST(GuardTest, ErrorsHaveOpenAisForm) {
  const Response r = ToResponse({.status = 404, .message = "no \"such\" \xff path"});
  EXPECT_EQ(r.status, 404);
  const auto j = nlohmann::json::parse(r.body);
  EXPECT_EQ(j["error"]["type"], "not_found_error");
  EXPECT_EQ(j["error"]["code"], "not_found");
  EXPECT_TRUE(j["error"]["param"].is_null());
  EXPECT_NE(j["error"]["message"].get<std::string>().find("\"such\""), std::string::npos);
}

}  // namespace
}  // namespace bonsai::server
