#include "text/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <new>

#include "base/utf8.h"
#include "formats/metadata.h"

namespace bonsai::text {
namespace {

enum CharClass : uint8_t { kLetter, kDigit, kNewline, kSpace, kOther, kNotAscii };

constexpr std::array<CharClass, 256> MakeClasses() {
  std::array<CharClass, 256> t{};
  for (size_t c = 0; c < 256; c++) {
    const size_t lower = c | 0x20;
    t[c] = c >= 0x80                             ? kNotAscii
           : lower >= 'a' && lower <= 'z'        ? kLetter
           : c >= '0' && c <= '9'                ? kDigit
           : c == '\r' || c == '\n'              ? kNewline
           : c == ' ' || (c >= '\t' && c < '\r') ? kSpace
                                                 : kOther;
  }
  return t;
}
constexpr std::array<CharClass, 256> kClasses = MakeClasses();

/// The end of the run of class `c` that begins at `i`.
size_t RunEnd(std::string_view s, size_t i, CharClass c) {
  while (i < s.size() && kClasses[static_cast<uint8_t>(s[i])] == c) i++;
  return i;
}

/// Length of the contraction ('s 't 'm 'd 're 've 'll, either case) at the apostrophe s[i]; 0 when there is none.
size_t Contraction(std::string_view s, size_t i) {
  const auto lower = [&](size_t k) { return i + k < s.size() ? static_cast<char>(s[i + k] | 0x20) : '\0'; };
  const char a = lower(1), b = lower(2);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/// White space from `i`, none of it followed by a piece that would take a leading space: `\s*[\r\n]+|\s+(?!\S)|\s+`.
size_t QwenSpace(std::string_view s, size_t i) {
  size_t end = i, newline = 0;  // newline: one past the last in the run
  for (; end < s.size(); end++) {
    const CharClass c = kClasses[static_cast<uint8_t>(s[end])];
    if (c == kNotAscii) return 0;
    if (c == kNewline) newline = end + 1;
    if (c != kNewline && c != kSpace) break;
  }
  if (newline != 0) return newline - i;
  return end == s.size() || end - i == 1 ? end - i : end - i - 1;
}

/// Length of the piece that the qwen2 pattern matches at s[i], or llama-bpe's, which differs in how many digits go
/// together; 0 when a character beyond ASCII has a say in it.
template <size_t kDigits>
size_t QwenAscii(std::string_view s, size_t i) {
  const auto class_at = [&](size_t k) { return k < s.size() ? kClasses[static_cast<uint8_t>(s[k])] : kNewline; };
  const CharClass first = class_at(i), second = class_at(i + 1);
  size_t end = i;
  switch (first) {
    case kLetter:
      end = RunEnd(s, i + 1, kLetter);
      break;
    case kDigit:
      end = RunEnd(s.substr(0, i + kDigits), i + 1, kDigit);
      if (end == i + kDigits) return kDigits;
      break;
    case kNewline:
      return QwenSpace(s, i);
    case kSpace:
      if (second == kLetter) {
        end = RunEnd(s, i + 2, kLetter);
      } else if (second == kOther && s[i] == ' ') {
        end = RunEnd(s, i + 2, kOther);
        if (class_at(end) == kNotAscii) return 0;
        return RunEnd(s, end, kNewline) - i;
      } else {
        return QwenSpace(s, i);
      }
      break;
    case kOther:
      if (second == kNotAscii) return 0;
      if (s[i] == '\'') {
        if (const size_t n = Contraction(s, i); n != 0) return n;
      }
      if (second == kLetter) {
        end = RunEnd(s, i + 2, kLetter);
      } else {
        end = RunEnd(s, i + 1, kOther);
        if (class_at(end) == kNotAscii) return 0;
        return RunEnd(s, end, kNewline) - i;
      }
      break;
    case kNotAscii:
      return 0;
  }
  return class_at(end) == kNotAscii ? 0 : end - i;
}

}  // namespace

struct PreTokenizer::Row {
  std::string_view name;                      ///< As in `tokenizer.ggml.pre`.
  std::string_view pattern;                   ///< PCRE2, tried at each position in turn.
  size_t (*ascii)(std::string_view, size_t);  ///< Length of the match at a position, or 0 to ask PCRE2. May be null.
  bool normalizes = false, ignores_merges = false, adds_bos = false;
};

// White_Space, spelled out: PCRE2's own \s has U+180E as well, which the reference (Oniguruma) has not.
#define BONSAI_WS R"(\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})"

#define BONSAI_SPACES R"([)" BONSAI_WS R"(]+(?![^)" BONSAI_WS R"(])|[)" BONSAI_WS R"(]+)"

// Qwen2's and Llama 3's: `digits` go together.
#define BONSAI_QWEN(digits)                                                               \
  R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" digits R"(| ?[^)" BONSAI_WS \
  R"(\p{L}\p{N}]+[\r\n]*|[)" BONSAI_WS R"(]*[\r\n]+|)" BONSAI_SPACES

#define BONSAI_GPT2_WORDS R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|)"
#define BONSAI_GPT2_OTHERS R"( ?[^)" BONSAI_WS R"(\p{L}\p{N}]+|)"
#define BONSAI_GPT2 BONSAI_GPT2_WORDS R"( ?\p{N}+|)" BONSAI_GPT2_OTHERS BONSAI_SPACES

// SmolLM's cuts out each digit and splits what is left between them by GPT-2's: so a digit ends white space as the end
// of the text does.
#define BONSAI_SMOLLM                                                                                               \
  BONSAI_GPT2_WORDS R"(\p{N}|)" BONSAI_GPT2_OTHERS R"([)" BONSAI_WS R"(]+(?![^)" BONSAI_WS R"(\p{N}])|[)" BONSAI_WS \
                    R"(]+)"

constexpr const char kQwen2[] = BONSAI_QWEN(R"(\p{N})");
constexpr const char kLlama3[] = BONSAI_QWEN(R"(\p{N}{1,3})");

// "default", which is also what a file without `pre` has: such files do not say what their model was trained with, and
// GPT-2's pattern is the one that the tokenizer model is named after.
const PreTokenizer::Row PreTokenizer::kRows[] = {
    {.name = "qwen2", .pattern = kQwen2, .ascii = QwenAscii<1>, .normalizes = true},
    {.name = "llama-bpe", .pattern = kLlama3, .ascii = QwenAscii<3>, .ignores_merges = true, .adds_bos = true},
    {.name = "llama3", .pattern = kLlama3, .ascii = QwenAscii<3>, .ignores_merges = true, .adds_bos = true},
    {.name = "gpt-2", .pattern = BONSAI_GPT2, .ascii = nullptr},
    {.name = "default", .pattern = BONSAI_GPT2, .ascii = nullptr},
    {.name = "smollm", .pattern = BONSAI_SMOLLM, .ascii = nullptr},
};

#undef BONSAI_SMOLLM
#undef BONSAI_GPT2
#undef BONSAI_GPT2_OTHERS
#undef BONSAI_GPT2_WORDS
#undef BONSAI_QWEN
#undef BONSAI_SPACES
#undef BONSAI_WS

bool PreTokenizer::normalizes() const { return row_.normalizes; }
bool PreTokenizer::ignores_merges() const { return row_.ignores_merges; }
bool PreTokenizer::adds_bos() const { return row_.adds_bos; }

Result<std::unique_ptr<PreTokenizer>> PreTokenizer::Create(std::string_view name) {
  const Row* const row = std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& r) { return r.name == name; });
  if (row == std::end(kRows)) {
    std::string have;
    for (const Row& r : kRows) have += (have.empty() ? "" : ", ") + std::string(r.name);
    return Error(ErrorCode::kUnsupported, "tokenizer.ggml.pre: pre-tokenizer {} is not supported (supported: {})",
                 formats::Quote(name), have);
  }
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* const code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(row->pattern.data()), row->pattern.size(),
                                         PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &offset, nullptr);
  if (code == nullptr) {
    return Error(ErrorCode::kUnsupported,
                 "pre-tokenizer \"{}\": this build of PCRE2 refuses the pattern at {} (error {})", name, offset, error);
  }
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where the system forbids it, pcre2_match interprets
  return std::unique_ptr<PreTokenizer>(new PreTokenizer(*row, code));
}

