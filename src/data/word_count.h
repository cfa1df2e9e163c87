/* The pre-tokens of text files, counted. */
#ifndef DITHER_DATA_WORD_COUNT_H
#define DITHER_DATA_WORD_COUNT_H

#include <stdbool.h>

#include "data/files.h"
#include "data/pretokenizer.h"
#include "data/words.h"

enum {
    DITHER_SPECIAL_MAX = 256,       /* how many special tokens */
    DITHER_SPECIAL_BYTES = 256,     /* of one, at most */
    DITHER_WORD_PIECE = 1 << 20,    /* bytes, about, that a thread takes at once */
    DITHER_WORD_PIECE_LONGEST = 4   /* pieces: a text that has no place to cut for that long is cut all the same */
};

typedef struct dither_word_source {
    const dither_files *files;
    const dither_pretokenizer *pretokenizer;
    const char *const *special; /* [special_count]: texts that separate, and belong to no word; none is empty */
    size_t special_count;
    size_t piece;               /* DITHER_WORD_PIECE; at least 8 */
    int threads;
} dither_word_source;

/** Whether to go on, asked now and then: bytes read, and in all. */
typedef bool (*dither_word_progress)(void *context, uint64_t done, uint64_t total);

/**
 * Count the pre-tokens of all files, each of them a text of its own; a byte-order mark at the front is left out.
 *
 * Files are read in pieces that are cut where pre-tokens end (text_cut.h); where there is no such place within
 * DITHER_WORD_PIECE_LONGEST pieces, where one most likely ends. Memory: the distinct words; beside them some pieces a
 * thread, and their distinct words. Which words there are, and their counts, do not depend on the threads; their order
 * does.
 * @param words     zeroed or filled; dither_words_close() in any case
 * @param bytes     receives how much text there is
 * @param progress  may be NULL
 * @return DITHER_OK | DITHER_E_IO | DITHER_E_FORMAT (not UTF-8; no text at all) | DITHER_E_MEMORY
 *       | DITHER_E_STOPPED (progress said so)
 */
DITHER_MUST_USE dither_status dither_words_count(dither_words *words, const dither_word_source *source,
                                                 uint64_t *bytes, dither_word_progress progress, void *context,
                                                 dither_error *error);

#endif
