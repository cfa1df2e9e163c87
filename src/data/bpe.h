/*
 * Byte pair encoding of one piece of text: it starts as one symbol a byte or character, and of all neighbours that
 * merge, those of the smallest rank do, the leftmost first, until none are left.
 */
#ifndef DITHER_DATA_BPE_H
#define DITHER_DATA_BPE_H

#include "data/vocabulary.h"

typedef struct dither_bpe {
    dither_vocabulary vocabulary;
    uint32_t bytes[256];   /* tokens of single bytes, DITHER_NO_TOKEN where there is none */
    uint32_t *score_ranks; /* [bound]: two symbols merge where their text together is a token, the smallest of these
                              first; NULL: the vocabulary's pairs say what merges */
    uint32_t unknown;      /* what stands for a symbol that is no token; DITHER_NO_TOKEN: such symbols are left out */
    bool byte_level;       /* symbols are bytes; else characters */
    bool byte_fallback;    /* a character that is no token becomes its bytes */
    bool fuse_unknown;     /* unknown symbols in a row are one token */
    bool whole_pieces;     /* a piece that is a token is that token */
} dither_bpe;

void dither_bpe_close(dither_bpe *bpe);

/** Where ids go. */
typedef struct dither_id_sink dither_id_sink;

struct dither_id_sink {
    uint32_t *ids; /* [capacity]; as many as fit are written */
    size_t capacity, count;
    /* Takes what is there, so that count is 0 again; NULL: what does not fit is counted alone. */
    bool (*drain)(dither_id_sink *sink);
    void *context;
    size_t drained; /* how often */
    bool failed;    /* drain returned false */
};

/** Append an id. */
void dither_id_sink_add(dither_id_sink *sink, uint32_t id);

/** What encoding needs beside the tables: memory that grows with the longest piece, and the words seen last. */
typedef struct dither_bpe_scratch dither_bpe_scratch;

/** @param length  of the text that will be encoded, which decides how many words are kept. @return NULL: no memory */
dither_bpe_scratch *dither_bpe_scratch_open(size_t length);
void dither_bpe_scratch_close(dither_bpe_scratch *scratch);

/**
 * Encode a piece.
 * @return false: no memory, or the sink failed
 *
 * Cost: O(n log n) for n symbols; a short piece that was seen lately costs one look.
 */
bool dither_bpe_encode(const dither_bpe *bpe, dither_bpe_scratch *scratch, const char *piece, size_t length,
                       dither_id_sink *sink);

/** Length of the UTF-8 character that text starts with; 1 for a byte that starts none. */
size_t dither_bpe_character(const char *text, size_t length);

#endif
