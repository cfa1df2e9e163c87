/* What a model writes, on its way out: tokens to bytes, whole characters alone, up to a text or token that ends it. */
#ifndef DITHER_CLI_GENERATION_H
#define DITHER_CLI_GENERATION_H

#include <signal.h>
#include <stdio.h>

#include "dither/generate.h"
#include "dither/tokenizer.h"
#include "utf8_stream.h"

/* Why the writing ended. */
typedef enum dither_ending {
    ENDING_TOKENS,      /* as many as were asked for */
    ENDING_MARK,        /* a token that ends a text or a turn */
    ENDING_STOP,        /* a text of --stop */
    ENDING_CONTEXT,     /* the context is full */
    ENDING_INTERRUPTED, /* by the flag */
    ENDING_OUTPUT       /* nobody reads it any more */
} dither_ending;

/** "tokens", "end", "stop", "context", "interrupted", "output". */
const char *dither_ending_name(dither_ending ending);

typedef struct dither_generation {
    dither_writer *writer;
    const dither_tokenizer *tokenizer;
    dither_stops *stops; /* may be NULL */
    dither_sampling sampling;
    uint64_t tokens;     /* to write at most */
    bool slides;         /* a full context lets go of its older half; else it ends the writing */
    uint32_t stop_id;    /* one more token that ends the text; UINT32_MAX: none */
    FILE *out;           /* NULL: shown nowhere */
    FILE *tee;           /* the same bytes as they are; may be NULL */
    bool clean, live;    /* as a terminal wants it; flushed with every token */
    FILE *log;           /* JSON of each token, comma between them; may be NULL */
    size_t likeliest;    /* how many of the likeliest tokens are logged with it */
    volatile sig_atomic_t *interrupted; /* cleared at the start; may be NULL */
    /* what happened */
    dither_ending ending;
    uint64_t read, written; /* tokens */
    double read_s, write_s;
    /* of this run */
    dither_utf8_stream stream;
    bool begun; /* something was written */
} dither_generation;

/**
 * Make the context `ids`, write what follows, and fill in what happened.
 * @param ids  [count]; of more than the context holds only the last ones are read where it slides
 */
dither_status dither_generation_run(dither_generation *generation, const uint32_t *ids, size_t count,
                                    dither_error *error);

/** "read 12 tokens, 340 tokens/s; wrote 256, 98 tokens/s", as one line on stderr. */
void dither_generation_report(const dither_generation *generation);

/** Those figures as members of a JSON object, with a comma in front. */
void dither_generation_json(const dither_generation *generation);

#endif
