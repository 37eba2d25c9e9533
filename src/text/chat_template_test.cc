// The template language, by its documentation (https://jinja.palletsprojects.com/en/stable/templates/) and Python's;
// whose bytes are whose; limits; and special tokens that users write.
#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/byte_source.h"
#include "formats/model_file.h"
#include "tests/support.h"
#include "text/jinja/lexer.h"
#include "text/test_vocabulary.h"

namespace bonsai::text {
namespace {

using jinja::Dict;
using jinja::List;
using Ids = std::vector<int32_t>;

Value Json(std::string_view text) {
  auto v = ValueFromJson("test", text);
  EXPECT_TRUE(v.ok()) << v.error().message();
  return v ? *v : Value();
}

ChatInput Input() {
  ChatInput input{.messages = MessagesValue({{"user", "Hi"}, {"assistant", "Ho"}}), .bos_token = "<s>"};
  input.variables = Json(R"({"l": [3, 1, 2], "s": " a b ", "d": {"z": 1, "a": [1.0, null, true]}, "f": 0.1})");
  input.now = [] {
    std::tm t{};
    t.tm_year = 126, t.tm_mon = 2, t.tm_mday = 14;
    return t;
  };
  return input;
}

/// What a template prints, or its error.
std::string Render(std::string_view source, const ChatInput& input = Input(), const RenderLimits& limits = {}) {
  const auto t = ChatTemplate::Parse("T", source);
  if (!t) return "error: " + t.error().message();
  const auto prompt = (*t)->Render(input, limits);
  return prompt ? prompt->Text() : "error: " + prompt.error().message();
}

/// The same with the untrusted parts in [brackets].
std::string Origins(std::string_view source, const ChatInput& input = Input()) {
  const auto t = ChatTemplate::Parse("T", source);
  if (!t) return "error: " + t.error().message();
  const auto prompt = (*t)->Render(input);
  if (!prompt) return "error: " + prompt.error().message();
  std::string out;
  for (const RenderedPrompt::Span& span : prompt->spans) {
    EXPECT_FALSE(span.text.empty());
    out += span.trusted ? span.text : "[" + span.text + "]";
  }
  return out;
}

struct Case {
  const char* source;
  const char* expected;
};
void Check(const std::vector<Case>& cases) {
  for (const Case& c : cases) EXPECT_EQ(Render(c.source), c.expected) << c.source;
}

TEST(ChatTemplate, WhiteSpace) {
  Check({{"a\n", "a"},
         {"a\n\n", "a\n"},
         {"a\r\nb\rc", "a\nb\nc"},
         {"  {% if true %}\n  a\n  {% endif %}\n b", "  a\n b"},  // trim_blocks and lstrip_blocks
         {"  {%+ if true %}a{% endif +%}\nb", "  a\nb"},          // and how to switch them off
         {"a  {%- if true -%}  b  {%- endif -%}  c", "abc"},
         {"  {{ 1 }}\n", "  1"},
         {"a {#- x -#} b", "ab"},
         {"  {# x #}\nb", "b"},
         {"{% raw %}{{ x }}{% endraw %}!", "{{ x }}!"},
         {"{ % {", "{ % {"}});
}

TEST(ChatTemplate, Expressions) {
  Check({{"{{ 1 + 2 * 3 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 7 / 2 }} {{ 6 / 2 }}", "7 -4 2 1024 3.5 3.0"},
         {"{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ 3 not in l }}",
          "True False True True False"},
         {"{{ 'a' ~ 1 ~ none ~ true }} {{ [1, 'b', none] }} {{ {'a': 1.5} }}", "a1NoneTrue [1, 'b', None] {'a': 1.5}"},
         {"{{ l[::-1] }} {{ l[1:] }} {{ l[-1] }} {{ l[9] }}|{{ 'h\xc3\xa9llo'[1] }} {{ 'abc'[::-1] }}",
          "[2, 1, 3] [1, 2] 2 |\xc3\xa9 cba"},
         {"{{ 0 or 'x' }} {{ 1 and 2 }} {{ not 1 == 2 }} {{ 'y' if l else 'n' }}|{{ 'y' if not l }}|", "x 2 True y||"},
         {"{{ 'a' + 'b' | upper }} {{ -3 | abs }} {{ l | length - 1 }}", "aB 3 2"},
         {"{{ 'a' 'b' }} {{ \"\\x41\\u00e9\\n\\q\" }} {{ 1_000 }} {{ 0x1f }} {{ 1.5e3 }}",
          "ab A\xc3\xa9\n\\q 1000 31 1500.0"},
         {"{{ messages[0].role }} {{ messages[-1]['content'] }} {{ d.nope }}|{{ d.get('x', 4) }}", "user Ho |4"},
         {"{{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ f }}", "1e+16 1000000000000000.0 0.0001 1e-05 0.1"},
         {"{{ {'a': {'b': {}}} }}{{ {}}}", "{'a': {'b': {}}}{}"}});
}

TEST(ChatTemplate, Statements) {
  Check({{"{% for x in l if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }}{{ loop.previtem }}{% endfor %}",
          "1/2:32/2:23"},
         {"{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% break %}{% endfor %}", "3"},
         {"{% for x in [] %}x{% else %}none{% endfor %}", "none"},
         {"{% for k, v in d.items() %}{{ k }}{{ loop.first }}{{ loop.last }} {% endfor %}", "zTrueFalse aFalseTrue "},
         {"{% set x = 1 %}{% for i in l %}{% set x = x + i %}{% endfor %}{{ x }}", "1"},
         {"{% set n = namespace(t=0) %}{% for i in l %}{% set n.t = n.t + i %}{% endfor %}{{ n.t }}", "6"},
         {"{% set a, b = 1, 'z' %}{{ a }}{{ b }}{% set x | upper %} q{% endset %}{{ x }}", "1z Q"},
         {"{% macro m(a, b=2) %}{{ a }}{{ b }}{{ l[0] }}{% endmacro %}{{ m(1) }} {{ m(b=5, a=1) }}", "123 153"},
         {"{% macro m() %}{{ late }}{% endmacro %}{% set late = 4 %}{{ m() }}", "4"},
         {"{% macro m(t) %}<{{ t }}{{ caller(7) }}>{% endmacro %}{% call(x) m('p') %}-{{ x }}{% endcall %}", "<p-7>"},
         {"{% filter upper %}a{{ 'b' }}{% endfilter %}{% with a = 1 %}{{ a }}{% endwith %}{{ a }}", "AB1"},
         {"{% generation %}a{% endgeneration %}{% if false %}b{% elif l %}c{% else %}d{% endif %}", "ac"}});
}

TEST(ChatTemplate, Filters) {
  Check({{"{{ d | tojson }}", R"({"z": 1, "a": [1.0, null, true]})"},
         {"{{ {'b': ['x']} | tojson(indent=2) }}", "{\n  \"b\": [\n    \"x\"\n  ]\n}"},
         {R"({{ "é\"\\\n\x01<" | tojson }} {{ "é" | tojson(ensure_ascii=true) }})", R"("é\"\\\n\u0001<" "\u00e9")"},
         {"{{ s | trim }}|{{ 'abc' | upper | first }}|{{ 'hello-world x' | title }}", "a b|A|Hello-World X"},
         {"{{ l | join(', ') }} {{ l | sort }} {{ l | sum }} {{ l | max }} {{ l | select('odd') | list }}",
          "3, 1, 2 [1, 2, 3] 6 3 [3, 1]"},
         {"{{ messages | map(attribute='role') | join('+') }}", "user+assistant"},
         {"{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "1"},
         {"{{ messages | rejectattr('tool_calls', 'defined') | list | length }}", "2"},
         {"{{ x | default('q') }}{{ '' | d('r', true) }} {{ '42' | int + 1 }} {{ '1.5' | float }} {{ 2.5 | round }}",
          "qr 43 1.5 2.0"},
         {"{{ 'a\nb' | indent(2) }} {{ '<' | e }} {{ [1, 1, 2] | unique | list }} {{ d | dictsort | first }}",
          "a\n  b &lt; [1, 2] ['a', [1.0, None, True]]"}});
}

TEST(ChatTemplate, MethodsTestsAndFunctions) {
  Check(
      {{"{{ 'a,b,c'.split(',') }} {{ 'a,b'.split(',')[-1] }} {{ ' a  b '.split() }} {{ 'xax'.strip('x') }}",
        "['a', 'b', 'c'] b ['a', 'b'] a"},
       {"{{ 'banana'.replace('a', 'o', 2) }} {{ 'ab'.startswith('a') }} {{ '\xc3\xa9x'.find('x') }} {{ '-'.join(['a', "
        "'b']) }}",
        "bonona True 1 a-b"},
       {"{{ x is defined }} {{ d is mapping }} {{ 's' is sequence }} {{ none is none }} {{ 3 is odd }} {{ 1 is in l }}",
        "False True True True True True"},
       {"{{ false is false }} {{ 1 is true }} {{ 3 is not string }} {{ 9 is divisibleby 3 }}", "True False True True"},
       {"{{ range(1, 6, 2) | list }} {{ dict(a=1) }} {{ strftime_now('%d %b %Y') }}",
        "[1, 3, 5] {'a': 1} 14 Mar 2026"}});
}

TEST(ChatTemplate, ErrorsNameTheLine) {
  Check({{"{{ 'a' }}\n{{ 1 + }}", "error: T: line 2: expected an expression, found '}}'"},
         {"{% if x %}\n", "error: T: line 1: expected {% endif %}, found the end of the template"},
         {"{% endif %}", "error: T: line 1: {% endif %} has nothing to end"},
         {"a\n{{ 'x }}", "error: T: line 2: a string is not closed"},
         {"{# a", "error: T: line 1: a comment {# is not closed"},
         {"{% frob %}", "error: T: line 1: tag 'frob' is not supported"},
         {"{{ 1 | frob }}", "error: T: line 1: filter 'frob' is not supported"},
         {"{{ 1 is frob }}", "error: T: line 1: test 'frob' is not supported"},
         {"{{ frob(1) }}", "error: T: line 1: 'frob' is undefined"},
         {"\n\n{{ x.y }}", "error: T: line 3: 'x' is undefined"},
         {"{{ d.x.y }}", "error: T: line 1: 'x' of a dictionary is undefined"},
         {"{{ 'a' + 1 }}", "error: T: line 1: string and integer do not go together with '+'"},
         {"{{ l.append(1) }}", "error: T: line 1: a template may not change a list"},
         {"{{ raise_exception('no ' ~ 'way') }}", "error: T: line 1: no way"},
         {"{{ 'a' | trim(1, 2) }}", "error: T: line 1: trim: too many arguments"},
         {"{% set d.x = 1 %}", "error: T: line 1: 'd' is no namespace, so d.x cannot be set"},
         {"{{ 9223372036854775807 + 1 }}", "error: T: line 1: an integer of more than 64 bits"},
         {"{{ 1 // 0 }}", "error: T: line 1: division by zero"}});
  ChatInput input = Input();
  input.variables = Json(R"({"tools": []})");
  EXPECT_EQ(Render("x", input), "error: T: the variable 'tools' cannot be replaced");
}

TEST(ChatTemplate, LimitsAreErrors) {
  const std::string deep(5000, '('), minus(5000, '-'), open = "{{ [", blocks = "{% if 1 %}";
  std::string sum = "{{ 1", ifs, nots = "{{ ";
  for (int i = 0; i < 5000; i++) sum += " + 1", ifs += blocks, nots += "not ";
  for (const std::string& source : {"{{ " + deep, "{{ " + minus, sum + " }}", ifs, nots}) {
    EXPECT_EQ(Render(source).substr(0, 6), "error:");
  }
  const RenderLimits small{.steps = 20'000, .text_bytes = 1000};
  for (const char* source : {
           "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
           "{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}",
           "{% set n = namespace(s='ab') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
           "{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
           "{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s == n.s "
           "}}",
           "{% set n = namespace(s=[1]) %}{% for i in range(999) %}{% set n.s = [n.s] %}{% endfor %}",
           "{% set s = 'a' * 900 %}{% for i in range(100) %}{{ ([s] * 900) | sort | length }}{% endfor %}",
           "{% set s = 'a' * 900 %}{% for i in range(100) %}{{ range(999) | unique | length }}{% endfor %}",
           "{% for i in range(999) %}{{ ('a' * 999).find('a' * 99 ~ 'b') + ('a' * 999).strip('bbbbbbba') | length }}{% "
           "endfor %}",
           "{{ 'a' * 1000000000000 }}",
           "{{ [1] * 1000000000000 }}",
           "{{ range(1000000000) }}",
           "{% for i in range(2000) %}x{% endfor %}",
           "{% set n = namespace() %}{% set n.n = n %}",
           "{% macro m() %}{% endmacro %}{{ [m] }}",
       }) {
    EXPECT_EQ(Render(source, Input(), small).substr(0, 6), "error:") << source;
  }
  EXPECT_EQ(ValueFromJson("deep", std::string(100, '[')).error().code(), ErrorCode::kCorrupt);
}

TEST(ChatTemplate, EveryByteKeepsItsOrigin) {
  ChatInput input = Input();
  input.messages = MessagesValue({{"user", "ab"}});
  input.variables = Json(R"({"t": " x y "})");
  const std::vector<Case> cases = {
      {"<{{ messages[0].content }}>", "<[ab]>"},
      {"{{ '<' + messages[0].role + '>' }}{{ bos_token }}", "<[user]><s>"},
      {"{{ ('<' ~ t ~ '>') | trim }}|{{ (t ~ '. ') | trim }}", "<[ x y ]>|[x y ]."},
      {"{{ ('<' ~ t ~ '>') | upper }}{{ ('a' ~ messages[0].content) | title }}", "<[ X Y ]>A[ab]"},
      {"{{ ('<' ~ messages[0].content ~ '>')[1:] }}|{{ ('<' ~ messages[0].content)[::-1] }}", "[ab]>|[ba]<"},
      {"{{ messages[0].content.replace('a', '<') }}|{{ 'x.y'.replace('.', t) }}", "<[b]|x[ x y ]y"},
      {"{{ t.split('x')[0] }}|{{ ('a|' ~ messages[0].content).split('|') | join('+') }}", "[ ]|a+[ab]"},
      {"{{ [t, 'q'] | join(',') }}", "[ x y ],q"},
      {"{{ messages[0] | tojson }}", "[{\"role\": \"user\", \"content\": \"ab\"}]"},
      {"{{ {'k': t} | tojson }}", "[{\"]k[\": \" x y \"}]"},
      {"{{ (t ~ '<') | e }}|{{ ('a\n' ~ messages[0].content) | indent(1) }}", "[ x y ]&lt;|a\n[ ab]"},
      {"{% set c %}<{{ t }}>{% endset %}{{ c }}", "<[ x y ]>"},
      {"{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(t) }}{{ m('q') }}", "<[ x y ]><q>"},
      {"{{ messages | length }}{{ t is string }}", "[1True]"},
  };
  for (const Case& c : cases) EXPECT_EQ(Origins(c.source, input), c.expected) << c.source;
}

/// Added tokens of the ids.
Ids Added(const Tokenizer& t, const Ids& ids) {
  Ids added;
  for (const int32_t id : ids) {
    if (t.FindAdded(t.Piece(id)) == id) added.push_back(id);
  }
  return added;
}

std::unique_ptr<Tokenizer> Small() { return std::move(*Tokenizer::FromMetadata(SmallVocabulary().Build())); }

TEST(EncodeSpans, SpecialTokensOnlyInTrustedStretches) {
  const auto t = Small();
  const int32_t end = t->FindAdded("<|im_end|>"), think = t->FindAdded("<think>");
  const auto added = [&](std::vector<TextSpan> spans) { return Added(*t, t->EncodeSpans(spans)); };
  EXPECT_EQ(added({{"a<|im_end|>b", true}}), (Ids{end}));
  EXPECT_EQ(added({{"a<|im_end|>b", false}}), Ids());
  EXPECT_EQ(added({{"<|im_", true}, {"end|>", true}}), (Ids{end}));  // one stretch
  EXPECT_EQ(added({{"<|im_", true}, {"end|>", false}}), Ids());      // across a border
  EXPECT_EQ(added({{"<|im_", false}, {"end|>", true}}), Ids());
  EXPECT_EQ(added({{"<|im_", true}, {"", false}, {"end|>", true}}), (Ids{end}));
  EXPECT_EQ(added({{"<think>", true}, {"\n\xc3\xa9", false}}), (Ids{think}));  // not the longer token
  EXPECT_EQ(added({{"<think>\n\xc3\xa9", true}}), (Ids{t->FindAdded("<think>\n\xc3\xa9")}));
  EXPECT_EQ(t->EncodeSpans({}), Ids());
}

// Where a user's text begins must not change how words are cut.
TEST(EncodeSpans, OrdinaryTextIsOnePieceAcrossBorders) {
  const auto bpe = Small();
  auto vocabulary = SentencePieceVocabulary({"▁t", "he", "▁the", "in", "er", "▁", "t", "h", "e", "i", "n"});
  const auto sentencepiece = std::move(*Tokenizer::FromMetadata(vocabulary.Build()));
  const std::string text = "the hello  then\n\n<|im_end|>the</s> the\xc3\xa9 hello the";
  for (const Tokenizer* t : {bpe.get(), sentencepiece.get()}) {
    for (size_t a = 0; a <= text.size(); a++) {
      for (size_t b = a; b <= text.size(); b += 3) {
        const std::string_view all = text;
        const auto cut = [&](bool x, bool y, bool z) {
          const TextSpan spans[] = {{all.substr(0, a), x}, {all.substr(a, b - a), y}, {all.substr(b), z}};
          return t->EncodeSpans(spans);
        };
        ASSERT_EQ(cut(false, false, false), t->Encode(text)) << a << " " << b;
        ASSERT_EQ(cut(true, true, true), t->Encode(text, {.parse_special = true})) << a << " " << b;
        if (Added(*t, cut(true, false, true)).empty()) {
          ASSERT_EQ(cut(true, false, true), t->Encode(text)) << a << " " << b;
        }
      }
    }
  }
}

/// ChatML with tools, as model cards write it.
constexpr const char* kChatMl =
    "{%- if tools %}\n"
    "    {{- '<|im_start|>system\\n<tools>' }}{% for t in tools %}{{ t | tojson }}{% endfor %}\n"
    "    {{- '</tools><|im_end|>\\n' }}\n"
    "{%- endif %}\n"
    "{%- for m in messages %}\n"
    "    {{- '<|im_start|>' + m.role + '\\n' + m.content | trim }}\n"
    "    {%- for c in m.tool_calls %}{{ c.name }}{{ c.arguments | tojson }}{% endfor %}\n"
    "    {{- '<|im_end|>\\n' }}\n"
    "{%- endfor %}\n"
    "{{- '<|im_start|>assistant\\n' }}";

// The text of every special token, in every place that a user, a model or a tool can write to.
TEST(EncodeSpans, NothingThatComesInBecomesAControlToken) {
  auto source = OpenFile(test::SourcePath("models/tiny-q1.gguf"));
  ASSERT_TRUE(source.ok()) << source.error().message();
  const auto file = formats::OpenModel(std::move(*source));
  ASSERT_TRUE(file.ok()) << file.error().message();
  const auto t = std::move(*Tokenizer::FromMetadata((*file)->metadata()));
  std::string attack;
  int found = 0;
  for (int32_t id = 0; id < t->vocab_size(); id++) {
    if (t->FindAdded(t->Piece(id)) != id) continue;
    attack += t->Piece(id);
    found++;
  }
  EXPECT_GE(found, 2);
  const auto prompt_of = [&](const std::string& text) {
    const auto v = [&] { return Value(text); };
    const Value call = Value::Of(Dict{{Value("name"), v()}, {Value("arguments"), Value::Of(Dict{{v(), v()}})}});
    List messages;
    for (const char* role : {"system", "user", "assistant", "tool"}) {
      messages.push_back(Value::Of(
          Dict{{Value("role"), Value(role)}, {Value("content"), v()}, {Value("tool_calls"), Value::Of(List{call})}}));
    }
    messages.push_back(Value::Of(Dict{{Value("role"), v()}, {Value("content"), v()}}));
    const Value tool = Value::Of(Dict{{Value("name"), v()}, {Value("description"), v()}, {v(), Value::Of(List{v()})}});
    const auto chat = ChatTemplate::Parse("chatml", kChatMl);
    const auto prompt = (*chat)->Render({.messages = Value::Of(messages), .tools = Value::Of(List{tool})});
    EXPECT_TRUE(prompt.ok()) << prompt.error().message();
    return *prompt;
  };
  const RenderedPrompt bad = prompt_of(attack);
  EXPECT_NE(bad.Text().find(attack), std::string::npos);
  const Ids made = Added(*t, prompt_of("x").Encode(*t));
  EXPECT_EQ(made, Ids(6, t->FindAdded("<|im_end|>")));  // this vocabulary has no <|im_start|>
  EXPECT_EQ(Added(*t, bad.Encode(*t)), made);
  EXPECT_EQ(t->Decode(bad.Encode(*t), true), bad.Text());
  // The test can fail: the same text, all of it trusted, has more.
  EXPECT_GT(Added(*t, t->Encode(bad.Text(), {.parse_special = true})).size(), made.size());
}

}  // namespace
}  // namespace bonsai::text
