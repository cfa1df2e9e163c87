/*
 * The whole way from a text to ids: added tokens, normalizing, pieces, merges. All of a tokenizer that is more than
 * bytes.
 */
#ifndef DITHER_DATA_ENCODER_H
#define DITHER_DATA_ENCODER_H

#include "data/added_tokens.h"
#include "data/bpe.h"
#include "data/normalizer.h"
#include "data/pretokenizer.h"

typedef struct dither_encoding {
    dither_bpe bpe;
    dither_added_tokens *added;           /* looked for in the text as it comes */
    dither_added_tokens *normalized;      /* looked for in the normalized text */
    dither_normalizer *normalizer;        /* of what lies between added tokens */
    dither_normalizer *before;            /* of what lies between those of the normalized text too */
    dither_pretokenizer *pretokenizer;
    const char *cut;                      /* no token holds this text behind another character: pieces end in front of
                                             it where no such character stands before; NULL: they do not */
} dither_encoding;

void dither_encoding_close(dither_encoding *encoding);

/** Set `cut` to U+2581, SentencePiece's space, where the vocabulary allows. */
void dither_encoding_find_cut(dither_encoding *encoding);

typedef struct dither_encoder dither_encoder;

/** @param length  about how much text will be encoded. @return NULL: no memory */
dither_encoder *dither_encoder_open(const dither_encoding *encoding, size_t length);
void dither_encoder_close(dither_encoder *encoder);

/**
 * Append a text's ids to the sink.
 * @param special  whether marks in the text become those tokens
 * @return false: no memory, or the sink failed
 */
bool dither_encoder_run(dither_encoder *encoder, const char *text, size_t length, bool special, dither_id_sink *sink);

#endif
