/* The C interface, from C99: what a program that embeds bonsai does. Prints what fails and exits 1. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bonsai/bonsai.h"

static int failures = 0;

#define EXPECT(cond)                                                      \
  do {                                                                    \
    if (!(cond)) {                                                        \
      fprintf(stderr, "%s:%d: %s is false\n", __FILE__, __LINE__, #cond); \
      failures++;                                                         \
    }                                                                     \
  } while (0)

struct collected {
  int32_t ids[64];
  int count;
  int stop_after;
  char text[1024];
  size_t bytes;
};

static bool collect(int32_t id, const char* text, size_t bytes, void* user) {
  struct collected* c = user;
  if (id >= 0 && c->count < 64) c->ids[c->count++] = id;
  if (c->bytes + bytes < sizeof(c->text)) {
    memcpy(c->text + c->bytes, text, bytes);
    c->bytes += bytes;
  }
  return c->stop_after == 0 || c->count < c->stop_after;
}

static void test_errors(void) {
  EXPECT(bonsai_load("/nonexistent/model.gguf", NULL) == NULL);
  EXPECT(strstr(bonsai_last_error(), "/nonexistent/model.gguf") != NULL);
  bonsai_load_options bad = bonsai_default_load_options();
  bad.threads = -1;
  EXPECT(bonsai_load(NULL, &bad) == NULL);
  EXPECT(bonsai_last_error()[0] != '\0');
  EXPECT(bonsai_tokenize(NULL, "x", 1, false, NULL, 0) == -1);
  EXPECT(bonsai_generate(NULL, NULL, 0, NULL, NULL, NULL) == -1);
  bonsai_free(NULL);
}

static void test_text(const bonsai_model* m) {
  const char* text = "Once upon a time, there was a little";
  const int32_t want[] = {79, 1577, 676, 258, 578, 44, 545, 314, 258, 491}; /* tests/data/tiny-q1.golden.json */
  int32_t ids[16];
  char back[64];
  EXPECT(bonsai_tokenize(m, text, strlen(text), false, NULL, 0) == 10);
  EXPECT(bonsai_tokenize(m, text, strlen(text), false, ids, 16) == 10);
  EXPECT(memcmp(ids, want, sizeof(want)) == 0);
  EXPECT(bonsai_detokenize(m, ids, 10, back, sizeof(back)) == (int64_t)strlen(text));
  EXPECT(memcmp(back, text, strlen(text)) == 0);
  /* Too little room: the true length comes back and nothing is written past the capacity. */
  back[3] = '!';
  EXPECT(bonsai_detokenize(m, ids, 10, back, 3) == (int64_t)strlen(text) && back[3] == '!');
}

static void test_generate(bonsai_model* m) {
  const int32_t prompt[] = {79, 1577, 676, 258, 578, 44, 545, 314, 258, 491};
  const int32_t greedy[] = {442, 44, 279, 285, 314, 258, 525, 814, 434, 44}; /* tests/data/tiny-q1.golden.json */
  bonsai_generate_options o = bonsai_default_generate_options();
  o.temperature = 0;
  o.max_tokens = 10;
  struct collected c;
  memset(&c, 0, sizeof(c));
  EXPECT(bonsai_generate(m, prompt, 10, &o, collect, &c) == BONSAI_FINISH_LENGTH);
  EXPECT(c.count == 10 && memcmp(c.ids, greedy, sizeof(greedy)) == 0);
  EXPECT(c.bytes > 0 && memcmp(c.text, " one, and he was", 16) == 0);

  memset(&c, 0, sizeof(c));
  c.stop_after = 3;
  EXPECT(bonsai_generate(m, prompt, 10, &o, collect, &c) == BONSAI_FINISH_CANCELLED && c.count == 3);
  EXPECT(bonsai_generate(m, prompt, 0, &o, NULL, NULL) == -1 && bonsai_last_error()[0] != '\0');
  const int32_t outside[] = {1 << 30};
  EXPECT(bonsai_generate(m, outside, 1, &o, NULL, NULL) == -1);
  EXPECT(strstr(bonsai_last_error(), "1073741824") != NULL);
}

int main(void) {
  EXPECT(strlen(bonsai_version()) > 0);
  test_errors();
  bonsai_load_options o = bonsai_default_load_options();
  o.float_activations = true;
  o.threads = 1;
  bonsai_model* m = bonsai_load(NULL, &o);
  EXPECT(m != NULL);
  if (m == NULL) {
    fprintf(stderr, "%s\n", bonsai_last_error());
    return 1;
  }
  EXPECT(bonsai_vocab_size(m) == 4096);
  EXPECT(bonsai_context_size(m) > 0);
  test_text(m);
  test_generate(m);
  bonsai_free(m);
  return failures != 0;
}