PreTokenizer::~PreTokenizer() { pcre2_code_free(static_cast<pcre2_code*>(code_)); }

PreTokenizer::Splitter::~Splitter() {
  pcre2_match_data_free(static_cast<pcre2_match_data*>(match_data_));
  pcre2_match_context_free(static_cast<pcre2_match_context*>(match_context_));
}

std::string_view PreTokenizer::Splitter::Next() {
  if (at_ == text_.size()) return {};
  size_t n = fast_ && pre_.row_.ascii != nullptr ? pre_.row_.ascii(text_, at_) : 0;
  if (n == 0) n = MatchLength();
  const std::string_view piece = text_.substr(at_, n);
  at_ += n;
  return piece;
}

/// Length of PCRE2's match at at_. A pattern that matches nothing there, or that exhausts the library's limits even
/// without its just-in-time compiler, gives one character: Encode never fails and always moves on.
size_t PreTokenizer::Splitter::MatchLength() {
  const auto* code = static_cast<const pcre2_code*>(pre_.code_);
  if (match_data_ == nullptr) {
    match_data_ = pcre2_match_data_create(1, nullptr);
    auto* context = pcre2_match_context_create(nullptr);
    match_context_ = context;
    if (match_data_ == nullptr || context == nullptr) throw std::bad_alloc();
    pcre2_set_match_limit(context, std::numeric_limits<uint32_t>::max());
    pcre2_set_depth_limit(context, std::numeric_limits<uint32_t>::max());
  }
  auto* data = static_cast<pcre2_match_data*>(match_data_);
  const auto match = [&](uint32_t options) {
    return pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text_.data()), text_.size(), at_,
                       PCRE2_NO_UTF_CHECK | options, data, static_cast<pcre2_match_context*>(match_context_));
  };
  int rc = match(0);
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT) rc = match(PCRE2_NO_JIT);
  const size_t n = rc > 0 ? pcre2_get_ovector_pointer(data)[1] - at_ : 0;
  return n != 0 ? n : std::max<size_t>(1, Utf8CharLength(text_.substr(at_)));
}

}  // namespace bonsai::text
