/* bonsai: run 1-bit language models from C (C99) and from anything that can call C.
 *
 *   bonsai_model* m = bonsai_load(NULL, NULL);                 // NULL path: the built-in model
 *   if (!m) { fprintf(stderr, "%s\n", bonsai_last_error()); return 1; }
 *   int32_t ids[256];
 *   int64_t n = bonsai_tokenize(m, "Once upon a time", 16, 0, ids, 256);
 *   bonsai_generate(m, ids, n, NULL, on_token, NULL);
 *   bonsai_free(m);
 *
 * Threads: a model is used by one thread at a time; different models are independent. bonsai_last_error() is kept per
 * thread. Strings are bytes, UTF-8 by convention; lengths are in bytes and need no terminating zero.
 */
#ifndef BONSAI_BONSAI_H_
#define BONSAI_BONSAI_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define BONSAI_API __attribute__((visibility("default")))
#else
#define BONSAI_API
#endif

/* A loaded model: weights, tokenizer, KV cache, threads. */
typedef struct bonsai_model bonsai_model;

/* How a model is loaded. Start from bonsai_default_load_options(); fields may be added at the end, which `size` tells.
 */
typedef struct bonsai_load_options {
  size_t size;            /* sizeof(bonsai_load_options) of the caller */
  int32_t threads;        /* 0: all CPUs this process may use */
  int32_t context;        /* tokens; 0: the smallest of the trained context, 8192 and what fits */
  bool float_activations; /* false: int8 activations (fast); true: float (reference) */
} bonsai_load_options;
BONSAI_API bonsai_load_options bonsai_default_load_options(void);

/* How text is generated. NaN and INT32_MIN mean "what the file recommends". */
typedef struct bonsai_generate_options {
  size_t size;        /* sizeof(bonsai_generate_options) of the caller */
  int32_t max_tokens; /* -1: until the model stops or the context is full */
  float temperature;  /* 0: always the most likely token */
  int32_t top_k;
  float top_p;
  float min_p;
  uint64_t seed;
  bool no_loop_guard; /* true: do not end a generation that repeats itself endlessly */
} bonsai_generate_options;
BONSAI_API bonsai_generate_options bonsai_default_generate_options(void);

/* Why a generation ended. */
typedef enum bonsai_finish {
  BONSAI_FINISH_STOP = 0,     /* the model said so */
  BONSAI_FINISH_LENGTH = 1,   /* max_tokens, or the end of the context */
  BONSAI_FINISH_LOOP = 2,     /* it repeated itself endlessly */
  BONSAI_FINISH_CANCELLED = 3 /* the callback returned false */
} bonsai_finish;

/* One new token: its id, and the text that it completes (whole UTF-8 characters, possibly empty; not terminated).
 * The last call may have id -1: text held back until then. Return false to stop. */
typedef bool (*bonsai_on_token)(int32_t id, const char* text, size_t text_bytes, void* user);

BONSAI_API const char* bonsai_version(void);

/* One line about the last call of this thread that failed; "" when none has. Valid until this thread's next call. */
BONSAI_API const char* bonsai_last_error(void);

/* Loads a model file; `path` NULL is the built-in model, `options` NULL the defaults. NULL on failure. */
BONSAI_API bonsai_model* bonsai_load(const char* path, const bonsai_load_options* options);
/* Frees a model; NULL is allowed. */
BONSAI_API void bonsai_free(bonsai_model* model);

/* Tokens of the vocabulary, and of the context. */
BONSAI_API int32_t bonsai_vocab_size(const bonsai_model* model);
BONSAI_API int32_t bonsai_context_size(const bonsai_model* model);

/* Text to token ids. Writes at most `capacity` of them and returns how many there are (call again with more room when
 * that is larger); -1 on failure. With `parse_special`, added tokens such as <|im_end|> are recognised in the text. */
BONSAI_API int64_t bonsai_tokenize(const bonsai_model* model, const char* text, size_t bytes, bool parse_special,
                                   int32_t* ids, size_t capacity);
/* Token ids to text, the same way, in bytes; no terminating zero is written. The ids are a whole text: a tokenizer that
 * puts a space before the first word (SentencePiece) takes it away here, so token by token the spaces would be lost. */
BONSAI_API int64_t bonsai_detokenize(const bonsai_model* model, const int32_t* ids, size_t count, char* text,
                                     size_t capacity);

/* Continues the tokens of a prompt. `options` NULL: the defaults; `on_token` may be NULL. Returns a bonsai_finish
 * value, or -1 on failure. */
BONSAI_API int bonsai_generate(bonsai_model* model, const int32_t* prompt, size_t count,
                               const bonsai_generate_options* options, bonsai_on_token on_token, void* user);

#ifdef __cplusplus
}
#endif

#endif /* BONSAI_BONSAI_H_ */
