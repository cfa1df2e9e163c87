/*
 * SentencePiece's BPE has no list of merges: two neighbours become one wherever their text is a piece, the best score
 * first. tokenizer.json has merges and no scores. The order of the one is the order of the other.
 */
#ifndef DITHER_FILE_VOCABULARY_PIECES_H
#define DITHER_FILE_VOCABULARY_PIECES_H

#include <cjson/cJSON.h>

#include "file/json_write.h"
#include "file/vocabulary_tokens.h"

/**
 * Every way to make a piece of two others, best score of the whole first; of one score, as transformers orders them:
 * the longer first part, then the longer second part first. Writes what stands between the brackets, and the closing
 * one.
 */
DITHER_MUST_USE dither_status dither_pieces_write_merges(const dither_tokens *tokens, dither_json_writer *writer,
                                                         const char *path, dither_error *error);

/**
 * Scores from merges: 0, -1, -2, ... in the order in which merges first make a piece, one score for pieces whose merges
 * stand among each other; then those that no merge makes.
 * @param merges  of tokenizer.json, checked here
 * @return DITHER_OK | DITHER_E_FORMAT (merges that SentencePiece would not do: not all ways to make a piece are there)
 *       | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_pieces_score(dither_tokens *tokens, const cJSON *merges, const char *path,
                                                  dither_error *error);

/** The two sides of a merge, "left right" or ["left", "right"]. @return false: neither of these */
bool dither_merge_sides(const cJSON *merge, const char **left, size_t *left_length, const char **right,
                        size_t *right_length);

#endif
