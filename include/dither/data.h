/**
 * A corpus: text files as one stream of tokens, memory-mapped where the tokenizer allows.
 */
#ifndef DITHER_DATA_H
#define DITHER_DATA_H

#include "dither/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dither_corpus dither_corpus;

/**
 * Open files, and folders (every regular file below them whose name does not start with a dot, in byte order of their
 * paths), one after another. Files must be UTF-8; a byte-order mark at the front is left out. Each file is encoded by
 * itself, as dither_tokenizer_encode does: the texts of special tokens are ordinary text, and nothing is put between
 * files.
 * @param tokenizer  must outlive the corpus
 * @return DITHER_OK | DITHER_E_IO (missing, unreadable) | DITHER_E_FORMAT (not UTF-8: where says file and line; all
 *         empty; a folder without files) | DITHER_E_MEMORY
 */
DITHER_API DITHER_MUST_USE dither_status dither_corpus_open(dither_corpus **corpus, const char *const *paths,
                                                            size_t count, const dither_tokenizer *tokenizer,
                                                            dither_error *error);
DITHER_API void dither_corpus_close(dither_corpus *corpus);

/** Tokens of the vocabulary that ids come from: every id is below it. */
DITHER_API size_t dither_corpus_vocab(const dither_corpus *corpus);

DITHER_API uint64_t dither_corpus_tokens(const dither_corpus *corpus);
DITHER_API uint64_t dither_corpus_bytes(const dither_corpus *corpus); /* of text */

/**
 * Bytes of text that tokens [first, first + count) stand for: those of all tokens together are the text's where the
 * tokenizer leaves it as it is. A space that it puts in front of a file does not count.
 */
DITHER_API uint64_t dither_corpus_text_bytes(const dither_corpus *corpus, uint64_t first, uint64_t count);

/**
 * 64-bit hash of the stream of tokens. Where they are bytes, the same text gives the same hash, however it is split
 * into files.
 */
DITHER_API uint64_t dither_corpus_hash(const dither_corpus *corpus);

/** Copy tokens [first, first + count) to ids; the range must lie inside. */
DITHER_API void dither_corpus_read(const dither_corpus *corpus, uint64_t first, size_t count, uint32_t *ids);

#ifdef __cplusplus
}
#endif
#endif
