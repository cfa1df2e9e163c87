/**
 * Writing text with an opened model: a context of tokens with its keys and values kept, the choice of the next token,
 * and texts that end the writing.
 */
#ifndef DITHER_GENERATE_H
#define DITHER_GENERATE_H

#include "dither/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * How a token is chosen. In this order: the penalty, the temperature, top_k, top_p of what is left, min_p. Zero means
 * none of it everywhere, so that {.temperature = 1} is the model's own distribution.
 */
typedef struct dither_sampling {
    double temperature;    /* 0: the likeliest; of equals the first */
    size_t top_k;          /* only so many, the likeliest; 0: all */
    double top_p;          /* only the fewest that together have this share; 0 or 1: all */
    double min_p;          /* only those at least so likely as this share of the likeliest; 0: all */
    double repeat_penalty; /* logits of tokens that came before are divided by it, negative ones multiplied; 0: none */
    size_t repeat_last;    /* of so many tokens before; 0: of the whole context */
    uint64_t seed;
} dither_sampling;

/** @return DITHER_OK | DITHER_E_USAGE (a number out of range: error says which) */
DITHER_API DITHER_MUST_USE dither_status dither_sampling_check(const dither_sampling *sampling, dither_error *error);

/* ---- a context that grows ---------------------------------------------------------------------------------- */

typedef struct dither_writer dither_writer;

/**
 * @param model  must outlive the writer
 * @param ctx    tokens that the context holds at most; 0: the model's ctx. Memory is taken where tokens come to lie
 * @return DITHER_OK | DITHER_E_USAGE (more than the model's ctx) | DITHER_E_MEMORY
 */
DITHER_API DITHER_MUST_USE dither_status dither_writer_open(dither_writer **writer, dither_model *model, size_t ctx,
                                                            dither_error *error);
DITHER_API void dither_writer_close(dither_writer *writer);

/** What the context holds now, and how much it can. @param ids  receives the tokens; may be NULL */
DITHER_API size_t dither_writer_context(const dither_writer *writer, const uint32_t **ids);
DITHER_API size_t dither_writer_ctx(const dither_writer *writer);

/**
 * Make the context these tokens. What it begins with already is kept: only what is new is read, many tokens at once.
 * @param ids    [count], 1 <= count <= ctx
 * @param fresh  receives how many were read; may be NULL
 * @return DITHER_OK | DITHER_E_USAGE (an id >= vocab, none, too many) | DITHER_E_NUMERIC
 */
DITHER_API DITHER_MUST_USE dither_status dither_writer_read(dither_writer *writer, const uint32_t *ids, size_t count,
                                                            size_t *fresh, dither_error *error);

/**
 * Choose the token that follows and put it at the end of the context. A full context lets go of its older half first.
 * The n-th choice of a writer draws the n-th number of the seed.
 * @return DITHER_OK | DITHER_E_USAGE (nothing was read) | DITHER_E_NUMERIC (NaN or Inf in the logits)
 */
DITHER_API DITHER_MUST_USE dither_status dither_writer_next(dither_writer *writer, const dither_sampling *sampling,
                                                            uint32_t *id, dither_error *error);

/**
 * The logits [vocab] that the last token of dither_writer_next was chosen by; after dither_writer_read those of what
 * follows.
 */
DITHER_API const float *dither_writer_logits(const dither_writer *writer);

typedef struct dither_likely {
    uint32_t id;
    double logprob; /* natural */
} dither_likely;

/** The log probability of a token by these logits; and the `count` likeliest, in order. @return how many there are */
DITHER_API double dither_writer_logprob(const dither_writer *writer, uint32_t id);
DITHER_API size_t dither_writer_likeliest(const dither_writer *writer, size_t count, dither_likely *likely);

/**
 * All in one: continue a prompt. A prompt longer than the model's ctx is read from its end.
 * @param ids     [count] the prompt, at least one token
 * @param tokens  how many to write
 * @param emit    called with each new id; returns false to stop
 * @return DITHER_OK | DITHER_E_USAGE (an id >= vocab, an empty prompt) | DITHER_E_NUMERIC | DITHER_E_MEMORY
 */
DITHER_API DITHER_MUST_USE dither_status dither_model_generate(dither_model *model, const uint32_t *ids, size_t count,
                                                               size_t tokens, const dither_sampling *sampling,
                                                               bool (*emit)(void *context, uint32_t id), void *context,
                                                               dither_error *error);

/* ---- texts that end the writing ---------------------------------------------------------------------------- */

typedef struct dither_stops dither_stops;

/**
 * @param texts  [count], none empty; copied
 * @return DITHER_OK | DITHER_E_USAGE (an empty one) | DITHER_E_MEMORY
 */
DITHER_API DITHER_MUST_USE dither_status dither_stops_open(dither_stops **stops, const char *const *texts, size_t count,
                                                           dither_error *error);
DITHER_API void dither_stops_close(dither_stops *stops);

/**
 * More bytes of the text, in pieces of any size. What may be the front of a stop text is held back until that is known.
 * @param show   called with bytes that no stop text covers, as early as that is certain
 * @return whether a stop text is complete: nothing of it is shown, nor anything behind it; give nothing more until
 *         dither_stops_end
 */
DITHER_API bool dither_stops_add(dither_stops *stops, const char *bytes, size_t length,
                                 void (*show)(void *context, const char *bytes, size_t length), void *context);

/** The text is over: what is held back is shown, unless a stop text was complete. Ready for another text. */
DITHER_API void dither_stops_end(dither_stops *stops,
                                 void (*show)(void *context, const char *bytes, size_t length), void *context);

#ifdef __cplusplus
}
#endif
#endif
