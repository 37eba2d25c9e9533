#include "server/page.h"

extern "C" {
extern const std::byte bonsai_chat_page_begin[] __attribute__((visibility("hidden")));
extern const std::byte bonsai_chat_page_end[] __attribute__((visibility("hidden")));
extern const char bonsai_chat_policy_begin[] __attribute__((visibility("hidden")));
extern const char bonsai_chat_policy_end[] __attribute__((visibility("hidden")));
}

namespace bonsai::server {

std::span<const std::byte> ChatPageGzip() { return {bonsai_chat_page_begin, bonsai_chat_page_end}; }

std::string_view ChatPagePolicy() {
  return {bonsai_chat_policy_begin, static_cast<size_t>(bonsai_chat_policy_end - bonsai_chat_policy_begin)};
}

}  // namespace bonsai::server
